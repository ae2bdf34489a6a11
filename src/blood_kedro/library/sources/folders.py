"""Any set of single-cell images in folders that are named by class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from blood_kedro.library.core.errors import SourceNotFoundError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.imaging.read import SUFFIXES
from blood_kedro.library.sources.base import RawImage, RawLabel, split_of
from blood_kedro.library.sources.known_format import KnownFormat
from blood_kedro.library.sources.listing import files_below


class ClassFolders(KnownFormat):
    """Layout: `[<anything>/]<class>/<name>.jpg`; the label of an image is the name of its folder."""

    how_to_get = "put its images there, in one folder for each class"

    def scan(self, folder: Path, rejects: RejectLog) -> Iterator[RawImage]:
        """Yield every image that lies in a folder, in order of path; its label spans the whole image."""
        root = folder / (self.options.images or "")
        files = files_below(root, folder, SUFFIXES, rejects)
        if not files:
            raise SourceNotFoundError(f"source {self.name} holds no image", where=str(root), remedy=self.how_to_get)
        for path in files:
            shown = path.relative_to(folder)
            if path.parent == root:
                rejects.add(shown, "image", "dropped", "lies in no folder of a class")
            else:
                yield RawImage(shown, (RawLabel(path.parent.name, 1, None),), shown, official_split=split_of(shown))
