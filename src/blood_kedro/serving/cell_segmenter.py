"""The U-Net of single cells as an MLflow model: crops in, masks out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
from mlflow.pyfunc import PythonModel, PythonModelContext


class ServedCellSegmenter(PythonModel):
    """Input `(N, S, S, 3) uint8` RGB, a cell in the middle of each; output its masks `(N, S, S) uint8` of 0 and 1."""

    def load_context(self, context: PythonModelContext) -> None:
        """Rebuild the network from its options and load its weights."""
        from blood_kedro.library.core.model_bundle import load_bundle
        from blood_kedro.library.morphology.networks import load_segmenter

        self.network = load_segmenter(load_bundle(Path(context.artifacts["bundle"])))

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002
        model_input: np.ndarray,  # table.py says why
        params: Any = None,  # noqa: ANN401, ARG002
    ) -> npt.NDArray[np.uint8]:
        """Find the cell of each crop."""
        from blood_kedro.library.morphology.segment import predict_masks

        crops = np.asarray(model_input, np.uint8)
        return predict_masks(self.network, crops, np.arange(len(crops))).astype(np.uint8)


mlflow.models.set_model(ServedCellSegmenter())
