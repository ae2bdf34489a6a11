"""Which sources and regimens the configuration asks for: they decide which namespaces the pipelines have.

Kedro builds the context before the pipelines, so a hook hands over the merged parameters (environment and
`--params` included). `kedro registry` and `kedro viz` skip that hook; then the configuration is read here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from blood_kedro.library.core.errors import ConfigurationError

_parameters: dict[str, Any] | None = None


def set_from(parameters: dict[str, Any]) -> None:
    """Remember the merged parameters of the session."""
    global _parameters  # noqa: PLW0603 - Kedro's registry takes no arguments
    _parameters = parameters


def sources() -> list[str]:
    """Names of enabled sources, in the order of configuration.

    Raises:
        ConfigurationError: none is enabled.
    """
    names = _enabled("sources")
    if not names:
        raise ConfigurationError("no source is enabled", where="parameters: sources", remedy="enable at least one")
    return names


def regimens() -> list[str]:
    """Names of enabled regimens, in the order of configuration."""
    return _enabled("regimens")


def starts_from_generated_smears(regimen: str) -> bool:
    """Whether a regimen needs the pre-training on generated smears."""
    initialization = _current()["regimens"][regimen].get("initialization") or {}
    return bool(initialization.get("kind") == "generated_smears")


def pastes_cells(regimen: str) -> bool:
    """Whether a regimen augments its training images by copy-paste."""
    return bool(_current()["regimens"][regimen].get("copy_paste"))


def _enabled(section: str) -> list[str]:
    return [name for name, entry in (_current().get(section) or {}).items() if entry.get("enabled", True)]


def _current() -> dict[str, Any]:
    if _parameters is not None:
        return _parameters
    from kedro.framework.project import settings
    from kedro.utils import find_kedro_project

    project = find_kedro_project(Path.cwd()) or Path.cwd()
    environment = os.environ.get("KEDRO_ENV") or settings.CONFIG_LOADER_ARGS["default_run_env"]
    loader = settings.CONFIG_LOADER_CLASS(
        conf_source=str(Path(project) / settings.CONF_SOURCE), env=environment, **settings.CONFIG_LOADER_ARGS
    )
    return dict(loader["parameters"])
