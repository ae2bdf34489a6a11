"""Which files of a set are its pictures and its label files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.files import no_regular_file
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.text_files import printable, read_regular
from blood_kedro.library.imaging.read import is_litter

_OF_LABELS = {".txt", ".xml"}


def files_below(root: Path, folder: Path, suffixes: set[str], rejects: RejectLog) -> list[Path]:
    """Regular files below `root` with one of these suffixes, in order of path; others of such a name are rejects.

    What operating systems leave behind is no part of a set. Names that are not UTF-8 are rejects, too: no table can
    hold them.
    """
    return _usable(sorted(root.rglob("*")), folder, suffixes, rejects)


def files_by_stem(folder: Path, suffixes: set[str], root: Path, rejects: RejectLog) -> dict[str, Path]:
    """Files of a folder by name without suffix, numbers in numeric order; a second file of a name is a reject."""
    if not folder.is_dir():
        return {}
    files = _usable(folder.iterdir(), root, suffixes, rejects)
    files.sort(key=lambda p: (not _is_number(p.stem), int(p.stem) if _is_number(p.stem) else 0, p.name))
    by_stem: dict[str, Path] = {}
    for path in files:
        if path.stem in by_stem:
            second_of_name(path, by_stem[path.stem], root, rejects)
        else:
            by_stem[path.stem] = path
    return by_stem


def paired(
    images: dict[str, Path], labels: dict[str, Path], root: Path, rejects: RejectLog
) -> Iterator[tuple[Path, Path]]:
    """Image and label file of each name that has both; what stands alone becomes a reject.

    An image without a label file is no negative example: such Chula images show about 94 cells each.
    """
    for stem in sorted(labels.keys() - images.keys()):
        without_image(labels[stem], root, rejects)
    for stem, image in images.items():
        if stem in labels:
            yield image, labels[stem]
        else:
            rejects.add(image.relative_to(root), "image", "dropped", "image without label file")


def without_image(path: Path, root: Path, rejects: RejectLog) -> None:
    """A label file that belongs to no image is a reject, and so are its labels."""
    rejects.add(path.relative_to(root), "label_file", "dropped", "label file without image", labels=labels_in(path))


def second_of_name(path: Path, first: Path, root: Path, rejects: RejectLog) -> None:
    """Of two files that one picture or one label file would belong to, the second is a reject."""
    is_labels = path.suffix.lower() in _OF_LABELS
    reason = f"second file of the name of {first.name}"
    kind = "label_file" if is_labels else "image"
    rejects.add(path.relative_to(root), kind, "dropped", reason, labels=labels_in(path) if is_labels else 0)


def labels_in(path: Path) -> int:
    """How many labels a file seems to hold that nobody reads: its objects, or its lines."""
    try:
        content = read_regular(path)
    except BadInputError:
        return 0
    if path.suffix.lower() == ".xml":
        return content.count(b"<object>")
    return sum(bool(line.strip()) for line in content.splitlines())


def _usable(paths: Iterable[Path], folder: Path, suffixes: set[str], rejects: RejectLog) -> list[Path]:
    usable = []
    for path in paths:
        shown = path.relative_to(folder)
        if path.suffix.lower() not in suffixes or is_litter(shown):
            continue
        name = shown.as_posix()
        why = no_regular_file(path) or ("its name is not UTF-8" if printable(name) != name else None)
        if why is None:
            usable.append(path)
        else:
            rejects.add(shown, "label_file" if suffixes <= _OF_LABELS else "image", "dropped", why)
    return usable


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
