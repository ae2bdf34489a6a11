"""The classifier of overlapping red cells as an MLflow model: crops in, probabilities out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext


class ServedOverlapClassifier(PythonModel):
    """Input `(N, S, S, 3) uint8` RGB, the red cell in question in the middle; output one row per crop.

    Columns: `overlapping`, the probability that it touches or overlaps another cell, and `p_<class>` of each class. How
    crops are to be cut stands in the bundle's config.json (`side_px`; window and scale in the parameters of the run).
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Read the bundle."""
        from blood_kedro.library.core.model_bundle import load_bundle

        self.bundle = load_bundle(Path(context.artifacts["bundle"]))

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002
        model_input: np.ndarray,  # table.py says why
        params: Any = None,  # noqa: ANN401, ARG002
    ) -> pd.DataFrame:
        """Answer for crops."""
        from blood_kedro.library.overlap.train_classifier import answer

        return answer(self.bundle, np.asarray(model_input, np.uint8))


mlflow.models.set_model(ServedOverlapClassifier())
