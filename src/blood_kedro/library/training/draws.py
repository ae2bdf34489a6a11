"""Random numbers of torch that a seed decides, for a moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """Torch on the CPU draws what it would after `torch.manual_seed(seed)`; later, as if nothing had been drawn.

    `torch.manual_seed` seeds accelerators as well, and as long as none is in use it writes down who asked: more than a
    millisecond a call from deep within a trainer, and kept for ever. Augmentation seeds every picture.
    """
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before)
