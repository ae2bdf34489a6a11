"""The list of what a source could not give as found."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from blood_kedro.library.core.errors import BadInputError


@dataclass
class Rejects:
    """Collects what was not taken as found. `strict` turns the first dropped row into an error."""

    source: str
    strict: bool = False
    rows: list[dict[str, object]] = field(default_factory=list)

    def reasons(self, most: int = 3) -> str:
        """The first reasons for which something was dropped, for an error that nothing is left."""
        dropped = [row for row in self.rows if row["action"] == "dropped"]
        return "; ".join(f"{Path(str(row['path'])).name}: {row['reason']}" for row in dropped[:most])

    def add(self, path: Path | str, kind: str, action: str, reason: str, row: int | None = None) -> None:
        """Record one reject.

        Raises:
            BadInputError: `on_bad_input: raise` is set and something would be dropped.
        """
        # Adapters give paths relative to the source's folder, so that two machines list the same rejects.
        name = path.as_posix() if isinstance(path, Path) else path
        name = os.fsencode(name).decode("utf-8", "backslashreplace")  # names of files need not be UTF-8
        if self.strict and action == "dropped":
            raise BadInputError(
                reason,
                where=f"{self.source}: {name}" + (f", row {row}" if row is not None else ""),
                remedy="mend the file, or set on_bad_input: reject",
            )
        self.rows.append(
            {"source": self.source, "path": name, "row": row, "kind": kind, "action": action, "reason": reason}
        )
