"""Frozen batch norm taken into the convolution before it: the same answers, a pass over memory less for each layer."""

from __future__ import annotations

import torch
from timm.layers.norm_act import FrozenBatchNormAct2d
from torch import nn

# In timm's EfficientNet, which norm follows which convolution of a block: by what the block has.
_FOLLOWS = (
    {"conv_stem": "bn1"},
    {"conv_pw": "bn1", "conv_dw": "bn2", "conv_pwl": "bn3"},  # inverted residual
    {"conv_dw": "bn1", "conv_pw": "bn2"},  # depthwise separable
)


@torch.no_grad()
def fold_norms(network: nn.Module) -> None:
    """Fold every frozen norm of EfficientNet blocks, in place; its layers have other names afterwards."""
    for block in list(network.modules()):
        parts = dict(block.named_children())
        for pairs in _FOLLOWS:
            norms = {name for name in parts if name.startswith("bn") and isinstance(parts[name], FrozenBatchNormAct2d)}
            if pairs.keys() <= parts.keys() and norms == set(pairs.values()):
                for conv, norm in pairs.items():
                    setattr(block, norm, _folded(parts[conv], parts[norm]))
                break


def _folded(conv: nn.Module, norm: nn.Module) -> nn.Module:
    """Change the weights of a convolution, and return what is left of the norm: its activation."""
    factor = norm.weight * (norm.running_var + norm.eps).rsqrt()  # type: ignore[operator]
    conv.weight.mul_(factor.view(-1, 1, 1, 1))  # type: ignore[operator]
    conv.bias = nn.Parameter(norm.bias - norm.running_mean * factor)  # type: ignore[operator]
    return norm.act  # type: ignore[return-value]
