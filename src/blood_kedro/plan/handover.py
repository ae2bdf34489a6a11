"""From a session to its pipelines: Kedro's registry takes no argument, so a plan is lent to it while it is filled.

Nothing stays: whoever asks outside a `with` block gets the plan of the project's files.
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


def plan_at_hand() -> Plan:
    """The plan that is being handed over, else that of the files of the project in the working directory.

    Raises:
        ConfigurationError: the files hold something that cannot be meant.
    """
    from blood_kedro.plan.build import build_from_files

    return _lent.get() or build_from_files()
