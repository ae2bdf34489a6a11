"""PBC (Acevedo et al. 2020): one nucleated cell or platelet per image, its class in folder and file name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from blood_kedro.library.core.errors import SourceNotFoundError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.taxonomy import SOURCE_LABELS
from blood_kedro.library.imaging.read import SUFFIXES
from blood_kedro.library.sources.base import NO_LOSSES, RawImage, RawLabel
from blood_kedro.library.sources.listing import files_below


class Pbc:
    """Layout: `PBC_dataset_normal_DIB/<class>/<PREFIX>_<id>.jpg`; the prefix tells the subtype.

    Ids repeat across folders, so an image is named by its whole relative path.
    """

    name = "pbc"
    known_losses = NO_LOSSES
    labels = SOURCE_LABELS["pbc"]
    licence = "CC BY 4.0 (publisher's page; the copy carries no licence file)"
    how_to_get = "download Mendeley Data snkd93bnjr (PBC_dataset_normal_DIB.zip) and unpack it into raw_root's pbc/"

    def scan(self, folder: Path, rejects: RejectLog) -> Iterator[RawImage]:
        """Yield every image, in order of path; its label spans the whole image."""
        root = folder / "PBC_dataset_normal_DIB" if (folder / "PBC_dataset_normal_DIB").is_dir() else folder
        files = files_below(root, folder, SUFFIXES, rejects)
        if not files:
            raise SourceNotFoundError("source pbc holds no image", where=str(root), remedy=self.how_to_get)
        for path in files:
            shown = path.relative_to(folder)
            prefix = path.stem.rpartition("_")[0] or path.stem
            yield RawImage(shown, (RawLabel(prefix, 1, None),), shown)
