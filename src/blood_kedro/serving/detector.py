"""The detector as an MLflow model: images in, a table of cells out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext


class Detector(PythonModel):
    """Input `(N, H, W, 3) uint8` RGB; output one row per cell: image, label, score, box in px of the image."""

    def load_context(self, context: PythonModelContext) -> None:
        """Rebuild the network from its options and load its weights."""
        from blood_kedro.library.core.model_bundle import load_bundle
        from blood_kedro.library.detection.options import Regimen
        from blood_kedro.library.detection.predict import load_detector
        from blood_kedro.library.detection.transforms import preprocessing

        bundle = load_bundle(Path(context.artifacts["bundle"]))
        self.classes = bundle.config["classes"]
        self.network = load_detector(bundle)
        self.prepare = preprocessing(Regimen(**bundle.config["regimen"]).augmentation)

    def predict(self, context: PythonModelContext, model_input: Any, params: Any = None) -> pd.DataFrame:  # noqa: ANN401, ARG002
        """Detect cells; an image of any size is scaled inside the network."""
        import torch

        rows = []
        with torch.inference_mode():
            for number, pixels in enumerate(np.asarray(model_input, np.uint8)):
                image = self.prepare(torch.from_numpy(pixels).permute(2, 0, 1)).float() / 255
                output = self.network([image])[0]
                for box, label, score in zip(output["boxes"], output["labels"], output["scores"], strict=True):
                    x_min, y_min, x_max, y_max = box.double().tolist()
                    rows.append((number, self.classes[int(label) - 1], float(score), x_min, y_min, x_max, y_max))
        columns = ["image", "label", "score", "x_min_px", "y_min_px", "x_max_px", "y_max_px"]
        return pd.DataFrame(rows, columns=columns)


mlflow.models.set_model(Detector())
