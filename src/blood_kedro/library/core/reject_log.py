"""The list of what a source could not give as found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.text_files import printable

# More rejected labels of one file are counted and not listed.
LISTED_PER_FILE = 10_000
_LONGEST_REASON = 500


@dataclass
class RejectLog:
    """Collects what was not taken as found. `strict` turns the first dropped row into an error.

    `lost_labels` counts labels that were lost without a row of their own: with a picture, with a label file, or beyond
    the first ten thousand of a file.
    """

    source: str
    strict: bool = False
    rows: list[dict[str, object]] = field(default_factory=list)
    lost_labels: int = 0
    _dropped_of_file: Counter[str] = field(default_factory=Counter)

    def reasons(self, most: int = 3) -> str:
        """The first reasons for which something was dropped, for an error that nothing is left."""
        dropped = [row for row in self.rows if row["action"] == "dropped"]
        return "; ".join(f"{Path(str(row['path'])).name}: {row['reason']}" for row in dropped[:most])

    def count(self, kind: str, *actions: str) -> int:
        """Number of rows of a kind with one of these actions."""
        return sum(row["kind"] == kind and row["action"] in actions for row in self.rows)

    def add(
        self, path: Path | str, kind: str, action: str, reason: str, row: int | None = None, labels: int = 0
    ) -> None:
        """Record one reject; `labels` are lost with it.

        Raises:
            BadInputError: `on_bad_input: raise` is set and something would be dropped.
        """
        # Adapters give paths relative to the source's folder, so that two machines list the same rejects.
        name, reason = (
            printable(path.as_posix() if isinstance(path, Path) else path),
            printable(reason)[:_LONGEST_REASON],
        )
        if self.strict and action == "dropped":
            raise BadInputError(
                reason,
                where=f"{self.source}: {name}" + (f", row {row}" if row is not None else ""),
                remedy="mend the file, or set on_bad_input: reject",
            )
        self.lost_labels += labels
        if kind == "annotation" and action == "dropped":
            self._dropped_of_file[name] += 1
            beyond = self._dropped_of_file[name] - LISTED_PER_FILE
            if beyond > 0:
                self.lost_labels += 1
                if beyond > 1:
                    return
                kind, action, row = "label_file", "noted", None
                reason = f"more labels than {LISTED_PER_FILE} are lost; the others are counted, not listed"
        self.rows.append(
            {"source": self.source, "path": name, "row": row, "kind": kind, "action": action, "reason": reason}
        )
