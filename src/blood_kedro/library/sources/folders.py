"""Any set of single-cell images in folders that are named by class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError
from blood_kedro.library.core.rejects import Rejects
from blood_kedro.library.imaging.files import SUFFIXES, check_file, is_litter
from blood_kedro.library.sources.base import RawImage, RawLabel, split_of
from blood_kedro.library.sources.form import OfForm


class ClassFolders(OfForm):
    """Layout: `[<anything>/]<class>/<name>.jpg`; the label of an image is the name of its folder."""

    how_to_get = "put its images there, in one folder for each class"

    def scan(self, folder: Path, rejects: Rejects) -> Iterator[RawImage]:
        """Yield every image that lies in a folder, in order of path; its label spans the whole image."""
        root = folder / (self.options.images or "")
        found = False
        for path in sorted(root.rglob("*")):
            shown = path.relative_to(folder)
            if path.suffix.lower() not in SUFFIXES or is_litter(shown):
                continue
            try:
                check_file(path)
            except BadInputError as error:
                rejects.add(shown, "image", "dropped", error.what)
                continue
            if path.parent == root:
                rejects.add(shown, "image", "dropped", "lies in no folder of a class")
                continue
            found = True
            yield RawImage(shown, (RawLabel(path.parent.name, 1, None),), shown, official_split=split_of(shown))
        if not found:
            raise SourceNotFoundError(f"source {self.name} holds no image", where=str(root), remedy=self.how_to_get)
