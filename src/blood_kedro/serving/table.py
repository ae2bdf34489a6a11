"""How each kind of model is served: one row for its script, its answer, its input and what it needs installed.

Scripts annotate their input as bare `np.ndarray`, the one hint for arrays that MLflow knows: it warns of no hint and of
`Any`, and refuses `NDArray[np.uint8]`. It infers and checks nothing by it; the signature below does that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Schema

ModelKind = Literal["detector", "cell_classifier", "cell_segmenter", "overlap_classifier", "kind_classifier"]
# What a model's config.json says.
Config = Mapping[str, Any]

FOLDER = Path(__file__).parent
# Side of the example for networks that take pictures of any size; grey level of the ground of a smear.
_ANY_SIDE_PX, _GROUND_LEVEL = 96, 220
# Every script reads a bundle and answers by torch; the others are what its modules import.
_EVERY_SCRIPT = ("torch", "torchvision", "safetensors", "numpy", "pandas", "pydantic")
_OF_DETECTION = ("timm",)
_OF_TRAINING = ("lightning", "pandera", "scikit-learn", "scipy")
_OF_PICTURES = ("opencv-python-headless", "pillow", "tifffile")
_OF_MASKS = ("joblib", "pycocotools", "scikit-image")


@dataclass(frozen=True)
class Served:
    """How the models of one kind are served.

    Attributes:
        script: file in this folder that rebuilds the network from a bundle.
        answer: columns of the table that the script gives, name to MLflow's type, from the config; None for masks,
            `(N, S, S) uint8`.
        requirements: names of packages.
        any_side: whether pictures may have another side than the model was trained with.
        parameters: names and defaults (whole numbers) that a request may set.
    """

    script: str
    answer: Callable[[Config], dict[str, str]] | None
    requirements: tuple[str, ...]
    any_side: bool = True
    parameters: Mapping[str, int] = field(default_factory=dict)


def _boxes(config: Config) -> dict[str, str]:  # noqa: ARG001 - the same for all detectors
    corners = dict.fromkeys(("x_min_px", "y_min_px", "x_max_px", "y_max_px"), "double")
    return {"image": "long", "label": "string", "score": "double", **corners}


def _shapes(config: Config) -> dict[str, str]:
    return {"label": "string", "confidence": "double", **{f"p_{name}": "double" for name in config["classes"]}}


def _overlaps(config: Config) -> dict[str, str]:
    return dict.fromkeys(("overlapping", *(f"p_{name}" for name in config["classes"])), "double")


def _kinds(config: Config) -> dict[str, str]:
    return {"kind": "string", **{f"p_{kind}": "double" for kind in config["kinds"]}}


SERVED: dict[ModelKind, Served] = {
    "detector": Served(
        "detector.py", _boxes, (*_EVERY_SCRIPT, *_OF_DETECTION, *_OF_PICTURES), parameters={"tile_px": 640}
    ),
    "cell_classifier": Served("cell_classifier.py", _shapes, (*_EVERY_SCRIPT, *_OF_TRAINING, "timm")),
    "cell_segmenter": Served(
        "cell_segmenter.py", None, (*_EVERY_SCRIPT, *_OF_TRAINING, "segmentation-models-pytorch", "timm")
    ),
    "overlap_classifier": Served(
        "overlap_classifier.py", _overlaps, (*_EVERY_SCRIPT, *_OF_TRAINING, *_OF_PICTURES, "timm"), any_side=False
    ),
    "kind_classifier": Served(
        "kind_classifier.py", _kinds, (*_EVERY_SCRIPT, *_OF_TRAINING, *_OF_PICTURES, *_OF_MASKS), any_side=False
    ),
}


def signature(kind: ModelKind, config: Config) -> ModelSignature:
    """What a model takes, `(N, S, S, 3) uint8` RGB, and what it answers.

    A model whose layers fit one side only says it, so that MLflow refuses other pictures with both sizes.
    """
    from mlflow.models import ModelSignature
    from mlflow.types.schema import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    served = SERVED[kind]
    side = -1 if served.any_side else side_px(config)
    inputs = Schema([TensorSpec(np.dtype(np.uint8), (-1, side, side, 3))])
    outputs = _answer(served, config)
    if not served.parameters:
        return ModelSignature(inputs, outputs)
    parameters = [ParamSpec(name, DataType.long, default) for name, default in served.parameters.items()]
    return ModelSignature(inputs, outputs, ParamSchema(parameters))


def _answer(served: Served, config: Config) -> Schema:
    from mlflow.types.schema import ColSpec, Schema, TensorSpec

    if served.answer is None:
        return Schema([TensorSpec(np.dtype(np.uint8), (-1, -1, -1))])
    return Schema([ColSpec(kind, name) for name, kind in served.answer(config).items()])


def input_example(config: Config) -> npt.NDArray[np.uint8]:
    """A picture of the ground of a smear, `(1, S, S, 3)`, of a side that the model takes: what an input looks like."""
    side = side_px(config)
    return np.full((1, side, side, 3), _GROUND_LEVEL, np.uint8)


def side_px(config: Config) -> int:
    """Side of the crops that a model learnt from; a detector's config has none, and it takes any."""
    return int(config.get("side_px", _ANY_SIDE_PX))
