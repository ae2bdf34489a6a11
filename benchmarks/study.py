"""`make study`: what do first weights, augmentation, sampling, losses, anchors and source-awareness bring?

Every regimen of `conf/laptop` with one budget for all, on the unified corpus of the real sources, scored on the same
validation images. Each finished arm is kept in docs/study/<arm>.json, so that a stopped run goes on where it was, and
docs/study.md is written anew after each: one table per question, differences paired over the same resampled images.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import torch
from kedro.config import OmegaConfigLoader
from kedro.framework.project import configure_project, settings

from blood_kedro.library.core.model_bundle import ModelBundle, load_bundle, save_bundle
from blood_kedro.library.detection.cutouts import real_cutouts
from blood_kedro.library.detection.fit import fit
from blood_kedro.library.detection.options import Regimen
from blood_kedro.library.detection.predict import predict
from blood_kedro.library.evaluation.coco_metrics import detection_metrics, metrics_by_source
from blood_kedro.library.evaluation.resampling import excludes_zero, paired_difference
from blood_kedro.library.smears.cutouts import simulated_cutouts
from blood_kedro.library.smears.options import SmearOptions
from blood_kedro.library.smears.training_set import training_and_held_out
from blood_kedro.library.smears.write import write_smears

ROOT = Path(__file__).parents[1]
UNIFIED = ROOT / "data/05_model_input/unified"
OUT = ROOT / "docs/study"
# The same for every arm: two CPU cores for minutes, not a GPU for hours.
BUDGET: dict[str, Any] = {
    "epochs": 2, "images_per_epoch": 600, "batch_size": 4, "val_loss_images": 40, "precision": "bf16-mixed",
    "channels_last": True, "accelerator": "cpu",
    "optimizer": {"lr": 0.02, "schedule": "cosine", "warmup_steps": 60, "clip_norm": 5.0},
}  # fmt: skip
PRETRAINING = {**BUDGET, "epochs": 8, "images_per_epoch": None}
# In the order of what one would want to know first.
ARMS = (
    "regimen_2", "source_aware", "regimen_1", "random_augmentation_2", "transfer_augmentation_1", "everything",
    "rare_class_copy_paste", "balanced", "focal", "fitted_anchors", "without_bccd", "without_chula", "without_pbc",
    "best",
)  # fmt: skip
QUESTIONS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Does transfer help at equal augmentation?",
        (("regimen_1", "transfer_augmentation_1"), ("random_augmentation_2", "regimen_2")),
    ),
    (
        "What does augmentation do?",
        (("regimen_1", "random_augmentation_2"), ("transfer_augmentation_1", "regimen_2")),
    ),
    (
        "What brings rare classes back?",
        tuple(("regimen_2", name) for name in ("balanced", "focal", "fitted_anchors", "rare_class_copy_paste")),
    ),
    ("What does source-awareness bring?", (("regimen_2", "source_aware"),)),
    ("What does everything together bring?", (("source_aware", "everything"), ("regimen_2", "everything"))),
    ("What does the combination of what helps bring?", (("regimen_2", "best"), ("transfer_augmentation_1", "best"))),
)
RARE = ("basophil", "teardrop", "microcyte", "burr_cell", "uncategorized", "macrocyte", "ovalocyte", "schistocyte")
KEPT = (
    "map", "map_50", "map_75", "mar_100", "interval_95", "interval_basis", "ap_50_per_class",
    "ap_50_interval_95_per_class", "objects_per_class", "groups_per_class", "images", "groups", "objects",
    "ignore_regions",
)  # fmt: skip
KEPT_BY_SOURCE = ("map_50", "interval_95", "interval_basis")


def parameters() -> dict[str, Any]:
    """Merged parameters of `laptop`."""
    configure_project("blood_kedro")
    loader = OmegaConfigLoader(conf_source=str(ROOT / "conf"), env="laptop", **settings.CONFIG_LOADER_ARGS)
    return dict(loader["parameters"])


def pretrained(values: dict[str, Any], work: Path) -> ModelBundle:
    """The pre-training that all arms but those from random weights share."""
    folder = work / "pretrained"
    if not folder.is_dir():
        smears = work / "smears"
        write_smears(smears, SmearOptions.model_validate(values["pretraining"]["smears"]), values["seed"] + 1)
        fields, held_out = training_and_held_out(smears)
        recipe = Regimen.model_validate({**values["pretraining"]["regimen"], **PRETRAINING})
        save_bundle(fit(recipe, fields, held_out, smears / "images", work / "fit").bundle, folder)
    return load_bundle(folder)


def run_arm(name: str, values: dict[str, Any], coco: dict[str, Any], work: Path) -> dict[str, Any]:
    """Train and score one regimen; what is kept of it."""
    recipe = Regimen.model_validate({**values["regimens"][name], **BUDGET, "enabled": True})
    start = pretrained(values, work) if recipe.initialization.kind == "generated_smears" else None
    cells = []
    if recipe.copy_paste is not None:
        pasting = recipe.copy_paste
        cells = real_cutouts(coco["train"], UNIFIED / "images", pasting, recipe.seed)
        cells += simulated_cutouts(pasting.classes, pasting.cutouts_per_class, 8.0, recipe.seed)
    begin = time.perf_counter()
    trained = fit(
        recipe, coco["train"], coco["val"], UNIFIED / "images", work / "fit", pretrained=start, cutouts=cells,
        on_epoch=lambda row: print(name, {k: round(v, 3) for k, v in row.items()}, flush=True),
    )  # fmt: skip
    minutes = (time.perf_counter() - begin) / 60
    found, _ = predict(trained.bundle, coco["val"], UNIFIED / "images")
    metrics = detection_metrics(coco["val"], found, resamples=2000, seed=0)
    by_source = metrics_by_source(coco["val"], found, resamples=2000, seed=0)
    return {
        "arm": name,
        "minutes": minutes,
        **{key: metrics[key] for key in KEPT},
        **_draws(metrics),
        "coarse": {**{key: metrics["coarse"][key] for key in KEPT[:8]}, **_draws(metrics["coarse"])},
        "by_source": {
            source: {
                "fine": {**{key: row[key] for key in KEPT_BY_SOURCE}, **_draws(row)},
                "coarse": {**{key: row["coarse"][key] for key in KEPT_BY_SOURCE}, **_draws(row["coarse"])},
                "images": row["images"],
                "objects": row["objects"],
            }
            for source, row in by_source.items()
        },
        "regimen": trained.bundle.config["regimen"],
        "weights_origin": trained.bundle.config["weights_origin"],
        "data_fingerprint": trained.bundle.config["data_fingerprint"],
        "train_images": trained.bundle.config["train_images"],
    }


def _draws(metrics: dict[str, Any]) -> dict[str, Any]:
    """What differences in AP50 are paired by."""
    return {part: {"map_50": metrics[part]["map_50"]} for part in ("bootstrap", "jackknife")}


def is_finished(path: Path) -> bool:
    """Whether an arm was scored, and as it is scored now: arms that were not cannot be compared with those that are."""
    return path.is_file() and "interval_basis" in json.loads(path.read_text())


def interval(value: float | None, limits: list[float | None]) -> str:
    """A value and its interval."""
    return "–" if value is None or limits[0] is None else f"{value:.3f} [{limits[0]:.3f}, {limits[1]:.3f}]"


def difference(first: dict[str, Any], second: dict[str, Any]) -> str:
    """Second minus first in AP50, paired; bold where the interval says which is better."""
    found = paired_difference(first, second, "map_50")
    if found is None:
        return "–"
    text = f"{found[0]:+.3f} [{found[1][0]:+.3f}, {found[1][1]:+.3f}]"
    return f"**{text}**" if excludes_zero(found[1]) else text


def page(arms: dict[str, dict[str, Any]]) -> str:
    """docs/study.md from the arms that are finished."""
    one = next(iter(arms.values()))
    lines = [
        "# Study: what brings what",
        "",
        f"Written by `make study RAW=../shared/data`: {os.cpu_count()} CPU cores, no GPU, torch {torch.__version__}. "
        f"Every arm: ResNet-18-FPN with group norm at {one['regimen']['network']['input_px']} px, "
        f"{BUDGET['epochs']} x {BUDGET['images_per_epoch']} images of BCCD, Chula and PBC, bfloat16, one seed "
        f"({one['regimen']['seed']}); transfer means {PRETRAINING['epochs']} epochs on generated smears first. Scored "
        f"on {one['images']} validation images ({one['objects']:,} labelled cells, {one['ignore_regions']:,} ignore "
        f"regions; split by duplicate group). In brackets: 95% intervals over {one['groups']} groups of "
        "images (BCa, 2,000 draws; decision 12), bold where one of a difference excludes 0; they speak of these images "
        "and one training each, not of other seeds. A small budget: what is compared are regimens at this "
        "budget, not the method at its best.",
        "",
        f"Not finished: {', '.join(name for name in ARMS if name not in arms) or 'none'}.",
        "",
        "| regimen | AP | AP50 | AP75 | coarse AP50 | minutes |",
        "|---|---|---|---|---|---|",
    ]
    for name, arm in arms.items():
        values = [interval(arm[key], arm["interval_95"][key]) for key in ("map", "map_50", "map_75")]
        coarse = interval(arm["coarse"]["map_50"], arm["coarse"]["interval_95"]["map_50"])
        lines.append(f"| {name} | {' | '.join(values)} | {coarse} | {arm['minutes']:.0f} |")
    sources = list(one["by_source"])
    for question, pairs in QUESTIONS:
        known = [(a, b) for a, b in pairs if a in arms and b in arms]
        if not known:
            continue
        lines += ["", f"## {question}", "", "| second minus first, AP50 | fine classes | rbc, wbc, platelet | "]
        lines[-1] += " | ".join(f"{source}, coarse" for source in sources) + " |"
        lines.append("|---" * (3 + len(sources)) + "|")
        for a, b in known:
            cells = [difference(arms[a], arms[b]), difference(arms[a]["coarse"], arms[b]["coarse"])]
            cells += [
                difference(arms[a]["by_source"][source]["coarse"], arms[b]["by_source"][source]["coarse"])
                for source in sources
            ]
            lines.append(f"| {b} − {a} | {' | '.join(cells)} |")
    lines += ["", "## Rare classes: AP50", "", "| class | cells scored on | " + " | ".join(arms) + " |"]
    lines.append("|---" * (2 + len(arms)) + "|")
    for label in RARE:
        values = [interval(a["ap_50_per_class"][label], a["ap_50_interval_95_per_class"][label]) for a in arms.values()]
        lines.append(f"| {label} | {one['objects_per_class'][label]} | {' | '.join(values)} |")
    unseen = {name: arm for name, arm in arms.items() if name.startswith("without_")}
    if unseen and "source_aware" in arms:
        lines += ["", "## A source that was never trained on: coarse AP50 there", ""]
        lines += ["| source | trained on all | trained without it | difference |", "|---|---|---|---|"]
        for name, arm in unseen.items():
            source = name.removeprefix("without_")
            seen, not_seen = (x["by_source"][source]["coarse"] for x in (arms["source_aware"], arm))
            both = [interval(x["map_50"], x["interval_95"]["map_50"]) for x in (seen, not_seen)]
            lines.append(f"| {source} | {both[0]} | {both[1]} | {difference(seen, not_seen)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the arms that are not finished."""
    parser = argparse.ArgumentParser()
    parser.add_argument("arms", nargs="*", default=ARMS)
    parser.add_argument("--work", type=Path, default=ROOT / "build/study")
    options = parser.parse_args()
    values = parameters()
    coco = {split: json.loads((UNIFIED / f"coco_{split}.json").read_text()) for split in ("train", "val")}
    OUT.mkdir(exist_ok=True)
    for name in options.arms:
        path = OUT / f"{name}.json"
        if not is_finished(path):
            path.write_text(json.dumps(run_arm(name, values, coco, options.work)))
        done = {arm: json.loads((OUT / f"{arm}.json").read_text()) for arm in ARMS if is_finished(OUT / f"{arm}.json")}
        (ROOT / "docs/study.md").write_text(page(done))


if __name__ == "__main__":
    main()
