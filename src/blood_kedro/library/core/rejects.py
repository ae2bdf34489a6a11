"""Names of before, until the counting chain has the new ones."""

from blood_kedro.library.core.reject_log import RejectLog as Rejects

__all__ = ["Rejects"]
