"""Environments keep their results apart: `base` in the results root itself, every other one in a folder of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.config import OmegaConfigLoader

from blood_kedro.library.core.errors import ConfigurationError

if TYPE_CHECKING:
    from blood_kedro.plan import Plan

BASE = "base"
# Kedro's default overlay holds settings of a machine; it is no environment of ours.
_OVERLAY = "local"
_ROOT, _RAW_ROOT = "results_root", "raw_root"
_PARAMETERS = "parameters"


def name_of(environment: str | None) -> str:
    """The environment whose results are meant: `base` where none, or only the overlay `local`, is named."""
    return BASE if environment in (None, "", _OVERLAY) else str(environment)


def results_folder(root: str, environment: str | None) -> str:
    """Folder of the results of an environment below the results root."""
    name = name_of(environment)
    return root if name == BASE else f"{root}/{name}"


def _raw_root(path: str) -> str:
    """A folder that the configuration can name, `~` written out.

    Raises:
        ConfigurationError: it holds braces, which are names of datasets and references in Kedro's configuration.
    """
    if {"{", "}"} & set(path):
        raise ConfigurationError(
            "the folder of raw data must not have braces in its name",
            where="raw_root, RAW= or BLOOD_KEDRO_RAW",
            got=path,
            remedy="rename it, or name a link to it: ln -s '<folder>' raw",
        )
    return os.path.expanduser(path)  # noqa: PTH111 - a Path would change what it need not


class EnvironmentConfigLoader(OmegaConfigLoader):
    """Reads configuration as Kedro does; `${globals:results_root}` is the folder of the environment that is read.

    So a new environment has a folder of its own without saying so, and cannot share that of another.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - those of OmegaConfigLoader
        super().__init__(*args, **kwargs)
        self._globals_oc = None  # what was resolved before the next line
        self._written: dict[str, Any] | None = None
        values = dict(self["globals"])
        self["globals"] = {
            **values,
            _ROOT: results_folder(values[_ROOT], self.env),
            _RAW_ROOT: _raw_root(str(values[_RAW_ROOT])),
        }

    def __getitem__(self, key: str) -> dict[str, Any]:
        """As Kedro's; but the globals are those of this loader, and what is short in the parameters is written out.

        Raises:
            ConfigurationError: the parameters have a key that nothing reads.
        """
        self._register_globals_resolver()
        if key == _PARAMETERS and key not in self.data:
            # Also for `kedro viz`, which has no session whose hooks could do it.
            from blood_kedro.plan import written_out

            self[key] = written_out(self.as_written())
        section: dict[str, Any] = super().__getitem__(key)
        return section

    def as_written(self) -> dict[str, Any]:
        """Merged parameters as files and the command line have them, nothing written out."""
        if self._written is None:
            self._register_globals_resolver()
            self._written = dict(super().__getitem__(_PARAMETERS))
        return self._written


def config_loader(project: Path, environment: str | None = None) -> EnvironmentConfigLoader:
    """The configuration of a project outside a session; `KEDRO_ENV` names the environment where nothing else does."""
    from kedro.framework.project import configure_project, settings

    configure_project("blood_kedro")
    environment = environment or os.environ.get("KEDRO_ENV") or None
    source = str(project / settings.CONF_SOURCE)
    return EnvironmentConfigLoader(conf_source=source, env=environment, **settings.CONFIG_LOADER_ARGS)


def plan_of_files(project: Path | None = None, environment: str | None = None) -> Plan:
    """The plan of files alone, for what runs outside a session: `kedro registry`, `kedro viz`, documentation.

    Args:
        project: its root; None finds it from the working directory.
        environment: as of `config_loader`.

    Raises:
        ConfigurationError: the files hold something that cannot be meant.
    """
    from kedro.utils import find_kedro_project

    from blood_kedro.plan import build_completed

    root = project or find_kedro_project(Path.cwd()) or Path.cwd()
    return build_completed(config_loader(Path(root), environment)["parameters"])


def parameters_of_files(source: str, environment: str | None) -> dict[str, Any]:
    """Parameters of a folder of configuration in an environment, without those of the command line."""
    from kedro.framework.project import settings

    loader = EnvironmentConfigLoader(conf_source=source, env=environment, **settings.CONFIG_LOADER_ARGS)
    return loader.as_written()


def results_root(project: Path, environment: str | None = None) -> Path:
    """Folder of the results of an environment: absolute if `project` is."""
    return project / str(config_loader(project, environment)["globals"][_ROOT])
