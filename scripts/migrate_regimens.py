"""Write what kept trainings say of their regimen in the words of this version; their figures stay as they are.

    python scripts/migrate_regimens.py docs/study/*.json <folder of scripts/train_detector.py>/config.json

Earlier versions had `initialization` for `first_weights`, `generated_smears` for `simulated`, and the compute among the
options of the recipe. A file that is in these words already is left alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from blood_kedro.library.core.files import write_bytes_atomically

KINDS = {"generated_smears": "simulated"}
NOT_OF_THE_RECIPE = {
    *("enabled", "study", "trained_in"),
    *("workers", "accelerator", "devices", "num_nodes", "strategy"),
}


def migrated(regimen: dict[str, Any]) -> dict[str, Any]:
    """The regimen of an earlier version in the words of this one."""
    values = {}
    for key, value in regimen.items():
        if key == "initialization":
            values["first_weights"] = _first_weights(value)
        elif key not in NOT_OF_THE_RECIPE:
            values[key] = value
    return values


def _first_weights(start: dict[str, Any]) -> dict[str, Any]:
    run = start["mlflow_run"]
    return {
        "kind": "run" if run else KINDS.get(start["kind"], start["kind"]),
        "path": start["path"],
        "model": None,
        "run": run,
        "trainable_layers": start["trainable_layers"],
    }


def main() -> None:
    """Migrate the files that the command line names, in place."""
    for path in map(Path, sys.argv[1:]):
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
        changed = {**content, "regimen": migrated(content["regimen"])}
        if changed != content:
            indent = 1 if text.startswith("{\n") else None
            write_bytes_atomically(path, json.dumps(changed, indent=indent).encode())
            sys.stdout.write(f"{path}: migrated\n")


if __name__ == "__main__":
    main()
