"""Where runs are tracked: whether it is there, before anything waits for it, and who may create it."""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from blood_kedro.library.core.errors import TrackingError

# Long enough for a server far away, short enough for a person who waits. MLFLOW_HTTP_REQUEST_TIMEOUT overrules it.
PROBE_S = 4.0
# Another run makes the tables in seconds; on a slow disk in a minute.
_CREATION_S = 180.0
_BUSY_S = 5.0
_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
_TIMEOUT, _RETRIES = "MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
_AWAY = (
    "start it, or correct MLFLOW_TRACKING_URI; unset, runs go into mlruns.db here. A slow one: "
    f"{_TIMEOUT}=60 waits as many seconds"
)


def check(uri: str) -> None:
    """See that a tracking store can be reached, or written to, within a few seconds.

    Args:
        uri: as MLflow takes it; kinds that are not known here are left to MLflow.

    Raises:
        TrackingError: it cannot.
    """
    file = database_file(uri)
    if file is not None:
        _check_file(file)
        return
    parts = urlsplit(uri)
    kind = parts.scheme.partition("+")[0]
    if kind in ("http", "https"):
        _within(lambda: _ask(uri), _without_password(uri))
    elif kind in _PORTS and parts.hostname:
        address = (parts.hostname, parts.port or _PORTS[kind])
        _within(lambda: socket.create_connection(address, _seconds()).close(), _without_password(uri))


def database_file(uri: str) -> Path | None:
    """The file of a SQLite database, absolute; None for all else, and for a database in memory."""
    if not uri.startswith("sqlite:///"):
        return None
    name = unquote(uri.removeprefix("sqlite:///").partition("?")[0])
    return None if name in ("", ":memory:") else Path(name).absolute()


@contextmanager
def sole_creator(uri: str) -> Iterator[None]:
    """Of several first runs on one SQLite database, one makes its tables; the others wait.

    Raises:
        TrackingError: another one takes minutes, or the folder cannot be written to.
    """
    file = database_file(uri)
    if file is None:
        yield
        return
    from filelock import FileLock, Timeout

    lock = FileLock(f"{file}.lock", timeout=_CREATION_S)
    try:
        lock.acquire()
    except Timeout as error:
        raise TrackingError(
            "another run has been making the tracking database for minutes",
            where=str(file),
            remedy="stop it and start again; if none is left, delete the file that ends in .lock",
        ) from error
    except OSError as error:
        raise _not_writable(file, error) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def impatient() -> Iterator[None]:
    """MLflow's requests give up after seconds, not after its usual four minutes; settings of the user's are kept."""
    before = {name: os.environ.get(name) for name in (_TIMEOUT, _RETRIES)}
    os.environ.setdefault(_TIMEOUT, str(int(PROBE_S)))
    os.environ.setdefault(_RETRIES, "1")
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _seconds() -> float:
    try:
        return float(os.environ.get(_TIMEOUT) or PROBE_S)
    except ValueError as error:
        raise TrackingError("no number of seconds", where=_TIMEOUT, got=os.environ[_TIMEOUT]) from error


def _ask(uri: str) -> None:
    """Any answer will do, but that of a server that is out of order: what it says is MLflow's business."""
    import requests

    out_of_order = 500
    with requests.get(uri.rstrip("/") + "/health", timeout=_seconds(), stream=True) as answer:
        if answer.status_code >= out_of_order:
            answer.raise_for_status()


def _within(ask: Callable[[], None], uri: str) -> None:
    """Call it, but wait no longer than allowed: names and slow answers have no time limit of their own.

    Raises:
        TrackingError: it failed, or it did not end in time.
    """
    failed: list[Exception] = []

    def call() -> None:
        try:
            ask()
        except Exception as error:  # whatever it is, the server is not there
            failed.append(error)

    asking = threading.Thread(target=call, daemon=True)
    asking.start()
    asking.join(_seconds() + 1)
    if asking.is_alive() or failed:
        cause = failed[0] if failed else None
        got = f"no answer within {_seconds():g} s" if cause is None else " ".join(f"{cause}".split())[:200]
        raise TrackingError("the tracking server cannot be reached", where=uri, got=got, remedy=_AWAY) from cause


def _without_password(uri: str) -> str:
    parts = urlsplit(uri)
    return uri if not parts.password else uri.replace(f":{parts.password}@", ":***@")


def _check_file(file: Path) -> None:
    if file.is_dir():
        raise TrackingError(
            "a folder stands where the tracking database should be",
            where=str(file),
            expected="a SQLite file, or nothing",
            remedy="move it away, or name another database: MLFLOW_TRACKING_URI=sqlite:////absolute/path.db",
        )
    if file.exists() and not file.is_file():
        raise TrackingError("the tracking database is no file", where=str(file), remedy="move away what stands there")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists() and file.stat().st_size:
            with closing(sqlite3.connect(file, timeout=_BUSY_S, isolation_level=None)) as database:
                database.execute("SELECT count(*) FROM sqlite_master").fetchone()
                database.execute("BEGIN IMMEDIATE")
                database.execute("ROLLBACK")
    except OSError as error:
        raise _not_writable(file, error) from error
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise _not_writable(file, error) from error
        raise TrackingError(
            "the tracking database is locked by another program",
            where=str(file),
            got=f"still after {_BUSY_S:g} s",
            remedy="close what has it open (a database browser, a backup) and start again",
        ) from error
    except sqlite3.DatabaseError as error:
        raise TrackingError(
            "the tracking database is damaged, or no database",
            where=str(file),
            got=str(error),
            remedy=f"put back a copy, or move it away (mv {file.name} {file.name}.damaged): a new one is made. Results "
            "under data/ are not in it",
        ) from error


def _not_writable(file: Path, error: Exception) -> TrackingError:
    return TrackingError(
        "the tracking database cannot be written",
        where=str(file),
        got=str(error),
        remedy="make its folder writable, or name another: MLFLOW_TRACKING_URI=sqlite:////absolute/path.db",
    )
