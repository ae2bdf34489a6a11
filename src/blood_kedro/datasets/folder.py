"""Folders: of anything, of pictures, and of a trained model."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io.core import AbstractDataset, DatasetError
from kedro_datasets._typing import ImagePreview, JSONPreview, TablePreview

from blood_kedro.datasets.json_file import previewed
from blood_kedro.library.core.model_bundle import ModelBundle, load_bundle, load_config, save_bundle


class FolderDataset(AbstractDataset[Path, Path]):
    """A folder that a node writes into or reads: what is saved and loaded is its path.

    Saving checks that the node wrote where the catalog says; loading that the folder is there and holds something
    (unless `must_exist` is false: the folders of sources are checked by ingestion, which knows how to get them).

    Args:
        filepath: the folder.
        must_exist: see above.
        metadata: ignored here; kedro-viz reads it.
    """

    def __init__(self, *, filepath: str, must_exist: bool = True, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self._must_exist = must_exist
        self.metadata = metadata

    def load(self) -> Path:
        """The folder."""
        if not self._must_exist:
            return self._filepath
        if not self._filepath.is_dir() or not any(self._filepath.iterdir()):
            raise DatasetError(f"{self._filepath} is missing or empty: run the pipeline that makes it first")
        return self._filepath

    def save(self, data: Path) -> None:
        """Check that this is the folder the node wrote."""
        if data.absolute() != self._filepath.absolute():
            raise DatasetError(f"the node wrote {data}, the catalog says {self._filepath}: make them agree")
        self.load()

    def preview(self, entries: int = 20) -> TablePreview:
        """The first files and folders in it and how large they are, for kedro-viz."""
        shown = sorted(self._filepath.iterdir())[:entries] if self._filepath.is_dir() else []
        rows = []
        for each in shown:
            files = [path for path in each.rglob("*") if path.is_file()] if each.is_dir() else [each]
            rows.append((each.name, len(files), round(sum(path.stat().st_size for path in files) / 1e6, 3)))
        table = pd.DataFrame(rows, columns=["name", "files", "megabytes"])
        return TablePreview(table.astype(str).to_dict(orient="split"))

    def _exists(self) -> bool:
        return self._filepath.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "must_exist": self._must_exist}


class ImageFolderDataset(FolderDataset):
    """A folder of pictures, some of which kedro-viz shows.

    Args:
        filepath, must_exist, metadata: see FolderDataset.
        boxes: COCO json, or annotations.csv of standardization, whose boxes the preview shows.
    """

    def __init__(
        self,
        *,
        filepath: str,
        must_exist: bool = True,
        boxes: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(filepath=filepath, must_exist=must_exist, metadata=metadata)
        self._boxes = None if boxes is None else Path(boxes)

    def preview(self, images: int = 6) -> ImagePreview:
        """A few images with their boxes, for kedro-viz."""
        from blood_kedro.datasets.montage import montage

        return ImagePreview(base64.b64encode(montage(self._filepath, images, self._boxes)).decode("ascii"))


class ModelBundleDataset(AbstractDataset[ModelBundle, ModelBundle]):
    """A trained model: `weights.safetensors` and `config.json`, renamed into place as one folder."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> ModelBundle:
        """The bundle; a partial folder is refused."""
        return load_bundle(self._filepath)

    def save(self, data: ModelBundle) -> None:
        """Replace the folder."""
        save_bundle(data, self._filepath)

    def preview(self) -> JSONPreview:
        """What the model says of itself, for kedro-viz."""
        return previewed(load_config(self._filepath))

    def _exists(self) -> bool:
        return self._filepath.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
