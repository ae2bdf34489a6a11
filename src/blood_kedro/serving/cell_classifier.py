"""A single-cell classifier as an MLflow model: crops in, a table of classes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext


class ServedCellClassifier(PythonModel):
    """Input `(N, S, S, 3) uint8` RGB, a cell in the middle of each; output one row per crop.

    Columns: `label`, `confidence` (its probability), and `p_<class>` of every class. A variant that was trained on
    segmented cells (`classifier.segmented` in the bundle's config.json) wants crops that are black outside the cell.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Rebuild the network from its options and load its weights."""
        from blood_kedro.library.core.model_bundle import load_bundle
        from blood_kedro.library.morphology.networks import load_classifier

        bundle = load_bundle(Path(context.artifacts["bundle"]))
        self.classes = bundle.config["classes"]
        self.network = load_classifier(bundle)

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002
        model_input: np.ndarray,  # table.py says why
        params: Any = None,  # noqa: ANN401, ARG002
    ) -> pd.DataFrame:
        """Classify crops."""
        from blood_kedro.library.morphology.networks import probabilities
        from blood_kedro.library.training.crops import unlabelled

        class_probabilities = probabilities(self.network, unlabelled(np.asarray(model_input, np.uint8))).numpy()
        table = pd.DataFrame(class_probabilities, columns=[f"p_{name}" for name in self.classes])
        table.insert(0, "label", [self.classes[k] for k in class_probabilities.argmax(axis=1)])
        table.insert(1, "confidence", class_probabilities.max(axis=1))
        return table


mlflow.models.set_model(ServedCellClassifier())
