"""Any set with a COCO json of boxes."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError
from blood_kedro.library.core.rejects import Rejects
from blood_kedro.library.sources.base import RawImage, RawLabel, inside, numbers, split_of
from blood_kedro.library.sources.form import OfForm

# Tried in this order where the entry names none.
_USUAL = ("annotations.json", "_annotations.coco.json", "annotations/*.json", "*/_annotations.coco.json", "*.json")


class CocoFolder(OfForm):
    """Layout: one COCO json, or one per split, and images below the folder.

    Images lie in the folder, in `images`, beside the json, or in a folder named as the json is (`train2017` or
    `images/train2017` for `annotations/instances_train2017.json`). Paths of other machines are understood: back-
    slashes, URL escapes, and folders that are not there. Ids may be numbers or text. An annotation with `iscrowd: 1` is
    an ignore region. Boxes are `x, y, w, h` in px with the origin at the top left.
    """

    how_to_get = "put its images and a COCO json there, or set annotations: and images: of the source"

    def scan(self, folder: Path, rejects: Rejects) -> Iterator[RawImage]:
        """Yield every image that a json lists and that is there, in the order of the json."""
        read = {path: coco for path in self._files(folder) if (coco := _read(path, folder, rejects)) is not None}
        # Of two pictures of one name in different folders, neither may get the labels of the other.
        lasts = Counter(_last(str(image.get("file_name"))) for coco in read.values() for image in coco["images"])
        seen: set[Path] = set()
        for path, coco in read.items():
            for image in self._images(coco, lasts, path, folder, rejects):
                if image.path in seen:
                    rejects.add(image.path, "image", "dropped", "listed a second time")
                else:
                    seen.add(image.path)
                    yield image

    def _files(self, folder: Path) -> list[Path]:
        for pattern in (self.options.annotations,) if self.options.annotations else _USUAL:
            found = sorted(path for path in folder.glob(pattern) if path.is_file())
            if found:
                return found
        raise SourceNotFoundError(
            f"source {self.name} has no COCO json", where=str(folder), expected=self.options.annotations or _USUAL[0],
            remedy=self.how_to_get,
        )  # fmt: skip

    def _images(
        self, coco: dict[str, Any], lasts: Counter[str], path: Path, folder: Path, rejects: Rejects
    ) -> Iterator[RawImage]:
        shown = path.relative_to(folder)
        names = {str(category.get("id")): str(category.get("name")) for category in coco["categories"]}
        labels: dict[str, list[RawLabel]] = defaultdict(list)
        known = {str(image.get("id")) for image in coco["images"]}
        for row, annotation in enumerate(coco["annotations"], start=1):
            try:
                labels[_image_of(annotation, known)].append(_label(annotation, names, row))
            except BadInputError as error:
                rejects.add(shown, "annotation", "dropped", error.what, row)
        twice = {key for key, count in Counter(str(image.get("id")) for image in coco["images"]).items() if count > 1}
        for image in coco["images"]:
            name = str(image.get("file_name"))
            if str(image.get("id")) in twice:
                rejects.add(name, "image", "dropped", f"its id {image.get('id')} is that of several images")
                continue
            last = _last(name)
            found = self._find(name, last if lasts[last] == 1 else name, path, folder)
            if found is None:
                tried = ", ".join(place.as_posix() for place in self._places(path, folder))
                reason = f"listed in the json as {name!r}, but there is no such file; looked in: {tried}"
                rejects.add(name, "image", "dropped", reason)
                continue
            size = numbers([image.get("width"), image.get("height")])
            yield RawImage(
                found.relative_to(folder), tuple(labels[str(image.get("id"))]), shown,
                official_split=split_of(path.relative_to(folder)) or split_of(found.relative_to(folder)),
                labelled_size_px=None if size is None else (int(size[0]), int(size[1])),
            )  # fmt: skip

    def _find(self, name: str, last: str, path: Path, folder: Path) -> Path | None:
        """The file that a json means, which must lie in the source's folder.

        As it is written; as other machines write it; and by `last`, where the folders are another machine's.
        """
        names = dict.fromkeys([name, _plain(name), unquote(_plain(name)), last])
        files = (inside(folder, folder / place / each) for each in names for place in self._places(path, folder))
        return next((file for file in files if file is not None), None)

    def _places(self, path: Path, folder: Path) -> list[Path]:
        """Folders that images of a json may lie in, from the source's folder."""
        if self.options.images:
            return [Path(self.options.images)]
        own = path.stem.removeprefix("instances_")
        return list(
            dict.fromkeys([Path(own), Path("images") / own, Path(), Path("images"), path.parent.relative_to(folder)])
        )


def _read(path: Path, folder: Path, rejects: Rejects) -> dict[str, Any] | None:
    """A COCO json; None, and a reject, where it is none."""
    try:
        return _checked(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, BadInputError) as error:
        rejects.add(path.relative_to(folder), "label_file", "dropped", f"not a COCO json: {error}")
        return None


def _plain(name: str) -> str:
    """A path with slashes, as Windows does not write it."""
    return name.replace("\\", "/")


def _last(name: str) -> str:
    """The last part of a path, whatever machine wrote it."""
    return PurePosixPath(unquote(_plain(name))).name


def _checked(coco: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever a file holds
    for part in ("images", "annotations", "categories"):
        rows = coco.get(part) if isinstance(coco, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise BadInputError(f"{part} is no list of objects")
    checked: dict[str, Any] = coco
    return checked


def _image_of(annotation: dict[str, Any], known: set[str]) -> str:
    number = str(annotation.get("image_id"))
    if number not in known:
        raise BadInputError(f"belongs to image {number}, which the json does not list")
    return number


def _label(annotation: dict[str, Any], names: dict[str, str], row: int) -> RawLabel:
    given = annotation.get("bbox")
    box = numbers(given) if isinstance(given, list) else None
    if box is None or len(box) != 4:
        raise BadInputError(f"box is not four numbers: {annotation.get('bbox')!r}")
    x, y, width, height = box
    if width <= 0 or height <= 0:
        raise BadInputError(f"box of {width:g} x {height:g} px")
    category = str(annotation.get("category_id"))
    if category not in names:
        raise BadInputError(f"category {category}, which the json does not list")
    return RawLabel(names[category], row, (x, y, x + width, y + height), ignore=bool(annotation.get("iscrowd")))
