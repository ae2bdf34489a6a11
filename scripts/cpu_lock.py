"""Pins without CUDA: `python scripts/cpu_lock.py requirements.lock cpu.lock torch.txt` (used by the Dockerfile).

PyPI's torch needs CUDA's packages even to be imported. Builds for CPUs stand in an index of their own and have other
hashes: torch and torchvision go into `torch.txt`, with their versions alone, everything else but CUDA's packages into
`cpu.lock`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_CUDA = re.compile(r"(nvidia-|cuda-|triton\b)")
_TORCH = re.compile(r"(torch|torchvision)==([^ \\;+]+)")


def split(lock: str) -> tuple[str, str]:
    """The lock without torch and CUDA, and torch's requirements."""
    entries = re.split(r"(?m)^(?=[A-Za-z0-9])", lock)
    torch = [f"{match[1]}=={match[2]}" for entry in entries if (match := _TORCH.match(entry))]
    return "".join(e for e in entries if not _CUDA.match(e) and not _TORCH.match(e)), "\n".join(torch) + "\n"


if __name__ == "__main__":
    without_torch, torch = split(Path(sys.argv[1]).read_text())
    Path(sys.argv[2]).write_text(without_torch)
    Path(sys.argv[3]).write_text(torch)
