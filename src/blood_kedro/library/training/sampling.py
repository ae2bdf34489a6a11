"""The order in which images are trained on: a function of seed and epoch alone."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields `(epoch, index)`: an order that depends on seed and epoch alone. Lightning calls `set_epoch`.

    With `repeats` (how often each image should come, on average), images are drawn in these proportions: whole parts
    count as such, and chance decides on the rest. An epoch has as many images as without.

    Of several processes, each yields every `world`-th image from its `rank` on, so that together they see the batches
    that one process would; the first images come again where the number does not divide.
    """

    def __init__(
        self,
        data: Sized,
        seed: int,
        images_per_epoch: int | None,
        epoch: int = 0,
        repeats: npt.NDArray[np.float64] | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.size, self.seed, self.epoch = len(data), seed, epoch
        self.count = min(images_per_epoch or self.size, self.size)
        self.repeats, self.rank, self.world = repeats, rank, world

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Images per epoch and process."""
        return int(np.ceil(self.count / self.world))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Indices of this epoch."""
        rng = np.random.default_rng((self.seed, self.epoch))
        pool = np.arange(self.size)
        if self.repeats is not None:
            times = np.floor(self.repeats) + (rng.random(self.size) < self.repeats % 1)
            pool = np.repeat(pool, times.astype(int))
        order = np.resize(rng.permutation(pool)[: self.count], len(self) * self.world)[self.rank :: self.world]
        return iter([(self.epoch, int(index)) for index in order])
