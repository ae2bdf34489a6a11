"""Which foundation models there are, and how they are probed: settings, without what is slow to import."""

from __future__ import annotations

from typing import Literal, get_args

Backbone = Literal["reddino_small", "dinobloom_s"]
Method = Literal["linear", "neighbours"]
FOUNDATION_MODELS: tuple[Backbone, ...] = get_args(Backbone)
