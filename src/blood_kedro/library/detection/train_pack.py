"""Train one regimen of a pack into a folder: what `scripts/train_detector.py` runs, alone or under torchrun.

Needs torch, torchvision, lightning, numpy, pandas, pillow and pycocotools. The folder holds

    history.csv              one row per epoch, as soon as the epoch ends
    coco_results_<split>.json   detections on val, and on test where the pack has such images
    weights.pt, config.json  the detector
    job.json                 written last: device, versions, seconds, images per second; so the folder is whole
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sys
import time
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from blood_kedro.library.core.errors import BloodKedroError, ConfigurationError
from blood_kedro.library.core.files import write_atomically, write_bytes_atomically
from blood_kedro.library.core.plain_options import from_plain, to_plain
from blood_kedro.library.detection.pack import read_pack

logger = logging.getLogger(__name__)

# Exit status of a training that its time limit stopped: the same command goes on with it.
UNFINISHED = 75
_VERSIONS = ("torch", "torchvision", "lightning", "numpy", "pycocotools")


def train_pack(
    pack: Path,
    name: str,
    out: Path,
    *,
    changes: dict[str, Any] | None = None,
    seconds: float | None = None,
    splits: Sequence[str] = ("val", "test"),
) -> bool:
    """Train, predict and write the folder; whether it is finished. Under torchrun the first process writes.

    Args:
        pack: folder of `pack.pack_data`.
        name: regimen.
        out: the result; a training that was stopped goes on from `out/.work`.
        changes: other values for options, by dotted name.
        seconds: stop after the last epoch that ends within this time.
        splits: predict on these, where the pack has them.

    Raises:
        DataContractError: the pack has no such regimen.
        ConfigurationError: `changes` names an option that there is not.
    """
    import pandas as pd
    import torch

    from blood_kedro.library.detection.fit import fit
    from blood_kedro.library.detection.predict import predict

    packed = read_pack(pack, name)
    regimen = changed(packed.regimen, changes or {})
    first = int(os.environ.get("RANK", "0")) == 0
    out.mkdir(parents=True, exist_ok=True)
    start, rows = time.perf_counter(), []

    def keep(row: dict[str, float]) -> None:
        rows.append(row)
        logger.info("%s", ", ".join(f"{key} {value:.4g}" for key, value in row.items()))
        table = pd.DataFrame(rows)
        write_atomically(out / "history.csv", lambda path: table.to_csv(path, index=False))

    trained = fit(
        regimen,
        packed.coco["train"],
        packed.coco["val"],
        packed.images,
        out / ".work",
        pretrained=packed.pretrained,
        cutouts=packed.cutouts,
        on_epoch=keep if first else lambda _: None,
        seconds=seconds,
    )
    if not trained.finished or not first:
        return trained.finished
    speed = {}
    for split in splits:
        content = packed.coco.get(split)
        if content and content["images"]:
            results, speed[split] = predict(trained.bundle, content, packed.images)
            write_bytes_atomically(out / f"coco_results_{split}.json", json.dumps(results).encode())
    write_atomically(out / "weights.pt", partial(torch.save, trained.bundle.weights))
    write_bytes_atomically(out / "config.json", json.dumps(trained.bundle.config, indent=1).encode())
    job = {
        "device": torch.cuda.get_device_name(0) if torch.cuda.is_available() else platform.processor() or "CPU",
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "versions": {package: version(package) for package in _VERSIONS} | {"python": platform.python_version()},
        "seconds": time.perf_counter() - start,
        "predict_images_per_second": speed,
    }
    write_bytes_atomically(out / "job.json", json.dumps(job, indent=1).encode())
    return True


def changed(regimen: Any, changes: dict[str, Any]) -> Any:  # noqa: ANN401 - what from_plain returns
    """The regimen with other values for some options, named with dots; only options that are there can be changed.

    `epochs` or `optimizer.lr` are of the recipe; `workers` or `compute.workers` of the compute.

    Raises:
        ConfigurationError: there is no such option.
    """
    recipe, compute = to_plain(regimen.recipe), to_plain(regimen.compute)
    for dotted, value in changes.items():
        *path, last = dotted.removeprefix("compute.").split(".")
        part: Any = compute if [*path, last][0] in compute else recipe
        for key in path:
            part = part.get(key) if isinstance(part, dict) else None
        if not isinstance(part, dict) or last not in part:
            raise ConfigurationError(
                "no such option", where="--set", got=dotted, expected=f"for instance {', '.join(sorted(recipe)[:8])}"
            )
        part[last] = value
    return from_plain({"name": regimen.name, "recipe": recipe, "compute": compute})


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Train one regimen of a pack (make pack) into a folder.")
    parser.add_argument("pack", type=Path)
    parser.add_argument("regimen")
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, help=f"stop in time and exit with {UNFINISHED}; run again to go on")
    parser.add_argument("--predict", nargs="*", default=["val", "test"], metavar="SPLIT", help="default: val test")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="KEY=VALUE", help="options, as in epochs=2 optimizer.lr=0.01"
    )
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        finished = train_pack(
            chosen.pack,
            chosen.regimen,
            chosen.out,
            changes=dict(map(_change, chosen.set)),
            seconds=None if chosen.minutes is None else 60 * chosen.minutes,
            splits=chosen.predict,
        )
    except BloodKedroError as error:
        parser.exit(2, f"{error}\n")
    return 0 if finished else UNFINISHED


def _change(text: str) -> tuple[str, Any]:
    """`key=value`, the value as JSON, or as it is where it is none."""
    key, _, value = text.partition("=")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


if __name__ == "__main__":
    sys.exit(main())
