"""Pack the unified corpus and regimens for a machine without this project: `make pack REGIMENS="regimen_1 regimen_2"`.

Reads the catalog of an environment; `merging` must have run, and for regimens that start from generated smears or paste
cells also the nodes that make these.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog

from blood_kedro import tracking
from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.detection.options import Regimen
from blood_kedro.library.detection.pack import SPLITS, pack_data, pack_regimen


def pack(catalog: DataCatalog, values: dict[str, object], names: list[str], out: Path) -> None:
    """Write data and regimens of a catalog.

    Raises:
        ConfigurationError: there is no such regimen.
    """
    pack_data(out, {split: catalog.load(f"coco_{split}") for split in SPLITS}, catalog.load("unified_images"))
    for name in names:
        if name not in values:
            raise ConfigurationError("no such regimen", where="REGIMENS", got=name, expected=", ".join(values))
        regimen = Regimen.model_validate(values[name])
        pretrained = None
        if regimen.first_weights.kind == "simulated":
            pretrained = catalog.load("pretraining.model")
        elif regimen.first_weights.run:
            pretrained = tracking.fetch_detector(regimen.first_weights.run)
        pack_regimen(out, regimen, pretrained, catalog.load(f"{name}.cutouts") if regimen.copy_paste else ())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("regimens", nargs="+")
    parser.add_argument("--env", default="laptop")
    parser.add_argument("--project", type=Path, default=Path.cwd(), help="default: here")
    chosen = parser.parse_args()
    bootstrap_project(chosen.project)
    with KedroSession.create(project_path=chosen.project, env=chosen.env) as session:
        context = cast("KedroSession", session).load_context()
        regimens = context.config_loader["parameters"]["regimens"]
        pack(cast("DataCatalog", context.catalog), regimens, chosen.regimens, chosen.out)


if __name__ == "__main__":
    main()
