"""`make bench`: speed and memory of every pipeline, measured here and now, into docs/benchmarks.md.

`make bench PARTS="detector cells"` measures only these and leaves the other sections of the page as they are.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cells
import counting
import cv2
import detector
import duplicates
import overlap
import read_out
import segmentation
import shipped
import smears
import standardization
import torch
from common import ROOT, glances

from blood_kedro.library.core.git import commit_of

PAGE = ROOT / "docs/benchmarks.md"
PARTS: dict[str, Callable[[Path, Path], list[str]]] = {
    "standardization": standardization.report,
    "duplicates": duplicates.report,
    "smears": smears.report,
    "detector": detector.report,
    "cells": cells.report,
    "overlap": overlap.report,
    "segmentation": segmentation.report,
    "counting": counting.report,
    "shipped": shipped.report,
    "read_out": read_out.report,
}
HEAD = (
    "# Benchmarks\n\nWritten by `make bench RAW=<folder>`; every section says when and where it was measured, in one "
    "run with what it is compared to. First each step beside its limit, which is what must be done at least; then each "
    "part on its own.\n\n"
)
# What was aimed at and is not reached, and why: figures of one run, which its first line names.
MISSED = Path(__file__).with_name("missed.md")


def sections(text: str) -> dict[str, str]:
    """The parts of the page that were measured before, by name; each starts with a comment `part: <name>`."""
    pieces = text.split("<!-- part: ")[1:]
    return {piece.partition(" -->")[0]: piece.partition(" -->")[2].strip() for piece in pieces}


def main() -> None:
    """Measure the parts that are asked for, and write the page anew after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"any of {', '.join(PARTS)}; all if none is named")
    chosen = parser.parse_args().parts or list(PARTS)
    raw = Path(os.environ.get("BLOOD_KEDRO_RAW", ROOT / "data/01_raw")).expanduser()
    commit = (commit_of(ROOT) or "unknown")[:7]
    known = sections(PAGE.read_text()) if PAGE.is_file() else {}
    for name in chosen:
        work = Path(tempfile.mkdtemp(prefix="blood-kedro-bench-"))
        try:
            lines = PARTS[name](raw, work)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        versions = f"torch {torch.__version__}, OpenCV {cv2.__version__}"
        where = f"*{time.strftime('%Y-%m-%d')}, commit {commit}, {os.cpu_count()} CPU cores, no GPU, {versions}.*"
        known[name] = "\n".join([where, "", *lines]).strip()
        print(known[name], flush=True)
        parts = (f"<!-- part: {part} -->\n\n{known[part]}\n" for part in PARTS if part in known)
        PAGE.write_text(HEAD + "\n".join([*glances(known.values()), MISSED.read_text(), *parts]))


if __name__ == "__main__":
    main()
