"""What other libraries say, for as long as it would be in the way: their loggers stay as whoever calls set them."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def at_level(logger: logging.Logger, level: int) -> Iterator[None]:
    """A logger says nothing below a level; afterwards as before."""
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def without_warning(part: str) -> Iterator[None]:
    """Warnings that have this in their text are not shown, whatever filters a library sets inside; others are."""
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(message: Warning | str, *rest: Any, **more: Any) -> None:  # noqa: ANN401 - as warnings.showwarning
            if part not in str(message):
                shown(message, *rest, **more)

        warnings.showwarning = show
        yield
