"""What a session does, typed and checked before anything runs (docs/decisions/0015-plan.md)."""

from blood_kedro.plan.build import build, build_completed, written_out
from blood_kedro.plan.handover import handed_over, lent_plan
from blood_kedro.plan.plan import Plan

__all__ = ["Plan", "build", "build_completed", "handed_over", "lent_plan", "written_out"]
