"""Where runs are tracked is away, broken, locked, or made by two runs at once."""

from __future__ import annotations

import http.server
import multiprocessing
import os
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from blood_kedro import tracking_store
from blood_kedro.library.core.errors import TrackingError
from tests.conftest import copy_project
from tests.pipelines.runs import command, environment, kedro_run, runs_of


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """A server that gives one answer to everything; its address."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - named by http.server

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@contextmanager
def silent() -> Iterator[str]:
    """A server that takes connections and says nothing; its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(20)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def refused(scheme: str) -> Iterator[str]:
    """An address that nobody listens at."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"{scheme}://127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.parametrize("scheme", ["http", "postgresql", "mysql+pymysql"])
def test_a_server_that_is_not_there_is_said_at_once(scheme: str) -> None:
    began = time.monotonic()
    with refused(scheme) as uri, pytest.raises(TrackingError, match="cannot be reached") as raised:
        tracking_store.check(uri)
    assert "MLFLOW_TRACKING_URI" in raised.value.remedy
    assert time.monotonic() - began < 5


def test_a_server_that_says_nothing_is_given_up_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    began = time.monotonic()
    with silent() as uri, pytest.raises(TrackingError, match="cannot be reached") as raised:
        tracking_store.check(uri)
    assert raised.value.where == uri
    assert time.monotonic() - began < 5


def test_a_name_that_is_looked_up_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "0.2")
    monkeypatch.setattr(tracking_store, "_ask", lambda _: time.sleep(30))
    with pytest.raises(TrackingError, match="no answer within"):
        tracking_store.check("http://tracking.example.org")


def test_a_server_out_of_order_is_said_and_any_other_answer_is_one() -> None:
    with answering(500, b"oops") as uri, pytest.raises(TrackingError, match="500"):
        tracking_store.check(uri)
    with answering(401, b"who are you") as uri:
        tracking_store.check(uri)


def test_a_password_is_not_shown() -> None:
    with refused("postgresql") as uri, pytest.raises(TrackingError) as raised:
        tracking_store.check(uri.replace("//", "//mlflow:secret@"))
    assert "secret" not in str(raised.value)


def test_a_database_that_is_not_there_yet_or_is_well_is_fine(tmp_path: Path) -> None:
    file = tmp_path / "new folder" / "mlruns.db"
    tracking_store.check(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE a (b)")
        database.commit()
    tracking_store.check(f"sqlite:///{file}")
    tracking_store.check("sqlite:///:memory:")
    tracking_store.check(str(tmp_path / "mlruns"))


def test_a_broken_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "mlruns.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(TrackingError, match="damaged") as raised:
        tracking_store.check(f"sqlite:///{tmp_path / 'mlruns.db'}")
    assert "mv mlruns.db" in raised.value.remedy


def test_a_cut_database_is_said(tmp_path: Path) -> None:
    file = tmp_path / "mlruns.db"
    with closing(sqlite3.connect(file)) as database:
        database.executescript("".join(f"CREATE TABLE t{k} (a, b, c);" for k in range(200)))
    os.truncate(file, 6000)
    with pytest.raises(TrackingError):
        tracking_store.check(f"sqlite:///{file}")


def test_what_is_no_file_in_place_of_the_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    for name, said in (("folder", "a folder stands"), ("pipe", "no file"), ("file/mlruns.db", "cannot be written")):
        with pytest.raises(TrackingError, match=said):
            tracking_store.check(f"sqlite:///{tmp_path / name}")


def test_a_locked_database_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking_store, "_BUSY_S", 0.2)
    file = tmp_path / "mlruns.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("CREATE TABLE a (b)")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingError, match="locked"):
            tracking_store.check(f"sqlite:///{file}")


def create(uri: str, log: str) -> None:
    """Write down when the database is made, and when that has ended."""
    with tracking_store.sole_creator(uri):
        for word in ("begin", "end"):
            with Path(log).open("a") as file:
                file.write(f"{word}\n")
            time.sleep(0.3)


def test_one_process_at_a_time_makes_the_database(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    uri, log = f"sqlite:///{tmp_path / 'mlruns.db'}", tmp_path / "log"
    both = [context.Process(target=create, args=(uri, str(log))) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join(120)
    assert [each.exitcode for each in both] == [0, 0]
    assert log.read_text().split() == ["begin", "end", "begin", "end"]


def test_patience_is_as_before_when_the_start_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    with tracking_store.impatient():
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "4"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "5"
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "5"


@pytest.mark.slow
def test_two_first_runs_at_once_both_end_well(tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "project")
    both = [
        subprocess.Popen(
            command("--pipelines=reporting"),
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    said = [each.communicate(timeout=400)[0] for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    assert [run.info.status for run in runs_of(folder)] == ["FINISHED", "FINISHED"]


@pytest.mark.slow
@pytest.mark.parametrize(("status", "body"), [(500, b"oops"), (200, b"<html>hello</html>"), (404, b"no such page")])
def test_a_run_says_that_the_server_is_no_tracking_server(tmp_path: Path, status: int, body: bytes) -> None:
    folder = copy_project(tmp_path / "project")
    with answering(status, body) as uri:
        done = subprocess.run(
            command("--pipelines=reporting"),
            cwd=folder,
            env={**environment(), "MLFLOW_TRACKING_URI": uri},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert done.returncode == 1
    assert uri in done.stderr
    assert "MLFLOW_TRACKING_URI" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "data").exists()


@pytest.mark.slow
def test_something_in_the_way_of_results_is_said_and_the_run_has_failed(tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "project")
    (folder / "data").mkdir()
    (folder / "data/08_reporting").write_text("in the way")
    done = kedro_run(folder, "--pipelines=reporting", check=False)
    assert done.returncode == 1
    said = done.stderr[done.stderr.index("Error: ") :]
    assert "08_reporting" in said
    assert "what to do: " in said
    assert "Traceback" not in done.stderr
    assert {run.info.status for run in runs_of(folder)} == {"FAILED"}
