"""From a session to its pipelines: Kedro's registry takes no argument, so a plan is lent to it while it is filled.

Nothing stays: outside a `with` block there is none, and whoever needs one builds it of the project's files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from blood_kedro.plan.plan import Plan

_lent: ContextVar[Plan | None] = ContextVar("plan of the session", default=None)


@contextmanager
def handed_over(plan: Plan) -> Iterator[None]:
    """Inside, pipelines are built of this plan."""
    token = _lent.set(plan)
    try:
        yield
    finally:
        _lent.reset(token)


def lent_plan() -> Plan | None:
    """The plan that is being handed over; None outside a `with` block."""
    return _lent.get()
