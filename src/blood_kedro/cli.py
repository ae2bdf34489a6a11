"""`kedro run` of this project: says where `--params` was cut, takes paths as typed, and says plainly what failed."""

from __future__ import annotations

import copy
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from omegaconf import OmegaConf

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.mishaps import as_ours

# Last parts of parameters that are paths: their text is not read as YAML, which has its own meaning of `: ` and ` #`.
PATHS = {"input", "path", "images", "annotations", "trained_in"}
_REMEDY = (
    "name a path with `make count IMAGES=...` or `make detect IMAGES=...`, or in the variable BLOOD_KEDRO_IMAGES (raw "
    "data: BLOOD_KEDRO_RAW); write other values with commas into conf/local/parameters.yml"
)


def parsed(text: str) -> dict[str, Any]:
    """Parameters, nested, from `key=value,key=value`. Values are YAML, but paths are taken as they are typed.

    Raises:
        ConfigurationError: a piece between two commas has no key, or a value cannot be read.
    """
    pairs: list[tuple[str, str]] = []
    for piece in text.split(",") if text.strip() else ():
        key, sign, value = piece.partition("=")
        after_path = bool(pairs) and _is_path(pairs[-1][0])
        if not piece.strip() and not after_path:
            continue  # `a=1, ` as Kedro takes it
        if not sign or not key.strip():
            raise ConfigurationError(
                "--params was cut at a comma, and what follows is no key=value",
                where=f"after {'='.join(pairs[-1])}" if pairs else "",
                got=repr(piece),
                expected="<key>=<value>",
                remedy=_REMEDY,
            )
        pairs.append((key.strip(), value if _is_path(key.strip()) else value.strip()))
    values = OmegaConf.create()
    for key, value in pairs:
        if "${" in value and _is_path(key):
            raise ConfigurationError("a path in --params must not have ${ in it", where=key, got=value, remedy=_REMEDY)
        try:
            if _is_path(key) and value not in ("null", "None", ""):
                OmegaConf.update(values, key, value)
            else:
                values.merge_with_dotlist([f"{key}={value}"])
        except Exception as error:  # OmegaConf passes on what its parsers of keys, YAML and references raise
            raise ConfigurationError(
                "a value of --params cannot be read",
                where=key,
                got=value,
                expected="a word, a number, [one]",
                remedy="write a list with commas, or a mapping, into conf/local/parameters.yml",
            ) from error
    parameters: dict[str, Any] = OmegaConf.to_container(values)  # type: ignore[assignment]
    return parameters


def _is_path(key: str) -> bool:
    return key.rpartition(".")[2] in PATHS


def _parameters(context: click.Context, option: click.Parameter, value: Any) -> Any:  # noqa: ANN401, ARG001 - click's
    if isinstance(value, dict):  # of a file that --config names
        return value
    try:
        return parsed(value)
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error


def _run(**arguments: Any) -> Any:  # noqa: ANN401 - Kedro's own signature
    """As Kedro runs; an error that says what to do is shown without the lines of code that it passed."""
    if kedro_run.callback is None:
        raise RuntimeError("Kedro's run command has no function")
    try:
        return kedro_run.callback(**arguments)
    except Exception as error:
        ours = as_ours(error)
        if ours is None:
            raise
        raise click.ClickException(str(ours)) from error


def _command() -> click.Command:
    """Kedro's command with our reading of `--params`."""
    command = copy.copy(kedro_run)
    command.params = [copy.copy(option) for option in kedro_run.params]
    next(option for option in command.params if option.name == "params").callback = _parameters
    command.callback = _run
    return command


run = _command()


@click.group(name="blood_kedro")
def cli() -> None:
    """Commands of this project that take the place of Kedro's."""


cli.add_command(run)
