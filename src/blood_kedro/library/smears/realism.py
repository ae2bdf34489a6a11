"""How far simulated cells are from real ones: distributions of measures, and how well a classifier tells them apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import ks_2samp
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from blood_kedro.library.evaluation.resampling import Floats, intervals, numbered, ratio, sums_by_group
from blood_kedro.library.imaging.measures import MEASURES, measure_red_cells
from blood_kedro.library.imaging.segmentation import RgbImage

if TYPE_CHECKING:
    from torch import nn

    from blood_kedro.library.training.draws import drawn_from

CROP_PX = 48
_FOLDS = 5
_DRAWS = 2000


@dataclass(frozen=True)
class Sample:
    """Single red cells of several images.

    Attributes:
        measures: one row per cell with `MEASURES`.
        crops: `(n, 48, 48, 3) uint8` RGB, the cell filling two thirds of the crop.
        image: `(n,)`, number of the image that each cell comes from.
    """

    measures: pd.DataFrame
    crops: npt.NDArray[np.uint8]
    image: npt.NDArray[np.int64]


def sample(images: list[RgbImage], cell_px: float, per_image: int = 12) -> Sample:
    """Measure and cut out up to `per_image` single red cells of each image, evenly over the field."""
    tables, crops, numbers = [], [], []
    for number, rgb in enumerate(images):
        cells = measure_red_cells(rgb, cell_px).cells
        cells = cells.iloc[np.linspace(0, len(cells) - 1, min(per_image, len(cells))).astype(int)]
        half = 0.75 * cell_px
        for box in cells[["x_min", "y_min", "x_max", "y_max"]].to_numpy():
            x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            scale = CROP_PX / (2 * half)
            shift = np.array([[scale, 0, CROP_PX / 2 - scale * x], [0, scale, CROP_PX / 2 - scale * y]])
            flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            crops.append(cv2.warpAffine(rgb, shift, (CROP_PX, CROP_PX), flags=flags, borderMode=cv2.BORDER_REFLECT))
        tables.append(cells)
        numbers += [number] * len(cells)
    stacked = np.stack(crops) if crops else np.zeros((0, CROP_PX, CROP_PX, 3), np.uint8)
    table = pd.concat(tables, ignore_index=True)[list(MEASURES)]
    return Sample(table, np.asarray(stacked, np.uint8), np.array(numbers, np.int64))


def compare(real: Sample, simulated: Sample) -> pd.DataFrame:
    """Per measure: 5th, 50th and 95th percentile of both, and the Kolmogorov-Smirnov distance (0 same, 1 disjoint)."""
    rows = []
    for name in MEASURES:
        a, b = real.measures[name].to_numpy(float), simulated.measures[name].to_numpy(float)
        percentiles = {
            f"{which}_p{p}": float(np.percentile(values, p))
            for which, values in (("real", a), ("simulated", b))
            for p in (5, 50, 95)
        }
        rows.append({"measure": name, **percentiles, "ks": float(ks_2samp(a, b).statistic)})
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Auc:
    """Area under the ROC curve of real against simulated, out of fold, with its 95% interval over images."""

    value: float
    low: float | None
    high: float | None
    cells: int
    images: int


def auc_of_measures(real: Sample, simulated: Sample, seed: int) -> Auc:
    """How well gradient boosting tells the two apart by `MEASURES` alone."""
    features = np.concatenate([real.measures.to_numpy(float), simulated.measures.to_numpy(float)])
    truth, groups = _truth(real, simulated)
    scores = np.zeros(len(truth))
    for train, test in GroupKFold(_FOLDS, shuffle=True, random_state=seed).split(features, truth, groups):
        model = HistGradientBoostingClassifier(random_state=seed).fit(features[train], truth[train])
        scores[test] = model.predict_proba(features[test])[:, 1]
    return _auc(truth, scores, groups, seed)


def auc_of_pixels(real: Sample, simulated: Sample, seed: int, epochs: int = 12) -> Auc:
    """How well a small convolutional network (four layers, flips) tells the crops apart."""
    import torch
    from torch import nn

    pixels = np.concatenate([real.crops, simulated.crops])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    truth, groups = _truth(real, simulated)
    target = torch.from_numpy(truth).float()
    scores = np.zeros(len(truth))
    for train, test in GroupKFold(_FOLDS, shuffle=True, random_state=seed).split(pixels, truth, groups):
        with drawn_from(seed):
            network = nn.Sequential(
                *_block(3, 16),
                *_block(16, 32),
                *_block(32, 64),
                *_block(64, 64),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(64, 1),
            )
            optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=1e-2)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, epochs * (len(train) // 64 + 1))
            for _ in range(epochs):
                for batch in torch.from_numpy(np.asarray(train))[torch.randperm(len(train))].split(64):
                    shown = images[batch].flip(3) if torch.rand(1) < 0.5 else images[batch]
                    loss = nn.functional.binary_cross_entropy_with_logits(network(shown)[:, 0], target[batch])
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    schedule.step()
            network.eval()
            with torch.no_grad():
                scores[test] = network(images[torch.from_numpy(np.asarray(test))])[:, 0].numpy()
    return _auc(truth, scores, groups, seed)


def _block(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    from torch import nn

    return nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)


def _truth(real: Sample, simulated: Sample) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    truth = np.concatenate([np.ones(len(real.image), np.int64), np.zeros(len(simulated.image), np.int64)])
    # No image is in two folds; real and simulated images never share a number.
    return truth, np.concatenate([real.image, simulated.image + 1 + real.image.max(initial=0)])


def _auc(
    truth: npt.NDArray[np.int64], scores: npt.NDArray[np.float64], groups: npt.NDArray[np.int64], seed: int
) -> Auc:
    numbers, count = numbered(groups)
    real, simulated = truth == 1, truth == 0
    # Pairs that each two images have in the right order, ties by half: what the area counts.
    order = (scores[real][:, None] > scores[simulated]) + 0.5 * (scores[real][:, None] == scores[simulated])
    rows = sums_by_group(order.T, numbers[real], count)
    pairs = sums_by_group(rows, numbers[simulated], count).T
    sizes = [np.bincount(numbers[part], minlength=count).astype(np.float64) for part in (real, simulated)]

    def statistic(weights: Floats) -> Floats:
        ordered = np.einsum("dg,gh,dh->d", weights, pairs, weights, optimize=True)
        return ratio(ordered, (weights @ sizes[0]) * (weights @ sizes[1]))[:, None]

    limits = intervals(statistic, ("auc",), count, unit="images", resamples=_DRAWS, seed=seed).limits["auc"]
    return Auc(float(roc_auc_score(truth, scores)), limits[0], limits[1], len(truth), count)
