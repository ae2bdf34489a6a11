"""Work in several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from blood_kedro.library.core.errors import ConfigurationError

CLUSTER_TIMEOUT = "20s"

T = TypeVar("T")
R = TypeVar("R")


def in_processes(function: Callable[[T], R], tasks: Iterable[T], workers: int, *, ordered: bool) -> Iterator[R]:
    """Yield the result of every task, in order of the tasks or as they finish.

    The processes end with the last result: idle ones would outlive a killed run by five minutes.
    """
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    way = "generator" if ordered else "generator_unordered"
    try:
        yield from Parallel(n_jobs=workers, return_as=way, batch_size=1)(delayed(function)(task) for task in tasks)
    finally:
        get_reusable_executor().shutdown(wait=True)


def on_cluster(function: Callable[[T], R], tasks: Iterable[T], address: str) -> Iterator[R]:
    """The same on a Dask cluster, results as they finish.

    A task whose worker dies is done again by another one, three times at most; it must therefore leave nothing behind
    that a second try would trip over.

    Args:
        function: what to do; it is pickled, and the workers need this package.
        tasks: likewise.
        address: of the scheduler, such as `tcp://host:8786`.

    Raises:
        ConfigurationError: `distributed` is not installed, or nobody answers.
    """
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise ConfigurationError(
            "a Dask cluster is named, and the package distributed is not installed",
            where=address,
            remedy="pip install 'blood-kedro[cluster]', or leave cluster empty",
        ) from error
    try:
        client = Client(address, timeout=CLUSTER_TIMEOUT)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise ConfigurationError(
            "no Dask scheduler answers", where=address, got=str(error), remedy="start dask scheduler, or leave it empty"
        ) from error
    with client:
        futures = client.map(function, list(tasks), pure=False, retries=3)
        for future in as_completed(futures):  # type: ignore[no-untyped-call]
            yield future.result()
