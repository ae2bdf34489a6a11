"""Names of which no two are alike: what two inputs would share, one of them would lose."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Sequence

from blood_kedro.library.core.hashing import fingerprint

# Most file systems take names of 255 bytes; the digits and the suffix need some.
_LONGEST_NAME = 230


def distinct(names: Sequence[str], longer: Sequence[str], key: Callable[[str], Hashable] = str) -> list[str]:
    """Each name, or its `longer` form where it would be like another by `key`; names that clash with none stay.

    All that clash take their longer forms, so that the result does not depend on their order.
    """
    chosen = list(names)
    while True:
        counts = Counter(map(key, chosen))
        clashing = [k for k, name in enumerate(chosen) if counts[key(name)] > 1 and name != longer[k]]
        if not clashing:
            return chosen
        for k in clashing:
            chosen[k] = longer[k]


def on_any_disk(name: str) -> str:
    """What a disk that ignores case and Unicode forms makes of a file name: equal for names that it takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def file_names(ids: Sequence[str], suffix: str) -> list[str]:
    """A file name for each id, no two of which are one file on any disk; `/` becomes `__`.

    Ids whose names would be the same, or are too long for a disk, get a few digits of their hash.
    """
    plain = [name.replace("/", "__") for name in ids]
    short = [_shortened(name) for name in plain]
    marked = [f"{name}-{fingerprint(each)[:12]}" for name, each in zip(short, ids, strict=True)]
    fitting = [name if name == cut else mark for name, cut, mark in zip(plain, short, marked, strict=True)]
    return [f"{name}{suffix}" for name in distinct(fitting, marked, on_any_disk)]


def _shortened(name: str) -> str:
    return name.encode()[:_LONGEST_NAME].decode(errors="ignore")
