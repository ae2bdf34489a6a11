"""The detector as an MLflow model: images in, a table of cells out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext


class ServedDetector(PythonModel):
    """Input `(N, H, W, 3) uint8` RGB; output one row per cell: image, label, score, box in px of the image.

    An image with a side of over 2,000 px is cut into overlapping tiles; the parameter `tile_px` is their side.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Rebuild the network from its options and load its weights."""
        from blood_kedro.library.core.model_bundle import load_bundle
        from blood_kedro.library.detection.predict import load_detector
        from blood_kedro.library.detection.transforms import preprocessing

        bundle = load_bundle(Path(context.artifacts["bundle"]))
        self.classes = bundle.config["classes"]
        self.network = load_detector(bundle)
        self.prepare = preprocessing(bundle.config["regimen"]["augmentation"])

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002
        model_input: np.ndarray,  # table.py says why
        params: Any = None,  # noqa: ANN401
    ) -> pd.DataFrame:
        """Detect cells; a small image is scaled inside the network, a large one comes in tiles."""
        from blood_kedro.library.detection.tiled import TILE_PX, detect_image

        rows = []
        for number, pixels in enumerate(np.asarray(model_input, np.uint8)):
            cells = detect_image(self.network, pixels, self.prepare, int((params or {}).get("tile_px", TILE_PX)))
            for box, label, score in zip(cells.boxes.tolist(), cells.labels, cells.scores.tolist(), strict=True):
                rows.append((number, self.classes[int(label) - 1], score, *box))
        columns = ["image", "label", "score", "x_min_px", "y_min_px", "x_max_px", "y_max_px"]
        return pd.DataFrame(rows, columns=columns)


mlflow.models.set_model(ServedDetector())
