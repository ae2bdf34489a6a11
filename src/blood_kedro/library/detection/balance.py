"""Against class imbalance: how often an image is shown, and how much a class weighs in the loss."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

# Images of classes that fewer than this share of images show are repeated (LVIS uses 0.001 on 100,000 images; here
# every class of less than a tenth is rare).
REPEAT_BELOW = 0.1
_BETA = 0.999


def repeat_factors(coco: dict[str, Any]) -> npt.NDArray[np.float64]:
    """How often each image is shown in an epoch, `(images,)`, at least 1.

    The largest, over its classes, of sqrt(0.1 / share of images that show the class) (Gupta et al., LVIS, CVPR 2019,
    section 4.1).
    """
    shown: dict[int, set[int]] = {image["id"]: set() for image in coco["images"]}
    for annotation in coco["annotations"]:
        if not annotation.get("iscrowd") and annotation["image_id"] in shown:
            shown[annotation["image_id"]].add(annotation["category_id"])
    images_of = Counter(category for classes in shown.values() for category in classes)
    factor = {c: max(1.0, float(np.sqrt(REPEAT_BELOW * len(shown) / n))) for c, n in images_of.items()}
    return np.array([max((factor[c] for c in shown[i["id"]]), default=1.0) for i in coco["images"]])


def class_balanced_weights(coco: dict[str, Any]) -> npt.NDArray[np.float32]:
    """Weight of each class, `(C + 1,)`, background first.

    `(1 - beta) / (1 - beta^n)` with beta 0.999 (Cui et al., CVPR 2019, equation 4), scaled so that the labelled cells
    weigh 1 on average; background weighs 1, a class without a cell the most that any has.
    """
    counts = Counter(a["category_id"] for a in coco["annotations"] if not a.get("iscrowd"))
    numbers = [category["id"] for category in coco["categories"]]
    raw = np.array([(1 - _BETA) / (1 - _BETA ** max(counts[n], 1)) for n in numbers])
    cells = np.array([counts[n] for n in numbers], np.float64)
    mean = float((raw * cells).sum() / max(cells.sum(), 1)) or 1.0
    return np.concatenate([[1.0], raw / mean]).astype(np.float32)
