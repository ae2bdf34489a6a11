"""Any set with a COCO json of boxes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from blood_kedro.library.core.errors import SourceNotFoundError
from blood_kedro.library.core.files import no_regular_file
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.text_files import Repeated
from blood_kedro.library.imaging.read import SUFFIXES
from blood_kedro.library.sources.base import RawImage, split_of
from blood_kedro.library.sources.coco_json import CocoJson, Row, key_of, read_coco
from blood_kedro.library.sources.known_format import KnownFormat
from blood_kedro.library.sources.listing import files_below
from blood_kedro.library.sources.values import numbers

# Tried in this order where the entry names none.
_USUAL = ("annotations.json", "_annotations.coco.json", "annotations/*.json", "*/_annotations.coco.json", "*.json")


class CocoFolder(KnownFormat):
    """Layout: one COCO json, or one per split, and images below the folder.

    Images lie in the folder, in `images`, beside the json, or in a folder named as the json is (`train2017` or
    `images/train2017` for `annotations/instances_train2017.json`). Paths of other machines are understood: back-
    slashes, URL escapes, and folders that are not there. Ids may be numbers or text. An annotation with `iscrowd: 1` is
    an ignore region. Boxes are `x, y, w, h` in px with the origin at the top left; where an annotation has none, its
    polygons are what the box is around. An image without an annotation has no cell; one that no json lists is a reject.
    """

    how_to_get = "put its images and a COCO json there, or set annotations: and images: of the source"

    def scan(self, folder: Path, rejects: RejectLog) -> Iterator[RawImage]:
        """Yield every image that a json lists and that is there, in the order of the json."""
        jsons = [coco for path in self._files(folder) if (coco := read_coco(path, folder, rejects)) is not None]
        # Of two pictures of one name in different folders, neither may get the labels of the other.
        lasts = Counter(_last(str(image.get("file_name"))) for coco in jsons for image in coco.images)
        yielded: set[Path] = set()
        for coco in jsons:
            several = coco.several()
            for image in coco.images:
                picture = self._image(image, coco, several, lasts, folder, rejects)
                if picture is not None and picture.path in yielded:
                    rejects.add(picture.path, "image", "dropped", "listed a second time", labels=len(picture.labels))
                elif picture is not None:
                    yielded.add(picture.path)
                    yield picture
        listed = {os.path.normpath(folder / path) for path in yielded}
        for path in files_below(folder / (self.options.images or ""), folder, SUFFIXES, rejects):
            if os.path.normpath(path) not in listed:
                rejects.add(path.relative_to(folder), "image", "dropped", "no COCO json lists it")

    def _files(self, folder: Path) -> list[Path]:
        for pattern in (self.options.annotations,) if self.options.annotations else _USUAL:
            files = sorted(folder.glob(pattern))
            if files:
                return files
        raise SourceNotFoundError(
            f"source {self.name} has no COCO json",
            where=str(folder),
            expected=self.options.annotations or _USUAL[0],
            remedy=self.how_to_get,
        )

    def _image(
        self, image: Row, coco: CocoJson, several: set[str], lasts: Counter[str], folder: Path, rejects: RejectLog
    ) -> RawImage | None:
        """An image of a json; None, and a reject, where its file is not there or it cannot be told whose labels are."""
        name, key, labels = str(image.get("file_name")), key_of(image.get("id")), coco.of(image)
        shown = coco.path.relative_to(folder)
        if key is None or key in several or isinstance(image, Repeated):
            fault = "has no id" if key is None else "says a value twice"
            fault = f"its id {key[:40]} is that of several images" if key is not None and key in several else fault
            lost = len(coco.labels.pop(key or "", ()))  # of several images once
            rejects.add(name, "image", "dropped", fault, labels=lost)
            return None
        path = self._find(name, name if lasts[_last(name)] > 1 else _last(name), coco.path, folder)
        if path is None:
            tried = ", ".join(place.as_posix() for place in self._places(coco.path, folder))
            reason = f"listed in the json as {name!r}, but there is no such file; looked in: {tried}"
            rejects.add(name, "image", "dropped", reason, labels=len(labels))
            return None
        size = numbers([image.get("width"), image.get("height")])
        return RawImage(
            path,
            labels,
            shown,
            official_split=split_of(shown) or split_of(path),
            labelled_size_px=None if size is None or min(size) < 1 else (int(size[0]), int(size[1])),
            unreadable_labels=coco.unreadable[key],
        )

    def _find(self, name: str, last: str, path: Path, folder: Path) -> Path | None:
        """The file that a json means, from the source's folder, in which it must lie.

        As it is written; as other machines write it; by `last`, where the folders are another machine's; and, where
        that has no suffix, by the only picture of that name.
        """
        names = dict.fromkeys([name, _plain(name), unquote(_plain(name)), last])
        places = [folder / place for place in self._places(path, folder)]
        files = (_inside(folder, place / each) for each in names for place in places)
        return next((file for file in files if file is not None), None) or _by_stem(last, places, folder)

    def _places(self, path: Path, folder: Path) -> list[Path]:
        """Folders that images of a json may lie in, from the source's folder."""
        if self.options.images:
            return [Path(self.options.images)]
        stem = path.stem.removeprefix("instances_")
        return list(
            dict.fromkeys([Path(stem), Path("images") / stem, Path(), Path("images"), path.parent.relative_to(folder)])
        )


def _inside(folder: Path, file: Path) -> Path | None:
    """A file from a folder, if it lies in it; None also for one that a label file's path leads out of it to."""
    if no_regular_file(file) is not None or not file.resolve().is_relative_to(folder.resolve()):
        return None
    inside = Path(os.path.normpath(file))
    if not inside.is_relative_to(os.path.normpath(folder)):
        return file.resolve().relative_to(folder.resolve())
    return inside.relative_to(os.path.normpath(folder))


def _by_stem(name: str, places: list[Path], folder: Path) -> Path | None:
    """The only picture in these folders that is named so but for its suffix, as `make count` once wrote names."""
    if not name or Path(name).suffix.lower() in SUFFIXES or "/" in name:
        return None
    near = {path for place in places if place.is_dir() for path in place.iterdir() if path.stem == name}
    pictures = {_inside(folder, path) for path in near if path.suffix.lower() in SUFFIXES} - {None}
    return pictures.pop() if len(pictures) == 1 else None


def _plain(name: str) -> str:
    """A path with slashes, as Windows does not write it."""
    return name.replace("\\", "/")


def _last(name: str) -> str:
    """The last part of a path, whatever machine wrote it."""
    return PurePosixPath(unquote(_plain(name))).name
