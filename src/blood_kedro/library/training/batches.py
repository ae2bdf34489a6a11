"""Batches by number of the step: they depend on nothing else, so a killed training continues as it would have."""

from __future__ import annotations

from typing import Any

from torch.utils.data import DataLoader, Dataset


def batches_from(first: int, steps: int, batches: Dataset[Any], workers: int) -> DataLoader[Any]:
    """Batches of the steps from `first` to `steps`, the same however many processes prepare them.

    Args:
        first: step to begin with, from 0.
        steps: of the whole training.
        batches: `batches[step]` is the batch of a step.
        workers: processes; 0 prepares them in this one.
    """
    return DataLoader(batches, batch_size=None, sampler=range(first, steps), num_workers=workers, collate_fn=_as_it_is)


def _as_it_is(batch: Any) -> Any:
    return batch
