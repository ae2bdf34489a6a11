"""How a log says things, and what other libraries say, for as long as it would be in the way."""

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


def duration(seconds: float) -> str:
    """As people say it: `4.1 s`, `2 min 05 s`, `1 h 02 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left:02d} min" if hours else f"{minutes} min {rest:02d} s"
