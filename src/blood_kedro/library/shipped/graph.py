"""The shipped networks as ONNX graphs with their weights in them: a count needs no PyTorch, which is slow to start.

The same layers as `centre_net.py` and `type_network.py`, which training uses; tests compare the answers of both. Frozen
batch norm is taken into the convolution before it (`weights * factor`), so a layer is a convolution and what bounds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, helper, numpy_helper

from blood_kedro.library.core.errors import DataContractError
from blood_kedro.library.shipped.cell_options import BASE_PX

Floats = npt.NDArray[np.float32]
# EfficientNet-Lite0 (timm `tf_efficientnet_lite0`): channels of the stem, of the head, and of each stage its blocks,
# kernel side, stride, widening of its middle layer, and channels.
_STEM, _HEAD = 32, 1280
_STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192))
_LAST_STAGE = (1, 3, 1, 6, 320)
# Stages whose results the pyramid takes: at a quarter of the picture, an eighth, a sixteenth, a thirty-second.
_TAKEN = (1, 2, 4, 6)
_NORM_EPSILON = 1e-3
_OPSET, _IR = 17, 8  # what onnxruntime has read since 2022
_COUNTERS = "num_batches_tracked"  # of batch norm in training


def cells_graph(weights: Mapping[str, Any], classes: int, channels: int, where: str) -> ModelProto:
    """`CentreNet`: `pictures (N, 3, H, W) float32` in 0..1 to `middles (N, C, h, w)` and `sides (N, 4 * C, h, w)`.

    Args:
        weights: of all layers, by their names in `CentreNet`.
        classes: C.
        channels: of the pyramid and the heads.
        where: what the weights are of, for messages.

    Raises:
        DataContractError: layers are missing, unknown, of another shape, or hold values that are not finite.
    """
    net = _Net(weights, where)
    levels = net.body(net.normalized("pictures"))[0]
    merged = net.conv(levels[-1][0], "lateral.3", levels[-1][1], channels, activation="Relu")
    for k in (2, 1, 0):
        side = net.conv(levels[k][0], f"lateral.{k}", levels[k][1], channels)
        both = net.node("Add", net.twice_as_large(merged), side)
        merged = net.conv(both, f"merge.{k}", channels, channels, kernel=3, activation="Relu")
    middles, sides = (
        net.conv(net.conv(merged, f"{what}_tower", channels, channels, kernel=3, activation="Relu"), what, channels, n)
        for what, n in (("middle", classes), ("side", 4 * classes))
    )
    sides = net.node("Mul", net.node("Exp", net.clipped(sides, -4, 4)), net.constant(BASE_PX))
    return net.model("pictures", {"middles": middles, "sides": sides})


def types_graph(weights: Mapping[str, Any], classes: int, where: str) -> ModelProto:
    """`CellTypeNet`: `images (N, 3, S, S) float32` in 0..1 to `logits (N, C)`; the rest as `cells_graph`.

    Raises:
        DataContractError: as there.
    """
    net = _Net(weights, where)
    _, last, channels = net.body(net.normalized("images"))
    top = net.conv(last, "body.conv_head", channels, _HEAD, norm="body.bn2", activation="Clip")
    pooled = net.node("Flatten", net.node("GlobalAveragePool", top), axis=1)
    weight = net.held("classifier.weight", net.take("body.classifier.weight", classes, _HEAD))
    bias = net.held("classifier.bias", net.take("body.classifier.bias", classes))
    logits = net.node("Gemm", pooled, weight, bias, transB=1)
    return net.model("images", {"logits": logits})


class _Net:
    """Nodes of a graph, one after the other; each method returns the name of what its node gives."""

    def __init__(self, weights: Mapping[str, Any], where: str) -> None:
        self._weights, self._where = weights, where
        self._taken: set[str] = set()
        self._nodes: list[Any] = []
        self._held: list[Any] = []

    def body(self, seen: str) -> tuple[list[tuple[str, int]], str, int]:
        """EfficientNet-Lite0: results and channels of the stages that the pyramid takes; the last, and its channels."""
        seen = self.conv(seen, "body.conv_stem", 3, _STEM, kernel=3, stride=2, norm="body.bn1", activation="Clip")
        channels, levels = _STEM, []
        for stage, (blocks, kernel, stride, widening, wanted) in enumerate((*_STAGES, _LAST_STAGE)):
            for number in range(blocks):
                at = f"body.blocks.{stage}.{number}"
                seen = self._block(seen, at, (channels, wanted), widening, kernel, 1 if number else stride)
                channels = wanted
            if stage in _TAKEN:
                levels.append((seen, channels))
        return levels, seen, channels

    def _block(self, seen: str, at: str, channels: tuple[int, int], widening: int, kernel: int, stride: int) -> str:
        """Widened, seen in each channel apart, narrowed again (Sandler et al. 2018); the first stage widens nothing."""
        (given, wanted), middle, values = channels, channels[0] * widening, seen
        names = iter(("bn1", "bn2", "bn3"))
        if widening > 1:
            values = self.conv(values, f"{at}.conv_pw", given, middle, norm=f"{at}.{next(names)}", activation="Clip")
        depthwise = {"kernel": kernel, "stride": stride, "groups": middle}
        norm = f"{at}.{next(names)}"
        values = self.conv(values, f"{at}.conv_dw", middle, middle, norm=norm, activation="Clip", **depthwise)
        narrowing = "conv_pwl" if widening > 1 else "conv_pw"
        values = self.conv(values, f"{at}.{narrowing}", middle, wanted, norm=f"{at}.{next(names)}")
        return self.node("Add", values, seen) if stride == 1 and given == wanted else values

    def conv(
        self,
        seen: str,
        name: str,
        given: int,
        wanted: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        norm: str | None = None,
        activation: str | None = None,
    ) -> str:
        """A convolution with its norm, or its own bias, and what bounds it: `Clip` to 0..6, or `Relu`."""
        weight = self.take(f"{name}.weight", wanted, given // groups, kernel, kernel)
        if norm is None:
            bias = self.take(f"{name}.bias", wanted)
        else:
            scale, shift, mean, variance = (
                self.take(f"{norm}.{part}", wanted) for part in ("weight", "bias", "running_mean", "running_var")
            )
            factor = scale / np.sqrt(variance + np.float32(_NORM_EPSILON))
            weight, bias = weight * factor[:, None, None, None], shift - mean * factor
        options = {"kernel_shape": [kernel, kernel], "strides": [stride, stride], "group": groups}
        # TensorFlow's padding, which the network learnt with: more of it at the right and below.
        inputs = seen, self.held(f"{name}.weight", weight), self.held(f"{name}.bias", bias)
        values = self.node("Conv", *inputs, auto_pad="SAME_UPPER", **options)
        if activation == "Clip":
            return self.clipped(values, 0, 6)
        return values if activation is None else self.node(activation, values)

    def normalized(self, pictures: str) -> str:
        """Values of 0..1 as -1..1 (`packaged_weights.NORMALIZATION`)."""
        return self.node("Div", self.node("Sub", pictures, self.constant(0.5)), self.constant(0.5))

    def clipped(self, seen: str, low: float, high: float) -> str:
        """Bounded."""
        return self.node("Clip", seen, self.constant(low), self.constant(high))

    def twice_as_large(self, seen: str) -> str:
        """Each place four times."""
        nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        scales = self.held("twice", np.array([1, 1, 2, 2], np.float32))
        return self.node("Resize", seen, "", scales, **nearest)

    def node(self, kind: str, *inputs: str, **options: Any) -> str:  # noqa: ANN401 - attributes of any node
        """A node."""
        value = f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [value], **options))
        return value

    def constant(self, value: float) -> str:
        """One number."""
        return self.held(f"constant_{value}", np.array(value, np.float32))

    def held(self, name: str, values: npt.NDArray[np.floating[Any]]) -> str:
        """Values that stand in the graph."""
        if name not in {each.name for each in self._held}:
            self._held.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
        return name

    def take(self, name: str, *shape: int) -> Floats:
        """Weights of a layer."""
        self._taken.add(name)
        if name not in self._weights:
            raise self._unfit(f"no {name}")
        values = np.asarray(self._weights[name])
        if values.shape != shape:
            raise self._unfit(f"{name} {values.shape} for {shape}")
        if not np.isfinite(values).all():
            raise self._unfit(f"{name} holds values that are no numbers")
        return values.astype(np.float32)

    def model(self, given: str, results: dict[str, str]) -> ModelProto:
        """The whole graph: pictures of any number and size in, results out by their names."""
        unknown = sorted(name for name in self._weights.keys() - self._taken if not name.endswith(_COUNTERS))
        if unknown:
            raise self._unfit(f"unknown {unknown[0]} ({len(unknown)} such)")
        for name, value in results.items():
            self._nodes.append(helper.make_node("Identity", [value], [name]))
        inputs = [helper.make_tensor_value_info(given, TensorProto.FLOAT, ["n", 3, "height", "width"])]
        outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in results]
        graph = helper.make_graph(self._nodes, "blood_kedro", inputs, outputs, self._held)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)

    def _unfit(self, got: str) -> DataContractError:
        return DataContractError(
            "weights do not fit the network that config.json describes",
            where=self._where,
            got=got,
            expected="every layer once, in the shape that options and classes ask for, of finite values",
            remedy="install the package again; a model of your own: train it again",
        )
