"""Work in several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor

T = TypeVar("T")
R = TypeVar("R")


def in_processes(function: Callable[[T], R], tasks: Iterable[T], workers: int, *, ordered: bool) -> Iterator[R]:
    """Yield the result of every task, in order of the tasks or as they finish.

    The processes end with the last result: idle ones would outlive a killed run by five minutes.
    """
    way = "generator" if ordered else "generator_unordered"
    try:
        yield from Parallel(n_jobs=workers, return_as=way, batch_size=1)(delayed(function)(task) for task in tasks)
    finally:
        get_reusable_executor().shutdown(wait=True)
