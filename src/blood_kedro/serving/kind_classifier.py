"""The classifier of cutouts (Rao et al. 2024) as an MLflow model: cutouts in, kinds of cells out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext


class ServedKindClassifier(PythonModel):
    """Input `(N, S, S, 3) uint8` RGB: one mask each, black around it, S and the width of a red cell as in config.json.

    Output one row per cutout: `kind`, and `p_<kind>` of each.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Read the bundle."""
        from blood_kedro.library.core.model_bundle import load_bundle
        from blood_kedro.library.counting.name.cell_types import load_network

        bundle = load_bundle(Path(context.artifacts["bundle"]))
        self.kinds, self.network = bundle.config["kinds"], load_network(bundle)

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002
        model_input: np.ndarray,  # table.py says why
        params: Any = None,  # noqa: ANN401, ARG002
    ) -> pd.DataFrame:
        """Answer for cutouts."""
        from blood_kedro.library.counting.name.cell_types import probabilities

        kind_probabilities = probabilities(self.network, np.asarray(model_input, np.uint8))
        table = pd.DataFrame(kind_probabilities, columns=[f"p_{kind}" for kind in self.kinds])
        table.insert(0, "kind", [self.kinds[k] for k in kind_probabilities.argmax(axis=1)])
        return table


mlflow.models.set_model(ServedKindClassifier())
