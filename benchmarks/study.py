"""`make study`: what do first weights, augmentation, sampling, losses, anchors and source-awareness bring?

Regimens of `conf/laptop` with one budget for all and several seeds each, on the unified corpus of the real sources,
scored on the same validation images. Each finished training is kept in docs/study/<arm>_seed_<seed>.json, so that a
stopped run goes on where it was; one of another recipe or of other data is made anew. docs/study.md is written after
each: one table per question, differences paired by seed and over the same resampled groups.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from blood_kedro.environments import config_loader, results_root
from blood_kedro.library.core.files import write_bytes_atomically
from blood_kedro.library.core.hashing import fingerprint
from blood_kedro.library.core.model_bundle import ModelBundle, load_bundle, save_bundle
from blood_kedro.library.core.plain_options import to_plain
from blood_kedro.library.detection.fit import fit, without_source
from blood_kedro.library.detection.options import Regimen
from blood_kedro.library.detection.patches import real_patches
from blood_kedro.library.detection.predict import predict
from blood_kedro.library.evaluation.coco_metrics import detection_metrics, metrics_by_source
from blood_kedro.library.evaluation.resampling import excludes_zero, paired_difference, with_limits
from blood_kedro.library.smears.options import SmearOptions
from blood_kedro.library.smears.patches import simulated_patches
from blood_kedro.library.smears.training_set import training_and_held_out
from blood_kedro.library.smears.write import write_smears

ROOT = Path(__file__).parents[1]
UNIFIED = results_root(ROOT, "laptop") / "05_model_input/unified"
OUT, PAGE = ROOT / "docs/study", ROOT / "docs/study.md"
# The same for every arm: two minutes of a GPU that eight trainings share, ten of a CPU core.
BUDGET: dict[str, Any] = {
    "epochs": 4,
    "images_per_epoch": 600,
    "batch_size": 8,
    "val_loss_images": 40,
    "precision": "32-true",
    "channels_last": True,
    "compute": {"accelerator": "auto"},
    "optimizer": {"lr": 0.02, "schedule": "cosine", "warmup_steps": 60, "clip_norm": 5.0},
}
PRETRAINING = {**BUDGET, "epochs": 8, "images_per_epoch": None}
SEEDS = (2026, 2027, 2028)
RESAMPLES = 2000
# What the others are compared with.
PLAIN = "regimen_2"
# In the order of what one would want to know first.
ARMS = (
    "random_augmentation_1",
    "random_augmentation_2",
    "transfer_augmentation_1",
    "transfer_augmentation_2",
    PLAIN,
    "balanced",
    "rare_class_copy_paste",
    "balanced_copy_paste",
    "source_aware",
    "generated_smears",
    "everything",
    "focal",
    "fitted_anchors",
    "without_bccd",
    "without_chula",
    "without_pbc",
    "best",
)
QUESTIONS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Does transfer help at equal augmentation?",
        tuple((f"random_augmentation_{n}", f"transfer_augmentation_{n}") for n in (1, 2)),
    ),
    (
        "What does augmentation do?",
        tuple((f"{weights}_augmentation_1", f"{weights}_augmentation_2") for weights in ("random", "transfer")),
    ),
    (
        "What brings rare classes back?",
        tuple(
            (PLAIN, name)
            for name in ("balanced", "rare_class_copy_paste", "balanced_copy_paste", "focal", "fitted_anchors")
        ),
    ),
    ("What does source-awareness bring?", ((PLAIN, "source_aware"),)),
    ("What does everything together bring?", (("source_aware", "everything"), (PLAIN, "everything"))),
    ("What does the combination of what helps bring?", ((PLAIN, "best"),)),
)
RARE = ("basophil", "teardrop", "burr_cell", "microcyte", "ovalocyte", "schistocyte", "macrocyte", "uncategorized")
KEPT = (
    "map",
    "map_50",
    "map_75",
    "mar_100",
    "ap_50_per_class",
    "objects_per_class",
    "images",
    "groups",
    "objects",
    "ignore_regions",
)
# What intervals are made of, and of which metrics it is kept.
DRAWN, OF_FINE, OF_COARSE = ("bootstrap", "jackknife"), ("map", "map_50", "map_75"), ("map_50",)


def parameters() -> dict[str, Any]:
    """Merged parameters of `laptop`."""
    return config_loader(ROOT, "laptop")["parameters"]


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


def recipe_of(name: str, seed: int, values: dict[str, Any]) -> Regimen:
    """A regimen with the budget of the study and a seed."""
    return Regimen.model_validate({**values["regimens"][name], **BUDGET, "enabled": True, "seed": seed})


def data_of(recipe: Regimen, coco: dict[str, Any]) -> str:
    """Fingerprint of the data that a training of this recipe sees."""
    return fingerprint([without_source(coco["train"], recipe.leave_out), coco["val"]])


def kept_of(path: Path, recipe: Regimen, data: str) -> dict[str, Any] | None:
    """A kept training; None where there is none, or one of another recipe or of other data."""
    run = json.loads(path.read_text()) if path.is_file() else None
    same = run is not None and run["regimen"] == to_plain(recipe.recipe) and run["data_fingerprint"] == data
    return run if same else None


def run_arm(recipe: Regimen, values: dict[str, Any], coco: dict[str, Any], work: Path) -> dict[str, Any]:
    """Train and score one regimen; what is kept of it. The pre-training is the same for all seeds."""
    start = pretrained(values, work) if recipe.first_weights.kind == "simulated" else None
    cells = []
    if recipe.copy_paste is not None:
        pasting = recipe.copy_paste
        cells = real_patches(coco["train"], UNIFIED / "images", pasting, recipe.seed)
        cells += simulated_patches(pasting.classes, pasting.cutouts_per_class, 8.0, recipe.seed)
    begin = time.perf_counter()
    trained = fit(
        recipe,
        coco["train"],
        coco["val"],
        UNIFIED / "images",
        work / "fit",
        pretrained=start,
        cutouts=cells,
        on_epoch=lambda row: print(recipe.name, recipe.seed, {k: round(v, 3) for k, v in row.items()}, flush=True),
    )
    minutes = (time.perf_counter() - begin) / 60
    results, _ = predict(trained.bundle, coco["val"], UNIFIED / "images")
    metrics = detection_metrics(coco["val"], results, resamples=RESAMPLES, seed=0)
    by_source = metrics_by_source(coco["val"], results, resamples=RESAMPLES, seed=0)
    return scored(recipe.name, trained.bundle.config, metrics, by_source, minutes)


def scored(
    name: str,
    config: Mapping[str, Any],
    metrics: dict[str, Any],
    by_source: dict[str, dict[str, Any]],
    minutes: float,
    machine: str | None = None,
) -> dict[str, Any]:
    """What is kept of a trained and judged arm; the machine is this one where it is None."""
    this_machine = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores"
    return {
        "arm": name,
        "minutes": minutes,
        "machine": machine or this_machine,
        **{key: metrics[key] for key in KEPT},
        **draws_of(metrics, OF_FINE),
        "coarse": {"map_50": metrics["coarse"]["map_50"], **draws_of(metrics["coarse"], OF_COARSE)},
        "by_source": {
            source: {"map_50": row["coarse"]["map_50"], **draws_of(row["coarse"], OF_COARSE)}
            for source, row in by_source.items()
        },
        **{key: config[key] for key in ("regimen", "weights_origin", "data_fingerprint", "train_images")},
    }


def draws_of(metrics: dict[str, Any], names: Sequence[str]) -> dict[str, dict[str, list[float]]]:
    """What intervals of some metrics are made of, to five digits."""
    return {
        part: {name: np.round(metrics[part].get(name, []), 5).tolist() for name in names}
        for part in DRAWN
        if part in metrics
    }


def mean_of(values: Sequence[Any]) -> Any:  # noqa: ANN401 - as in the files
    """One training out of those of several seeds: means of numbers and of draws; None where one has none."""
    first = values[0]
    if isinstance(first, dict):
        return {key: mean_of([each[key] for each in values]) for key in first}
    if any(each is None for each in values):
        return None
    if isinstance(first, list) and all(len(each) == len(first) for each in values):
        return [mean_of(each) for each in zip(*values, strict=True)]
    return float(np.mean(values)) if isinstance(first, float) else first


def part_of(run: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """The part of a training that a column shows."""
    for key in path:
        run = run[key]
    return run


def shown(
    runs: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]] | None, name: str, path: Sequence[str]
) -> str:
    """Mean over seeds of a metric, or of its difference to that of `others`; spread over seeds; interval over groups.

    The interval is of the mean: draws of all seeds are of the same groups.
    """
    ours = [part_of(run, path) for run in runs]
    theirs = [nothing(each, name) for each in ours] if others is None else [part_of(run, path) for run in others]
    paired = paired_difference(mean_of(theirs), mean_of(ours), name)
    if paired is None:
        return "–"
    value, limits = paired
    spread = np.std([a[name] - b[name] for a, b in zip(ours, theirs, strict=True)], ddof=1) if len(ours) > 1 else np.nan
    around = "" if np.isnan(spread) else f" ± {spread:.3f}"
    text = with_limits(value, limits, signed=others is not None, spread=around)
    return f"**{text}**" if others is not None and excludes_zero(limits) else text


def nothing(metrics: dict[str, Any], name: str) -> dict[str, Any]:
    """Zero, with as many draws: the difference to it is the metric itself."""
    parts = [part for part in DRAWN if part in metrics]
    return {name: 0.0, **{part: {name: [0.0] * len(metrics[part].get(name, []))} for part in parts}}


def same_seeds(a: dict[int, dict[str, Any]], b: dict[int, dict[str, Any]]) -> tuple[list[Any], list[Any]]:
    """Trainings of two arms with the seeds that both have."""
    seeds = sorted(a.keys() & b.keys())
    return [a[seed] for seed in seeds], [b[seed] for seed in seeds]


def page(arms: dict[str, dict[int, dict[str, Any]]]) -> str:
    """docs/study.md from the trainings that are finished, by arm and seed."""
    one = next(iter(next(iter(arms.values())).values()))
    network = one["regimen"]["network"]
    short = [
        f"{name} ({len(arms.get(name, {}))} of {len(SEEDS)})" for name in ARMS if len(arms.get(name, {})) < len(SEEDS)
    ]
    lines = [
        "# Study: what each choice brings",
        "",
        "Written by `make study RAW=../shared/data`. "
        f"Every training: {network['backbone']} at {network['input_px']} px (generated_smears: ResNet-18, after "
        f"{PRETRAINING['epochs']} epochs on generated smears), {BUDGET['epochs']} x {BUDGET['images_per_epoch']} "
        "images of BCCD, Chula and PBC in batches of 8, float32; transfer means ImageNet weights of the backbone. "
        "Batch norm is live in the 2x2 and frozen in the others (decision 14). "
        f"Scored on {one['images']} "
        f"validation images ({one['objects']:,} labelled cells, {one['ignore_regions']:,} ignore regions; split by "
        "duplicate group). Figures are means over seeds; after ± their standard deviation over seeds, which says what "
        f"another training would give; in brackets 95% intervals of the mean over {one['groups']} groups of validation "
        f"images that show the same field (BCa, {RESAMPLES:,} draws; decision 12), which say what other images would "
        "give, bold where that of a difference excludes 0. The arms of the 2x2 differ in first weights and "
        "augmentation alone; the others from regimen_2 in what their name says. A small budget: what "
        "is compared are regimens at this budget, not the method at its best.",
        "",
        f"Not finished: {', '.join(short) or 'none'}.",
        "",
        "| regimen | seeds | AP | AP50 | AP75 | coarse AP50 | minutes each | trained on |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, arm in arms.items():
        runs = list(arm.values())
        values = [shown(runs, None, key, ()) for key in OF_FINE] + [shown(runs, None, "map_50", ("coarse",))]
        minutes = np.mean([run["minutes"] for run in runs])
        machines = ", ".join(sorted({run["machine"] for run in runs}))
        lines.append(f"| {name} | {len(runs)} | {' | '.join(values)} | {minutes:.0f} | {machines} |")
    sources = list(one["by_source"])
    columns: list[tuple[str, ...]] = [(), ("coarse",), *(("by_source", source) for source in sources)]
    for question, pairs in QUESTIONS:
        known = [(a, b) for a, b in pairs if arms.get(a, {}).keys() & arms.get(b, {}).keys()]
        if not known:
            continue
        lines += ["", f"## {question}", "", "| second minus first, AP50 | seeds | fine classes | rbc, wbc, platelet | "]
        lines[-1] += " | ".join(f"{source}, coarse" for source in sources) + " |"
        lines.append("|---" * (4 + len(sources)) + "|")
        for a, b in known:
            first, second = same_seeds(arms[a], arms[b])
            cells = [shown(second, first, "map_50", path) for path in columns]
            lines.append(f"| {b} − {a} | {len(first)} | {' | '.join(cells)} |")
    lines += ["", "## Rare classes: AP50", "", "| class | cells scored on | " + " | ".join(arms) + " |"]
    lines.append("|---" * (2 + len(arms)) + "|")
    for label in RARE:
        values = [of_class(list(arm.values()), label) for arm in arms.values()]
        lines.append(f"| {label} | {one['objects_per_class'][label]} | {' | '.join(values)} |")
    unseen = {name: arm for name, arm in arms.items() if name.startswith("without_")}
    if unseen and "source_aware" in arms:
        lines += ["", "## A source that was never trained on: coarse AP50 there", ""]
        lines += ["| source | trained on all | trained without it | difference |", "|---|---|---|---|"]
        for name, arm in unseen.items():
            source = name.removeprefix("without_")
            path = ("by_source", source)
            seen, not_seen = same_seeds(arms["source_aware"], arm)
            if seen:
                both = [shown(runs, None, "map_50", path) for runs in (seen, not_seen)]
                lines.append(f"| {source} | {both[0]} | {both[1]} | {shown(not_seen, seen, 'map_50', path)} |")
    return "\n".join(lines) + "\n"


def of_class(runs: Sequence[dict[str, Any]], label: str) -> str:
    """AP50 of a class: mean and standard deviation over seeds."""
    values = [run["ap_50_per_class"].get(label) for run in runs]
    if any(value is None for value in values):
        return "–"
    around = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{around}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is not finished: all arms with the first seed, then with the next."""
    parser = argparse.ArgumentParser()
    parser.add_argument("arms", nargs="*", default=ARMS)
    parser.add_argument("--work", type=Path, default=ROOT / "build/study")
    options = parser.parse_args(arguments)
    values = parameters()
    coco = {split: json.loads((UNIFIED / f"coco_{split}.json").read_text()) for split in ("train", "val")}
    recipes = {(name, seed): recipe_of(name, seed, values) for name in ARMS for seed in SEEDS}
    data = {name: data_of(recipes[name, SEEDS[0]], coco) for name in ARMS}
    OUT.mkdir(exist_ok=True)
    saved: dict[tuple[str, int], dict[str, Any]] = {}
    for (name, seed), recipe in recipes.items():
        stored = kept_of(file_of(name, seed), recipe, data[name])
        if stored is not None:
            saved[name, seed] = stored
    for name, seed in ((name, seed) for seed in SEEDS for name in options.arms):
        if (name, seed) not in saved:
            training = run_arm(recipes[name, seed], values, coco, options.work)
            write_bytes_atomically(file_of(name, seed), json.dumps(training).encode())
            saved[name, seed] = training
        arms = {arm: {s: saved[arm, s] for s in SEEDS if (arm, s) in saved} for arm in ARMS}
        PAGE.write_text(page({arm: runs for arm, runs in arms.items() if runs}))


def file_of(name: str, seed: int) -> Path:
    """Where a training is kept."""
    return OUT / f"{name}_seed_{seed}.json"


if __name__ == "__main__":
    main()
