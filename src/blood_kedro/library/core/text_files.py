"""Text of strangers: files that may be no files, of any length, in any encoding, made to harm who reads them.

Whatever is wrong is a `BadInputError`, whose message is a reason for rejects.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.files import no_regular_file

# Larger files are not read. A COCO json takes about six times its size in memory, of empty objects far more.
TEXT_LIMIT = 16 * 2**20
JSON_LIMIT = 256 * 2**20
_MOST_LINES = 200_000
_MOST_OBJECTS = 10_000_000
# Longer whole numbers than this are kept as text: nothing counts that far, and converting them takes long.
_LONGEST_INT = 18


def read_regular(path: Path, limit: int = TEXT_LIMIT) -> bytes:
    """Content of a regular file of at most `limit` bytes.

    Raises:
        BadInputError: it is no regular file, cannot be read, or is larger.
    """
    why = no_regular_file(path)
    if why is not None:
        raise BadInputError(why)
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise BadInputError(f"cannot be read: {error.strerror or error}") from error
    if len(content) > limit:
        raise BadInputError(f"larger than {limit // 2**20} MB")
    return content


def read_text(path: Path, limit: int = TEXT_LIMIT) -> str:
    """Text of a regular file in UTF-8, with or without a byte order mark, its line ends as they are.

    Raises:
        BadInputError: it is no regular file, cannot be read, is larger than `limit` bytes, or is not UTF-8.
    """
    content = read_regular(path, limit)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        form = "UTF-16" if content[:2] in {b"\xff\xfe", b"\xfe\xff"} else "not UTF-8"
        raise BadInputError(f"text is {form}; save it as UTF-8") from error
    if "\0" in text:
        raise BadInputError("no text: it holds zero bytes")
    return text


def read_lines(path: Path) -> list[str]:
    """Lines of a text file, `read_text`.

    Raises:
        BadInputError: `read_text`, or there are more lines than any picture has cells.
    """
    lines = read_text(path).splitlines()
    if len(lines) > _MOST_LINES:
        raise BadInputError(f"more than {_MOST_LINES} lines")
    return lines


class Repeated(dict[str, Any]):
    """An object of a json that has a key twice: whoever uses it must say which was meant, and nobody can."""


def read_json(path: Path, limit: int = JSON_LIMIT) -> Any:  # noqa: ANN401 - whatever a file holds
    """Content of a JSON file; an object with a key twice is `Repeated`.

    Numbers beyond what a float holds are infinite, whole numbers of more than 18 digits stay text.

    Raises:
        BadInputError: `read_text`, or the text is no JSON, or is nested too deep or too large to be held.
    """
    text = read_text(path, limit)
    if text.count("{") + text.count("[") > _MOST_OBJECTS:
        raise BadInputError(f"more than {_MOST_OBJECTS} objects and lists")
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_int)
    except RecursionError as error:
        raise BadInputError("nested too deep") from error
    except ValueError as error:
        raise BadInputError(f"no JSON: {error}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    return content if len(content) == len(pairs) else Repeated(content)


def _int(text: str) -> int | str:
    return int(text) if len(text) <= _LONGEST_INT else text


def printable(text: str) -> str:
    """The same text, what UTF-8 cannot hold written as escapes: names of files may be any bytes."""
    try:  # bytes of a file's name, as Python keeps them
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")
