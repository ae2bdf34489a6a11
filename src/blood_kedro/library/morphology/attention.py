"""Where a classifier looks: Grad-CAM (Selvaraju et al., ICCV 2017) of cells it gets right and wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn

from blood_kedro.library.core.crop_set import CropSet
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.morphology.networks import load_classifier
from blood_kedro.library.morphology.segment import complete_masks
from blood_kedro.library.morphology.stain import normalise
from blood_kedro.library.training.crops import CropData
from blood_kedro.library.training.options import Compute


def chosen_cells(predictions: pd.DataFrame, classes: list[str], run: str, count: int = 8) -> pd.DataFrame:
    """The surest right cell of each class and the surest wrong ones, `count` of each kind at most, of one run."""
    mine = predictions[predictions["run"] == run]
    probabilities = mine[[f"p_{name}" for name in classes]].to_numpy()
    table = pd.DataFrame(
        {
            "cell_id": mine["cell_id"].to_numpy(),
            "class": mine["class"].to_numpy(),
            "found": np.array(classes)[probabilities.argmax(axis=1)],
            "confidence": probabilities.max(axis=1),
        }
    ).sort_values("confidence", ascending=False, kind="stable")
    right = table[table["class"] == table["found"]].drop_duplicates("class").head(count)
    wrong = table[table["class"] != table["found"]].head(count)
    return pd.concat([right, wrong], ignore_index=True)


def attention_maps(
    bundle: ModelBundle, cells: CropSet, segmenter: ModelBundle | None, chosen: pd.DataFrame
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """Crops as the classifier saw them `(K, S, S, 3) uint8`, and maps `(K, S, S)` in 0..1 for the class it chose."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    network, classes, options = load_classifier(bundle), bundle.config["classes"], bundle.config["classifier"]
    network.requires_grad_(True)  # gradients pass through backbones that were not trained, too
    row_of = {name: row for row, name in enumerate(cells.table["cell_id"])}
    rows = np.array([row_of[name] for name in chosen["cell_id"]], np.int64)
    crops = normalise(cells.crops, cells.table, options["stain"])
    few = CropSet(cells.table.iloc[rows].reset_index(drop=True), np.asarray(crops[rows]), np.asarray(cells.masks[rows]))
    compute = Compute.model_validate(options.get("compute", {}))
    shown = complete_masks(segmenter, few, options["masks"], compute) if options["segmented"] else None
    data = CropData(few.crops, np.arange(len(few)), np.zeros(len(few), np.int64), 0, None, shown)
    images = torch.stack([data[k][0] for k in range(len(data))])
    targets = [ClassifierOutputTarget(classes.index(name)) for name in chosen["found"]]
    with GradCAM(network, [_last_convolution(network)]) as cam:
        maps = np.asarray(cam(images, targets), np.float64)
    return np.asarray((images.permute(0, 2, 3, 1) * 255).round(), np.uint8), maps


def _last_convolution(network: nn.Module) -> Any:  # noqa: ANN401 - a convolution of any kind
    """The last layer that still has a picture."""
    return [module for module in network.modules() if isinstance(module, nn.Conv2d) and module.kernel_size != (0, 0)][
        -1
    ]
