"""One spoiled input after another through a reader, each in a process of its own with limits of time and memory."""

from __future__ import annotations

import os
import pickle
import resource
import select
import shutil
import signal
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blood_kedro.library.core.errors import BloodKedroError
from tests.attack.readers import Outcome, Target, given, name_of

SECONDS, BYTES = 20.0, 3 * 10**9
_SUFFIXES = {".jpg", ".png", ".tif", ".bmp", ".webp"}


@dataclass(frozen=True)
class Tried:
    """What became of one input: `fault` says what is wrong, and is empty where nothing is."""

    target: str
    way: str
    file: str
    fault: str
    seconds: float
    megabytes: float
    refused: bool


def attempt(target: Target, number: int, seed: int, folder: Path) -> Tried:
    """Spoil one file of a sound input and read it.

    Args:
        target: the reader.
        number: of the mutant; with the seed it decides everything.
        seed: of the whole set.
        folder: empty; gets `in`, `out` and nothing else.
    """
    rng = np.random.default_rng([seed, number])
    source, out = folder / "in", folder / "out"
    source.mkdir(parents=True)
    out.mkdir()
    target.write(source)
    sound = _read(target, source, out)
    if not isinstance(sound.answer, Outcome):
        return Tried(target.name, "none", "", f"the sound input is refused: {sound.answer}", 0, 0, refused=True)
    shutil.rmtree(out)
    out.mkdir()
    pattern, ways, whole = target.spoil[int(rng.integers(0, len(target.spoil)))]
    files = sorted(
        p
        for p in source.rglob("*")
        if p.is_file() and (p.suffix in _SUFFIXES if pattern == "picture" else p.match(pattern))
    )
    file = files[int(rng.integers(0, len(files)))]
    way = ways[int(rng.integers(0, len(ways)))]
    way(file, rng)
    before = _listed(folder, out)
    made = _read(target, source, out)
    fault = made.fault or _fault(sound.answer, made.answer, source, file, whole)
    if not fault and _listed(folder, out) != before:
        fault = "something was written, changed or removed outside of its folder"
    shown = name_of(file.relative_to(source))
    return Tried(
        target.name, way.__name__, shown, fault, made.seconds, made.megabytes, not isinstance(made.answer, Outcome)
    )


def _fault(sound: Outcome, answer: Outcome | str, source: Path, file: Path, whole: bool) -> str:
    if isinstance(answer, str):
        return "" if whole else f"one bad file ended the run: {answer}"
    lost = given(source) - answer.kept - answer.said
    if lost and (sound.kept or sound.said):
        return f"nothing is said of {sorted(lost)}"
    others = sound.kept - {name_of(file.relative_to(source))}
    if not whole and others - answer.kept:
        labels_of_it = {name for name in others - answer.kept if Path(name).stem == file.stem}
        if others - answer.kept - labels_of_it:
            return f"sound files are gone, too: {sorted(others - answer.kept - labels_of_it)}"
    if not sound.kept and answer.same != sound.same:
        return "it was taken, and is another one than it was"
    return ""


@dataclass(frozen=True)
class _Read:
    """An outcome, or the text of an error of ours; what is wrong, time and memory."""

    answer: Outcome | str
    fault: str
    seconds: float
    megabytes: float


def _read(target: Target, source: Path, out: Path) -> _Read:
    """The reader in a forked process; what it uses beyond what this process had is measured."""
    receive, send = os.pipe()
    start = time.perf_counter()
    child = os.fork()
    if child == 0:
        os.close(receive)
        _in_child(target, source, out, send)
    os.close(send)
    content = b""
    timed_out = False
    while True:
        left = SECONDS - (time.perf_counter() - start)
        ready, _, _ = select.select([receive], [], [], max(0, left))
        if not ready:
            timed_out = True
            os.kill(child, signal.SIGKILL)
            break
        part = os.read(receive, 1 << 16)
        if not part:
            break
        content += part
    os.close(receive)
    _, status, _ = os.wait4(child, 0)
    seconds = time.perf_counter() - start
    if timed_out:
        return _Read("", f"not ended after {SECONDS:g} s", seconds, 0)
    if not content:
        return _Read("", f"the process died with status {status}", seconds, 0)
    answer, fault, used = pickle.loads(content)
    if not fault and used > BYTES:
        fault = f"used {used / 1e9:.1f} GB"
    return _Read(answer, fault, seconds, used / 1e6)


def _in_child(target: Target, source: Path, out: Path, send: int) -> None:
    # More than the bound, so that too much is seen as such, and this machine lives on.
    resource.setrlimit(resource.RLIMIT_DATA, (2 * BYTES, 2 * BYTES))
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer: Outcome | str = ""
    fault = ""
    devnull = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(devnull, stream)
    os.chdir(out)
    try:
        answer = target.read(source, out)
    except BloodKedroError as error:
        answer = str(error)
    except BaseException:
        fault = "foreign exception:\n" + traceback.format_exc()[-1500:]
    used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begin) * 1024
    os.write(send, pickle.dumps((answer, fault, used)))
    os._exit(0)


def _listed(folder: Path, out: Path) -> dict[str, object]:
    """Everything but what lies in `out`: kind, size and time of change."""
    listed = {}
    for path in folder.rglob("*"):
        if path != out and not path.is_relative_to(out):
            facts = path.lstat()
            listed[name_of(path)] = (facts.st_mode, facts.st_size, facts.st_mtime_ns if not path.is_dir() else 0)
    return listed
