"""Files and folders that are written whole, that others may read, and of which killed runs leave nothing."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from blood_kedro.library.core import files
from blood_kedro.library.core.files import PART, replaced_folder, sweep, write_atomically, write_bytes_atomically


@pytest.fixture(params=[0o022, 0o077, 0o002])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def private(path: Path) -> None:
    """What a writer does that makes files for their owner alone, as safetensors does."""
    path.unlink()
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    path.write_bytes(b"x")


def test_the_mode_is_as_the_umask_says(tmp_path: Path, umask: int) -> None:
    write_bytes_atomically(tmp_path / "a.json", b"{}")
    write_atomically(tmp_path / "b.bin", private)
    with replaced_folder(tmp_path / "c") as new:
        (new / "sub").mkdir()
        (new / "sub/d").touch()
        private(new / "sub/d")
    assert [mode(tmp_path / name) for name in ("a.json", "b.bin", "c/sub/d")] == [0o666 & ~umask] * 3
    assert [mode(tmp_path / name) for name in ("c", "c/sub")] == [0o777 & ~umask] * 2


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_is_replaced_whole_or_not_at_all(
    tmp_path: Path, exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchange:
        monkeypatch.setattr(files, "_exchanged", lambda *_: False)
    target = tmp_path / "masks"
    for names in (["a", "b"], ["b", "c"]):
        with replaced_folder(target) as new:
            for name in names:
                (new / name).write_text(name)
            assert not target.exists() or sorted(p.name for p in target.iterdir()) == ["a", "b"]
        assert sorted(path.name for path in target.iterdir()) == names
    with pytest.raises(RuntimeError), replaced_folder(target) as new:
        (new / "d").touch()
        raise RuntimeError
    assert sorted(path.name for path in target.iterdir()) == ["b", "c"]
    assert [path.name for path in tmp_path.iterdir()] == ["masks"]


KILLED = """
import sys, time
from pathlib import Path
from blood_kedro.library.core.files import replaced_folder, write_atomically
folder = Path(sys.argv[1])

def slow(path):
    path.write_bytes(b"half")
    with replaced_folder(folder / "masks") as new:
        (new / "half").touch()
        print("ready", flush=True)
        time.sleep(60)

write_atomically(folder / "figure.png", slow)
"""


def test_what_a_killed_run_leaves_is_swept_by_the_next_but_not_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{PART}abcdefg.json").touch()  # of a version that did not say whose it is
    foreign = tmp_path / f"{PART}00000000-1-1-abcd"
    foreign.touch()
    other = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"
    sweep(tmp_path)
    parts = {path for path in tmp_path.iterdir() if path.name.startswith(PART)}
    assert len(parts) == 3
    assert foreign in parts  # another machine may be at it
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    write_bytes_atomically(tmp_path / "figure.png", b"whole")
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"figure.png", foreign.name}
    os.utime(foreign, (time.time() - 2 * 24 * 3600,) * 2)
    monkeypatch.setattr(files, "_swept", set())
    write_bytes_atomically(tmp_path / "figure.png", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]


def test_a_number_of_a_process_that_is_used_again_does_not_keep_litter(tmp_path: Path) -> None:
    mine = files.temporary_name(tmp_path).name
    machine, process, started, token = mine.removeprefix(PART).split("-")
    assert process == str(os.getpid())
    (tmp_path / mine).touch()
    (tmp_path / f"{PART}{machine}-{process}-{int(started) + 1}-{token}").touch()
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [mine]
