"""BCCD: fields with VOC boxes of RBC, WBC and Platelets (github.com/Shenggan/BCCD_Dataset)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from blood_kedro.library.core.errors import SourceNotFoundError
from blood_kedro.library.core.rejects import Rejects
from blood_kedro.library.core.taxonomy import SOURCE_LABELS
from blood_kedro.library.imaging.read import SUFFIXES
from blood_kedro.library.sources.base import RawImage, files_by_stem, paired
from blood_kedro.library.sources.voc import read_voc_of


class Bccd:
    """Layout: `BCCD/{JPEGImages,Annotations,ImageSets/Main/{train,val,test}.txt}`."""

    name = "bccd"
    labels = SOURCE_LABELS["bccd"]
    licence = "MIT"
    how_to_get = "git clone https://github.com/Shenggan/BCCD_Dataset and point raw_root's bccd/ at it"

    def scan(self, folder: Path, rejects: Rejects) -> Iterator[RawImage]:
        """Yield every image that has a readable VOC file, in order of name."""
        root = folder / "BCCD" if (folder / "BCCD").is_dir() else folder
        images = files_by_stem(root / "JPEGImages", SUFFIXES, folder, rejects)
        labels = files_by_stem(root / "Annotations", {".xml"}, folder, rejects)
        if not images:
            raise SourceNotFoundError(
                "source bccd holds no image", where=str(root / "JPEGImages"), remedy=self.how_to_get
            )
        splits = _official_splits(root / "ImageSets" / "Main")
        for image, label_file in paired(images, labels, folder, rejects):
            found = read_voc_of(image.relative_to(folder), label_file, label_file.relative_to(folder), rejects)
            if found is not None:
                yield replace(found, official_split=splits.get(image.stem))


def _official_splits(folder: Path) -> dict[str, str]:
    splits: dict[str, str] = {}
    for split in ("train", "val", "test"):
        path = folder / f"{split}.txt"
        if path.is_file():
            splits.update({stem.strip(): split for stem in path.read_text().split() if stem.strip()})
    return splits
