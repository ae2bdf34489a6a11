"""No network, no writing outside tmp_path, and fixtures that generate what they need."""

from __future__ import annotations

import importlib.util
import shutil
import socket
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = Path(__file__).parents[1]
SHARED_DATA = PROJECT.parent / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files first: of two test processes, none is left alone with them at the end.

    One file that looks at the demo is before all others, and the rest of these are the last slow ones: they would wait
    for the process that makes it.
    """
    of_demo = sorted({item.path for item in items if "demo" in getattr(item, "fixturenames", ())}, reverse=True)

    def turn(item: pytest.Item) -> int:
        if item.path in of_demo:
            return 2 if of_demo.index(item.path) else 0
        return 1 if "slow" in item.keywords else 3

    items.sort(key=turn)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if self.family == socket.AF_UNIX or (isinstance(address, tuple) and address[0] in {"127.0.0.1", "::1"}):
            return connect(self, address)  # type: ignore[arg-type]
        raise OSError(f"tests do not reach the network: {address}")

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real smears beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real smears at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project's configuration in an empty folder: runs write there only."""
    return copy_project(tmp_path / "project")


def copy_project(folder: Path) -> Path:
    """Configuration without code (the package is installed) and without data."""
    folder.mkdir(parents=True)
    shutil.copytree(PROJECT / "conf", folder / "conf")
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copyfile(PROJECT / name, folder / name)
    (folder / "src").mkdir()
    return folder


def load_script(name: str) -> ModuleType:
    """A file of `scripts/`, which is no package, as a module."""
    spec = importlib.util.spec_from_file_location(name, PROJECT / f"scripts/{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
