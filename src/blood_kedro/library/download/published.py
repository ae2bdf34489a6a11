"""The table of public sets, `published.yml`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter

from blood_kedro.library.core.hashing import sha256_of_file

_TABLE = Path(__file__).with_name("published.yml")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Archive(_Frozen):
    """A file to fetch from the first of its addresses that has it, and to unpack.

    `strip` leaves out so many leading folders. `find` names the folder that matters: it is looked for, also in archives
    inside the archive, and becomes the only content. `checksum` is of the file, `sha256:...` or `md5:...`, where it is
    known and does not change.
    """

    name: str
    urls: tuple[str, ...]
    checksum: str | None = None
    strip: int = 0
    find: str | None = None


class Check(_Frozen):
    """How many files of a pattern a complete copy has, and the digest of their list (see `published.yml`).

    Without a count, which nobody here could take, at least one: that is the layout that the reader of the set expects.
    """

    files: str
    count: int | None = None
    sha256: str | None = None


class Published(_Frozen):
    """A public set: what it is, what may be done with it, where it is, and how to know that all of it is here."""

    title: str
    home: str
    licence: str
    citation: str
    images: int | None
    size_mb: float | None
    labels: str
    tried: bool
    archives: tuple[Archive, ...]
    doi: str | None = None
    mirror_doi: str | None = None
    account: Literal["kaggle"] | None = None
    by_hand: str | None = None
    checks: tuple[Check, ...]
    known_faults: str


@cache  # a file of the package: it changes with the code alone
def published() -> dict[str, Published]:
    """Every set of the table, by name."""
    return TypeAdapter(dict[str, Published]).validate_python(yaml.safe_load(_TABLE.read_text(encoding="utf-8")))


def problems(folder: Path, checks: tuple[Check, ...]) -> Iterator[str]:
    """What a copy of a set lacks, in words; nothing if it is complete and unchanged."""
    for check in checks:
        files = [p for p in sorted(folder.glob(check.files)) if p.is_file() and not p.name.startswith(".")]
        if check.count is None and not files:
            yield f"no file {check.files}"
        elif check.count is not None and len(files) != check.count:
            yield f"{len(files)} files {check.files}, expected {check.count}"
        elif check.sha256 is not None and _digest(folder, files) != check.sha256:
            yield f"the files {check.files} differ from those this project was made with"


def _digest(folder: Path, files: list[Path]) -> str:
    lines = (f"{sha256_of_file(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
