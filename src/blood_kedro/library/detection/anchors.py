"""Anchors whose shapes are those of the training boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Sizes = npt.NDArray[np.float64]

# As many as torchvision's: five levels of the pyramid, three shapes each, so that its RPN weights still fit.
LEVELS, SHAPES = 5, 3
_ROUNDS = 100


def training_sizes(coco: dict[str, Any], input_px: int) -> Sizes:
    """Width and height of all labelled boxes of a COCO json, `(N, 2)`, px of the network's input."""
    scale = {image["id"]: input_px / max(image["width"], image["height"]) for image in coco["images"]}
    rows = [a for a in coco["annotations"] if not a["iscrowd"] and a["image_id"] in scale]
    sizes = [[side * scale[a["image_id"]] for side in a["bbox"][2:]] for a in rows]
    return np.array(sizes, np.float64).reshape(-1, 2)


def size_iou(sizes: Sizes, centres: Sizes) -> Sizes:
    """IoU of boxes that share a corner: `(N, 2)` and `(K, 2)` to `(N, K)`."""
    shared = np.minimum(sizes[:, None], centres[None]).prod(axis=2)
    return np.asarray(shared / (sizes.prod(axis=1)[:, None] + centres.prod(axis=1)[None] - shared))


def fit_anchors(sizes: Sizes, seed: int, count: int = LEVELS * SHAPES) -> Sizes:
    """k-means over box sizes with distance 1 - IoU (Redmon and Farhadi, YOLO9000, CVPR 2017, section 2).

    Args:
        sizes: `(N, 2)` width and height, px.
        seed: decides the first centres.
        count: centres.

    Returns:
        `(count, 2)`, smallest area first.

    Raises:
        ValueError: there are fewer different boxes than centres.
    """
    if len(np.unique(sizes, axis=0)) < count:
        raise ValueError(f"{count} anchors cannot be fitted to {len(np.unique(sizes, axis=0))} different boxes")
    rng = np.random.default_rng((seed, 3))
    centres = sizes[[int(rng.integers(len(sizes)))]]
    for _ in range(count - 1):  # k-means++: what no centre fits yet is likely to become one
        far = (1 - size_iou(sizes, centres).max(axis=1)) ** 2
        centres = np.concatenate([centres, sizes[[int(rng.choice(len(sizes), p=far / far.sum()))]]])
    nearest = np.full(len(sizes), -1)
    for _ in range(_ROUNDS):
        before, nearest = nearest, size_iou(sizes, centres).argmax(axis=1)
        if (before == nearest).all():
            break
        for k in range(count):
            if (nearest == k).any():
                centres[k] = np.median(sizes[nearest == k], axis=0)
    return np.asarray(centres[np.argsort(centres.prod(axis=1), kind="stable")])


def mean_best_iou(sizes: Sizes, anchors: Sizes) -> float:
    """How well anchors fit: mean over boxes of the IoU with the best anchor."""
    return float(size_iou(sizes, anchors).max(axis=1).mean())
