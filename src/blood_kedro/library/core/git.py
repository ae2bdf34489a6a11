"""What the repository says of itself."""

from __future__ import annotations

import subprocess
from pathlib import Path


def commit_of(project: Path) -> str | None:
    """The commit that is checked out; None outside a repository."""
    completed = subprocess.run(  # noqa: S603 - our own arguments
        ["git", "-C", str(project), "rev-parse", "HEAD"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return completed.stdout.strip() or None
