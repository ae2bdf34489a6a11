"""Ways in which a file goes bad, by accident or by intent; every way is a function of a path and a random generator."""

from __future__ import annotations

import codecs
import os
import re
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

Rng = np.random.Generator
Way = Callable[[Path, Rng], None]
# What stands in for a number: beyond every range, or none at all.
_ODD_NUMBERS = (
    "1e309",
    "-1e309",
    "NaN",
    "Infinity",
    "-1",
    "0",
    "1e-20",
    "99999999999999999999",
    "1" * 400,
    "true",
    "null",
    '"12"',
    "[1]",
    "{}",
    "0x10",
    "1,5",
    "\u0663",
)
_FOREIGN = (
    b"%!PS-Adobe-3.0\n(/etc/passwd) (r) file\nshowpage\n",
    b"\x80\x04\x95\x0f" + bytes(7) + b"cposix\nsystem\n.",
    b"<html><script>alert(1)</script></html>",
    b"PK\x03\x04" + bytes(40),
    b"",
    b"\x00" * 4096,
    b"\xff" * 4096,
    b"null",
    b"[]",
    b"{}",
    b"3",
    b'"text"',
    b"\xef\xbb\xbf",
    b"GIF89a\xff\xff\xff\xff\x00\x00\x00;",
    b"\xff\xd8\xff\xd9",
)
_ODD_NAMES = (
    "a b.{}",
    "a,b=c.{}",
    "o'brien.{}",
    "名前.{}",
    "e\u0301.{}",
    "line\nbreak.{}",
    "<b>x.{}",
    "{}",
    "-rf.{}",
    "x" * 200 + ".{}",
)


def cut(path: Path, rng: Rng) -> None:
    """The end is missing."""
    content = path.read_bytes()
    path.write_bytes(content[: int(rng.integers(0, max(1, len(content))))])


def flip(path: Path, rng: Rng) -> None:
    """Some bytes are other ones; half of the time near the start, where headers are."""
    content = bytearray(path.read_bytes())
    reach = min(len(content), 64 if rng.random() < 0.5 else len(content))
    for place in rng.integers(0, max(1, reach), int(rng.integers(1, 9))):
        if content:
            content[place] = int(rng.integers(0, 256))
    path.write_bytes(content)


def run(path: Path, rng: Rng) -> None:
    """A run of bytes is zero, missing, or there twice."""
    content = path.read_bytes()
    start, length = int(rng.integers(0, max(1, len(content)))), int(rng.integers(1, 400))
    middle = content[start : start + length]
    between = (bytes(len(middle)), b"", middle * 2)[int(rng.integers(0, 3))]
    path.write_bytes(content[:start] + between + content[start + length :])


def foreign(path: Path, rng: Rng) -> None:
    """Something else stands under the name."""
    path.write_bytes(_FOREIGN[int(rng.integers(0, len(_FOREIGN)))])


def long_tail(path: Path, rng: Rng) -> None:
    """Random bytes follow."""
    path.write_bytes(path.read_bytes() + rng.bytes(int(rng.integers(1, 5000))))


def no_file(path: Path, rng: Rng) -> None:
    """A folder, a pipe, a device or a link in a circle has the name of the file."""
    path.unlink()
    kind = int(rng.integers(0, 5))
    if kind == 0:
        (path / "inner").mkdir(parents=True)
    elif kind == 1:
        os.mkfifo(path)
    else:
        path.symlink_to((path.name, "/dev/zero", "/dev/stdin")[kind - 2])


def other_name(path: Path, rng: Rng) -> None:
    """An odd name, or one that is no UTF-8."""
    suffix = path.suffix.lstrip(".")
    if rng.random() < 0.2:
        path.rename(path.with_name(os.fsdecode(b"\xff\xfe." + suffix.encode())))
    else:
        path.rename(path.with_name(_ODD_NAMES[int(rng.integers(0, len(_ODD_NAMES)))].format(suffix)))


def second_name(path: Path, rng: Rng) -> None:
    """The same content once more, under a name that is nearly the same."""
    other = (
        path.with_suffix(path.suffix.upper()),
        path.with_name(path.stem + "_" + path.suffix[1:] + path.suffix),
        path.with_suffix(".png" if path.suffix != ".png" else ".bmp"),
    )[int(rng.integers(0, 3))]
    if not other.exists():
        shutil.copy(path, other)


def _png(width: int, height: int, *extra: tuple[bytes, bytes]) -> bytes:
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        *extra,
        (b"IDAT", zlib.compress(bytes(64))),
        (b"IEND", b""),
    ]
    made = b"\x89PNG\r\n\x1a\n"
    for name, content in chunks:
        made += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return made


def _tiff(width: int, height: int, samples: int = 3) -> bytes:
    tags = (
        (256, 4, width),
        (257, 4, height),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 2),
        (273, 4, 8),
        (277, 3, samples),
        (278, 4, height),
        (279, 4, 100),
    )
    body = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", len(tags)) + body + bytes(4)


def _bmp(width: int, height: int) -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHI", 54, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    )


def bomb(path: Path, rng: Rng) -> None:
    """A small file that says that it is huge, or unpacks to much."""
    huge = (60_000, 60_000), (2_000_000_000, 2), (1, 2_000_000_000), (100_000, 1), (1, 1)
    width, height = huge[int(rng.integers(0, len(huge)))]
    text = zlib.compress(bytes(100_000_000), 9)
    made = (
        _png(width, height),
        _tiff(width, height),
        _tiff(width, height, 60_000),
        _bmp(width, height),
        _bmp(width, -height),
        _png(8, 8, (b"zTXt", b"c\0\0" + text)),
        _png(8, 8, (b"iCCP", b"c\0\0" + text)),
        _png(8, 8, *[(b"tEXt", b"k\0v")] * 50_000),
    )
    path.write_bytes(made[int(rng.integers(0, len(made)))])


def odd_number(path: Path, rng: Rng) -> None:
    """A number of a text is beyond its range, or none."""
    text = path.read_text(errors="replace")
    places = list(re.finditer(r"-?\d+(\.\d+)?", text))
    count = min(len(places), int(rng.integers(1, 4)))
    for place in sorted(rng.permutation(len(places))[:count], reverse=True):  # from the end, so that places stay right
        start, end = places[place].span()
        text = text[:start] + _ODD_NUMBERS[int(rng.integers(0, len(_ODD_NUMBERS)))] + text[end:]
    path.write_text(text)


def odd_word(path: Path, rng: Rng) -> None:
    """A word of a text is another one, or gone."""
    text = path.read_text(errors="replace")
    places = list(re.finditer(r"[A-Za-z_][\w./]*", text))
    if places:
        start, end = places[int(rng.integers(0, len(places)))].span()
        words = (
            "",
            "x",
            "../../../etc/passwd",
            "/dev/zero",
            "<b>",
            "\0",
            "é" * 300,
            "images\\a.png",
            "&a;",
            "*a",
            "!!python/object/apply:os.getcwd []",
        )
        path.write_text(text[:start] + words[int(rng.integers(0, len(words)))] + text[end:])


def lines(path: Path, rng: Rng) -> None:
    """Lines are missing, there twice, blank, or without end."""
    rows = path.read_text(errors="replace").splitlines()
    place = int(rng.integers(0, max(1, len(rows))))
    kept = (
        rows[:place] + rows[place + 1 :],
        rows[: place + 1] * 2,
        [*rows, "", "", " "],
        [" ".join(rows * 3)],
        [*rows, "9" * 3_000_000],
    )
    path.write_text("\n".join(kept[int(rng.integers(0, len(kept)))]))


def encoded(path: Path, rng: Rng) -> None:
    """Another encoding, a mark of byte order, other line ends."""
    text = path.read_text(errors="replace")
    made = (
        codecs.BOM_UTF8 + text.encode(),
        text.encode("utf-16"),
        text.encode("utf-32"),
        text.replace("\n", "\r\n").encode(),
        text.replace("\n", "\r").encode(),
        text.encode("latin-1", "replace") + b"\xe9",
        b'<?xml version="1.0" encoding="nonsense"?>' + text.encode(),
    )
    path.write_bytes(made[int(rng.integers(0, len(made)))])


def deep(path: Path, rng: Rng) -> None:
    """Nested without end, or names that stand for more and more names."""
    names = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else '1'}]" for n in range(12)]
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "x"}">' for n in range(12))
    made = (
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 50_000 + "1" + "}" * 50_000,
        "\n".join(names),
        "{" * 20_000,
        "- " * 30_000 + "x",
        f"<!DOCTYPE annotation [{entities}]><annotation>&e11;</annotation>",
        "<a>" * 50_000,
        '<!DOCTYPE annotation [<!ENTITY f SYSTEM "file:///etc/passwd">]>'
        "<annotation><object><name>&f;</name></object></annotation>",
    )
    path.write_text(made[int(rng.integers(0, len(made)))])


ANY: tuple[Way, ...] = (cut, flip, flip, run, foreign, long_tail, no_file)
PICTURE: tuple[Way, ...] = (*ANY, bomb, bomb, other_name, second_name)
TEXT: tuple[Way, ...] = (*ANY, odd_number, odd_number, odd_number, odd_word, odd_word, lines, encoded, deep)
