"""The shipped networks ready to predict, by ONNX Runtime: arrays in, arrays out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from joblib import cpu_count

from blood_kedro.library.shipped.graph import cells_graph, types_graph

if TYPE_CHECKING:
    from onnx import ModelProto

Floats = npt.NDArray[np.float32]
# Of pictures `(N, 3, H, W) float32` in 0..1, sides multiples of `MULTIPLE`: logits `middles (N, C, h, w)` and
# `sides (N, C, 4, h, w)`, distances to left, top, right and bottom, px; h and w are H and W by `STRIDE`.
CellMaps = Callable[[Floats], tuple[Floats, Floats]]
# Of images `(N, 3, S, S) float32` in 0..1: logits `(N, C)`.
TypeLogits = Callable[[Floats], Floats]


def cell_maps(weights: Mapping[str, Any], classes: int, channels: int, where: str) -> CellMaps:
    """The network of the cell detector with these weights; arguments and errors as of `cells_graph`."""
    run = _session(cells_graph(weights, classes, channels, where))

    def maps(pictures: Floats) -> tuple[Floats, Floats]:
        middles, sides = run({"pictures": pictures})
        return middles, sides.reshape(len(sides), classes, 4, *sides.shape[2:])

    return maps


def type_logits(weights: Mapping[str, Any], classes: int, where: str) -> TypeLogits:
    """The network of a classifier of cells with these weights; arguments and errors as of `types_graph`."""
    run = _session(types_graph(weights, classes, where))
    return lambda images: run({"images": images})[0]


def threads() -> int:
    """How many threads a network may take: as `OMP_NUM_THREADS` says, which joblib sets in its processes, else all."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdecimal() and int(said) > 0 else int(cpu_count())


def _session(graph: ModelProto) -> Callable[[dict[str, Floats]], list[Floats]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    # Threads that wait for work would take a core from other processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Sizes of pictures differ: memory of the largest that was seen is not to be kept.
    options.enable_cpu_mem_arena = False
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, inputs)
