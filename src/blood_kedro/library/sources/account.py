"""What became of all pictures and labels of a source: kept and rejected add up to what was found."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from blood_kedro.library.core.reject_log import RejectLog

# More than this share of the pictures or of the labels lost is worth a warning.
WORTH_A_WARNING = 0.05
_REASONS = 3
_COUNTED = {"image": "picture", "annotation": "label", "label_file": "label file"}


@dataclass(frozen=True)
class Share:
    """Numbers of pictures, or of labels. `unread` were left by a limit; `merged` of the rejected are in another one."""

    found: int
    kept: int
    rejected: int
    unread: int = 0
    merged: int = 0

    def text(self, name: str) -> str:
        """For instance `12 pictures found, 10 kept, 2 rejected`."""
        unread = f", {self.unread} not read (limit)" if self.unread else ""
        merged = f" ({self.merged} of them the same cell as another)" if self.merged else ""
        return f"{self.found} {name} found, {self.kept} kept, {self.rejected} rejected{merged}{unread}"


@dataclass(frozen=True)
class Account:
    """Of one source; `reasons` are the commonest of what was lost, with their numbers.

    `known` pictures are rejects because the set was published so.
    """

    pictures: Share
    labels: Share
    reasons: tuple[tuple[str, int], ...]
    known: int = 0

    @property
    def worth_a_warning(self) -> bool:
        """Whether more than a twentieth of the pictures or of the labels was lost, besides what is known of the set."""
        pictures = self.pictures.rejected - self.known
        labels = self.labels.rejected - self.labels.merged
        return (
            pictures > WORTH_A_WARNING * (self.pictures.found - self.known)
            or labels > WORTH_A_WARNING * self.labels.found
        )

    def text(self) -> str:
        """One line for people."""
        known = f" ({self.known} of them known of this set)" if self.known else ""
        reasons = "; ".join(f"{count} x {reason}" for reason, count in self.reasons)
        return f"{self.pictures.text('pictures')}{known}; {self.labels.text('labels')}" + (
            f"; mostly: {reasons}" if reasons else ""
        )


def commonest_reasons(rejects: RejectLog) -> tuple[tuple[str, int], ...]:
    """The three commonest reasons for which something was lost; those that differ in their numbers alone are one."""
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rejects.rows:
        if row["kind"] in _COUNTED and row["action"] in {"dropped", "merged"}:
            reason = f"{_COUNTED[str(row['kind'])]}: {row['reason']}"
            groups[re.sub(r"-?\d[\d.e+-]*", "N", reason)][reason] += 1
    largest = sorted(groups.values(), key=lambda alike: -alike.total())[:_REASONS]
    return tuple((next(iter(alike)) + (" and the like" if len(alike) > 1 else ""), alike.total()) for alike in largest)


def known_losses(rejects: RejectLog, known: Mapping[str, int]) -> int:
    """How many rejected pictures have a reason that is known of the set, at most as many as are known."""
    reasons = Counter(row["reason"] for row in rejects.rows if row["kind"] == "image" and row["action"] == "dropped")
    return sum(min(count, reasons[reason]) for reason, count in known.items())
