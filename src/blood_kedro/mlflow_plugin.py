"""Holds kedro-mlflow back until it is used: MLflow takes a second to import, and most commands do not need it."""

from __future__ import annotations

import logging
import sys
import warnings
from importlib import import_module
from types import ModuleType

import click

from blood_kedro.library.core.logs import without_warning

# Where the plugin says that its commands are, and Kedro imports them, whichever command was typed.
_COMMANDS = "kedro_mlflow.framework.cli.cli"
_NAME = "mlflow"


def import_plugin() -> None:
    """Import kedro-mlflow and MLflow without a word that nobody here can act on."""
    # Both have classes without type hints, and MLflow warns of them when they are imported. No filter holds: MLflow
    # puts one of its own before all others. So they are imported here, and this alone is not heard, whatever -W says.
    with without_warning("type hint"):
        warnings.simplefilter("default")
        import kedro_mlflow.mlflow  # noqa: F401
    # Its logger is set to INFO when it is imported; what it tells is in run_log.py's lines.
    logging.getLogger("kedro_mlflow").setLevel(logging.WARNING)


class _LateCommands(click.Group):
    """In place of the plugin's commands: knows their one name, and imports them when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return [_NAME]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name != _NAME:
            return None
        sys.modules.pop(_COMMANDS, None)
        import_plugin()
        commands: click.Group = import_module(_COMMANDS).commands
        return commands.get_command(ctx, cmd_name)


def hold_commands_back() -> None:
    """Have Kedro take a group of this module for the plugin's commands; to be called before Kedro looks for them."""
    stand_in = ModuleType(_COMMANDS)
    stand_in.commands = _LateCommands("Mlflow", help="Kedro plugin for interactions with mlflow.")  # type: ignore[attr-defined]
    sys.modules.setdefault(_COMMANDS, stand_in)
