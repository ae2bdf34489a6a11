"""Which label file belongs to which picture, where both may lie in any folder of a set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.sources.listing import second_of_name, without_image

# Names of folders that decide where several lie beside each other (Pascal VOC keeps pictures of regions, too).
_OF_PICTURES = {"jpegimages", "images", "image", "imgs", "img"}
_OF_LABELS = {"annotations", "annotation", "labels", "label", "xmls", "xml"}


@dataclass(frozen=True)
class Listed:
    """Files of one kind, and the folder that they were looked for in."""

    files: Sequence[Path]
    root: Path

    def by_stem(self) -> dict[str, list[Path]]:
        """Files by name without suffix, in order of path."""
        named: dict[str, list[Path]] = defaultdict(list)
        for path in self.files:
            named[path.stem].append(path)
        return named

    def folders(self) -> set[Path]:
        """Folders that hold one of them."""
        return {path.parent for path in self.files}


def pairs_near(images: Listed, labels: Listed, folder: Path, rejects: RejectLog) -> Iterator[tuple[Path, Path]]:
    """Image and label file of one name without suffix, in order of image; what stands alone becomes a reject.

    A label file belongs to the image of its name in its own folder (or at its own place below another root); else to
    the one in the folder beside it, where one holds images and no label file, the other label files and no image
    (`JPEGImages` and `Annotations`, both with the same sub-folders); else to the only image of its name, if it is the
    only label file of that name. Of two images of one name in one folder, the second is a reject.
    """
    mixed = images.folders() & labels.folders()
    of_name = labels.by_stem()
    label_of: dict[Path, Path] = {}
    for stem, pictures in images.by_stem().items():
        label_of |= _of_one_name(pictures, of_name.get(stem, []), images.root, labels.root, mixed)
    image_of = {path: image for image, path in reversed(label_of.items())}
    for path in labels.files:
        if path not in image_of:
            without_image(path, folder, rejects)
    for image in images.files:
        mine = label_of.get(image)
        if mine is None:
            rejects.add(image.relative_to(folder), "image", "dropped", "image without label file")
        elif image_of[mine] != image:
            second_of_name(image, image_of[mine], folder, rejects)
        else:
            if image.parent != mine.parent and {image.parent, mine.parent} & mixed:
                reason = f"the only label file of its name, taken for {image.relative_to(folder)} in another folder"
                rejects.add(mine.relative_to(folder), "label_file", "noted", reason)
            yield image, mine


def _of_one_name(
    images: list[Path], labels: list[Path], image_root: Path, label_root: Path, mixed: set[Path]
) -> dict[Path, Path]:
    """Label file of each image of one name; two images of one folder have the same."""
    place = {path.relative_to(label_root).parent: path for path in reversed(labels)}
    label_of = {image: place[at] for image in images if (at := image.relative_to(image_root).parent) in place}
    unpaired = [image for image in images if image not in label_of and image.parent not in mixed]
    free = [path for path in labels if path not in label_of.values() and path.parent not in mixed]
    for image in unpaired:
        path = _one([each for each in free if _beside(image, each)], _OF_LABELS)
        folders = {other.parent: other for other in reversed(unpaired) if path is not None and _beside(other, path)}
        first = _one(list(folders.values()), _OF_PICTURES)
        if path is not None and first is not None and image.parent == first.parent:
            label_of[image] = path
    if not label_of and len(images) == len(labels) == 1:
        label_of[images[0]] = labels[0]
    return label_of


def _one(paths: list[Path], usual: set[str]) -> Path | None:
    """The only one, or the only one in a folder of a usual name."""
    named = [path for path in paths if usual & {part.lower() for part in path.parts[:-1]}]
    return paths[0] if len(paths) == 1 else named[0] if len(named) == 1 else None


def _beside(image: Path, path: Path) -> bool:
    """Whether the folders of two files differ in one part of their paths alone."""
    a, b = image.parent.parts, path.parent.parts
    return len(a) == len(b) and sum(x != y for x, y in zip(a, b, strict=True)) == 1
