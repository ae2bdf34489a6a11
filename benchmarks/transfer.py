"""`make transfer`: does the simulator help? One detector, few real images, four ways to start and to augment.

Trained on the nearly completely labelled Chula images of the training split (elsewhere, unlabelled cells would punish
a detector for being right), scored on those of the validation split. Expects the unified Chula corpus that the make
target prepares. Each finished arm is kept in a JSON file, so a stopped run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from common import parameters

from blood_kedro.environments import results_root
from blood_kedro.library.core.model_bundle import ModelBundle, load_bundle, save_bundle
from blood_kedro.library.detection.fit import fit
from blood_kedro.library.detection.options import CopyPaste, Regimen
from blood_kedro.library.detection.patches import real_patches
from blood_kedro.library.detection.predict import predict
from blood_kedro.library.evaluation.coco_metrics import detection_metrics
from blood_kedro.library.evaluation.resampling import with_limits
from blood_kedro.library.smears.options import ReferenceImages, SmearOptions
from blood_kedro.library.smears.patches import simulated_patches
from blood_kedro.library.smears.training_set import training_and_held_out
from blood_kedro.library.smears.write import write_smears

ROOT = Path(__file__).parents[1]
UNIFIED = results_root(ROOT, "laptop") / "05_model_input/unified"
RARE = ("teardrop", "macrocyte", "microcyte", "schistocyte", "hypochromia", "burr_cell")
MOST_UNLABELLED = 0.2
NETWORK = {
    "backbone": "resnet18_fpn",
    "norm": "group",
    "input_px": 256,
    "anchor_sizes_px": [8, 16, 32, 64, 128],
    "proposals_train": 400,
    "proposals_test": 400,
    "roi_samples": 128,
    "representation": 256,
    "detections_per_image": 200,
}
OPTIMIZER = {"lr": 0.01, "warmup_steps": 30, "clip_norm": 5.0, "step_epochs": 9}
# Scale of Chula's standardized images: 5.25 px/um (docs/facts/data.md#chula-scale) in 640 px made 512.
SMEARS = {
    "slides": 32,
    "fields_per_slide": 10,
    "width_px": 640,
    "height_px": 480,
    "px_per_um": 5.25,
    "overlap_share": 0.2,
    "cells_per_field": {
        "normal_rbc": 30,
        "macrocyte": 5,
        "microcyte": 5,
        "spherocyte": 8,
        "target_cell": 6,
        "stomatocyte": 6,
        "ovalocyte": 6,
        "teardrop": 5,
        "burr_cell": 5,
        "schistocyte": 5,
        "hypochromia": 5,
        "elliptocyte": 3,
        "platelet": 3,
    },
}


def nearly_complete(coco: dict[str, Any]) -> dict[str, Any]:
    """The images of which at most a fifth of the visible cells is unlabelled, without their ignore regions' sizes."""
    cells, unlabelled = Counter[int](), Counter[int]()
    for annotation in coco["annotations"]:
        cells[annotation["image_id"]] += 1
        unlabelled[annotation["image_id"]] += annotation["iscrowd"]
    images = [i for i in coco["images"] if cells[i["id"]] and unlabelled[i["id"]] < MOST_UNLABELLED * cells[i["id"]]]
    chosen = {image["id"] for image in images}
    return {**coco, "images": images, "annotations": [a for a in coco["annotations"] if a["image_id"] in chosen]}


def pretrained(train: dict[str, Any], raw: Path, work: Path, seed: int) -> ModelBundle:
    """A detector of the simulator's classes, trained on smears that look like the training images."""
    folder = work / f"pretrained_{seed}"
    if folder.is_dir():
        return load_bundle(folder)
    # Styles come from training images alone.
    looks = work / "looks"
    looks.mkdir(exist_ok=True)
    for image in train["images"]:
        path = raw / "chula" / "Dataset" / f"{image['image_id'].split('/')[-1]}.jpg"
        if not (looks / path.name).exists():
            (looks / path.name).symlink_to(path.resolve())
    like = ReferenceImages(
        folder=str(looks), cell_px=parameters()["sources"]["chula"]["cell_px"], px_per_um=5.25, images=32
    )
    write_smears(work / "smears", SmearOptions.model_validate({**SMEARS, "like": like}), 1)
    fields, held_out = training_and_held_out(work / "smears")
    bundle = fit(regimen("pretraining", seed, 2), fields, held_out, work / "smears/images", work / "fit").bundle
    save_bundle(bundle, folder)
    return bundle


def regimen(name: str, seed: int, epochs: int, **changes: Any) -> Regimen:  # noqa: ANN401
    """The recipe all arms share."""
    return Regimen.model_validate(
        {
            "name": name,
            "augmentation": "paper_r2",
            "network": NETWORK,
            "optimizer": OPTIMIZER,
            "epochs": epochs,
            "batch_size": 2,
            "val_loss_images": 4,
            "seed": seed,
            **changes,
        }
    )


def arms(train: dict[str, Any], raw: Path, work: Path, seed: int, epochs: int) -> dict[str, Any]:
    """What each arm trains with, made only when it is asked for."""
    pasting = CopyPaste(classes=RARE, source="both", per_image=4.0)

    def cells() -> list[Any]:
        real = real_patches(train, UNIFIED / "images", pasting, seed)
        return real + simulated_patches(RARE, pasting.cutouts_per_class, 8.0, seed)

    start = {"first_weights": {"kind": "simulated"}}
    return {
        "random weights": lambda: (regimen("random", seed, epochs), {}),
        "simulator pre-training": lambda: (
            regimen("pretrained", seed, epochs, **start),
            {"pretrained": pretrained(train, raw, work, seed)},
        ),
        "random weights, rare classes pasted": lambda: (
            regimen("pasted", seed, epochs, copy_paste=pasting),
            {"cutouts": cells()},
        ),
        "simulator pre-training, rare classes pasted": lambda: (
            regimen("both", seed, epochs, copy_paste=pasting, **start),
            {"pretrained": pretrained(train, raw, work, seed), "cutouts": cells()},
        ),
    }


def main() -> None:
    """Train and score every arm, then write docs/simulator_transfer.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--work", type=Path, default=ROOT / "build/transfer")
    options = parser.parse_args()
    raw = Path(os.environ["BLOOD_KEDRO_RAW"]).expanduser()
    options.work.mkdir(parents=True, exist_ok=True)
    train, val = (nearly_complete(json.loads((UNIFIED / f"coco_{s}.json").read_text())) for s in ("train", "val"))
    store = options.work / "results.json"
    results: dict[str, Any] = json.loads(store.read_text()) if store.is_file() else {}
    for seed in options.seeds:
        for name, prepare in arms(train, raw, options.work, seed, options.epochs).items():
            key = f"{name}/{seed}/{options.epochs}"
            if key in results:
                continue
            recipe, extra = prepare()
            begin = time.perf_counter()
            trained = fit(recipe, train, val, UNIFIED / "images", Path(tempfile.mkdtemp(dir=options.work)), **extra)
            detections, _ = predict(trained.bundle, val, UNIFIED / "images")
            metrics = detection_metrics(val, detections, resamples=200, seed=0)
            results[key] = {**metrics, "arm": name, "seed": seed, "minutes": (time.perf_counter() - begin) / 60}
            store.write_text(json.dumps(results, indent=1))
            print(key, {k: metrics[k] for k in ("map", "map_50", "map_50_coarse")}, flush=True)
            for leftover in options.work.glob("tmp*"):
                shutil.rmtree(leftover)
    text = page(results, train, val, options.epochs)
    print(text)
    (ROOT / "docs/simulator_transfer.md").write_text(text)


def page(results: dict[str, Any], train: dict[str, Any], val: dict[str, Any], epochs: int) -> str:
    """The table as Markdown."""
    names = {category["id"]: category["name"] for category in train["categories"]}
    train_cells = Counter(names[a["category_id"]] for a in train["annotations"] if not a["iscrowd"])
    rows = list(results.values())
    val_cells = rows[0]["objects_per_class"]
    shown = [name for name in RARE if val_cells.get(name)]
    lines = [
        "# Does the simulator help a detector?",
        "",
        f"Written by `make transfer` ({time.strftime('%Y-%m-%d')}, {os.cpu_count()} CPU cores, torch "
        f"{torch.__version__}). ResNet-18-FPN with group norm at {NETWORK['input_px']} px, trained on "
        f"{len(train['images'])} real Chula images for {epochs} epochs, scored on {len(val['images'])} others "
        f"({rows[0]['objects']:,} cells; split by duplicate group). Pre-training: 310 simulated fields, 2 epochs, "
        "styles fitted to the training images. Intervals: 95%, bootstrap over images. One row is one training.",
        "",
        "| start and augmentation | seed | AP | AP50 | AP75 | coarse AP50 | mean AP50 of rare classes | min |",
        "|---|---|---|---|---|---|---|---|",
    ]

    def with_interval(row: dict[str, Any], name: str) -> str:
        return with_limits(row[name], row["interval_95"][name])

    for row in rows:
        rare = sum(row["ap_50_per_class"][name] or 0 for name in shown) / len(shown)
        lines.append(
            f"| {row['arm']} | {row['seed']} | {with_interval(row, 'map')} | {with_interval(row, 'map_50')} | "
            f"{row['map_75']:.3f} | {row['map_50_coarse']:.3f} | {rare:.3f} | {row['minutes']:.1f} |"
        )
    lines += ["", "AP50 per class (cells in training, in validation):", "", "| class | train | val | "]
    lines[-1] += " | ".join(f"{row['arm']} ({row['seed']})" for row in rows) + " |"
    lines.append("|---" * (3 + len(rows)) + "|")
    for name, count in sorted(val_cells.items(), key=lambda item: item[1]):
        if count:
            values = " | ".join(f"{row['ap_50_per_class'][name] or 0:.3f}" for row in rows)
            lines.append(f"| {name} | {train_cells[name]} | {count} | {values} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
