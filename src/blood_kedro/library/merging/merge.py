"""Algorithm 2 of paper 000: one corpus out of the standardized sources, without duplicates counted twice."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from blood_kedro.library.core import taxonomy
from blood_kedro.library.core.boxes import BOX_COLUMNS
from blood_kedro.library.core.schemas import Annotations, UnifiedIndex, conform
from blood_kedro.library.core.schemas import Rejects as RejectsSchema
from blood_kedro.library.merging.duplicates import duplicate_groups, find_duplicates
from blood_kedro.library.merging.options import MergingOptions
from blood_kedro.library.merging.split import MODES, leak, split_images
from blood_kedro.library.merging.thumbnails import make_thumbnails


@dataclass(frozen=True)
class Merged:
    """The unified corpus. Boxes are in px of the canvas; `classes` lists the classes that can be learnt, in order."""

    index: pd.DataFrame
    annotations: pd.DataFrame
    pairs: pd.DataFrame
    rejects: pd.DataFrame
    classes: list[str]
    summary: dict[str, Any]


def merge_sources(
    annotations: dict[str, pd.DataFrame],
    metadata: dict[str, dict[str, dict[str, Any]]],
    folders: dict[str, Path],
    out_folder: Path,
    options: MergingOptions,
    seed: int,
) -> Merged:
    """Merge standardized sources.

    Args:
        annotations: per source, its annotations in project columns (`standardize.from_csv`).
        metadata: per source, its metadata.json.
        folders: per source, its standardized folder (holding `images/`).
        out_folder: receives `images/<global id>.png`.
        options: settings.
        seed: global seed.
    """
    images = _images(annotations, metadata)
    labels = pd.concat([annotations[source] for source in annotations], ignore_index=True)
    paths = [folders[row.source] / "images" / row.source_file for row in images.itertuples(index=False)]
    thumbnails = make_thumbnails(paths, list(images["new_size_px"]))
    ids = images["image_id"].tolist()
    pairs = find_duplicates(ids, images["source"].tolist(), thumbnails, options.duplicates)
    known = [None if pd.isna(g) else str(g) for g in images["group_id"]]
    images["duplicate_group"] = duplicate_groups(ids, pairs, known)
    images, labels, rejects = _merge_identical(images, labels, pairs, options.duplicates.same_point_px)
    labels, removed = _apply_view(labels, options)
    classes = [name for name in taxonomy.CLASS_IDS if name in set(labels.loc[~labels["ignore"], "label"])]
    images = images.reset_index(drop=True)
    counts = _class_counts(images, labels, classes)
    modes = {mode: split_images(images, counts, options, mode, seed) for mode in MODES}
    leaks = {mode: leak(splits, images, pairs) for mode, splits in modes.items()}
    images["split"] = modes[options.split]
    images["global_id"] = np.arange(1, len(images) + 1)
    images["file_name"] = [f"{number:06d}.png" for number in images["global_id"]]
    _copy_images(images, folders, out_folder / "images")
    index = conform(UnifiedIndex, images.to_dict("records"))
    merged = conform(Annotations, labels.to_dict("records"))
    return Merged(index, merged, pairs, rejects, classes, _summary(index, merged, pairs, leaks, removed, options))


def _images(annotations: dict[str, pd.DataFrame], metadata: dict[str, dict[str, dict[str, Any]]]) -> pd.DataFrame:
    """Images that carry at least one label, in order of source and file (Algorithm 2, line 6)."""
    rows = []
    for source, files in metadata.items():
        labelled = set(annotations[source].loc[~annotations[source]["ignore"].astype(bool), "image_id"])
        for file_name, facts in files.items():
            if facts["image_id"] in labelled:
                rows.append({**facts, "source_file": file_name, "new_size_px": tuple(facts["new_size_px"])})
    return pd.DataFrame(rows)


def _merge_identical(
    images: pd.DataFrame, labels: pd.DataFrame, pairs: pd.DataFrame, same_point_px: float
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Keep one of each set of pixel-identical images and give it the labels of all.

    A cell that two copies label alike is kept once. Where they disagree, nobody knows: the cell becomes an ignore
    region. An unlabelled cell of one copy that another copy labels is labelled.
    """
    same = pairs[pairs["kind"] == "same_pixels"]
    keeper_of = dict(zip(same["image_b"], same["image_a"], strict=True))
    labels = labels.assign(ignore=labels["ignore"].astype(bool))
    source_of = dict(zip(images["image_id"], images["source"], strict=True))
    path_of = dict(zip(images["image_id"], images["path"], strict=True))
    rejects: list[dict[str, object]] = []

    def reject(image_id: str, kind: str, reason: str) -> None:
        rejects.append(
            {"source": source_of[image_id], "path": path_of[image_id], "row": None, "kind": kind,
             "action": "merged", "reason": reason}
        )  # fmt: skip

    parts = [labels[~labels["image_id"].isin([*keeper_of, *keeper_of.values()])]]
    for keeper in sorted(set(keeper_of.values())):
        copies = [keeper, *sorted(name for name, kept in keeper_of.items() if kept == keeper)]
        for copy in copies[1:]:
            reject(copy, "image", f"same pixels as {keeper}: labels merged into it")
        together = labels[labels["image_id"].isin(copies)].sort_values("ignore", kind="stable")
        kept = _unite(together, same_point_px, lambda row: reject(str(row["image_id"]), "annotation", _disagrees(row)))
        parts.append(kept.assign(image_id=keeper))
    united = pd.concat(parts, ignore_index=True)
    order = {name: k for k, name in enumerate(images["image_id"])}
    united = united.iloc[np.argsort(united["image_id"].map(order).to_numpy(), kind="stable")].reset_index(drop=True)
    return images[~images["image_id"].isin(keeper_of)], united, conform(RejectsSchema, rejects)


def _disagrees(row: dict[str, Any]) -> str:
    return f"{row['annotation_id']} says {row['label']}, its twin image says otherwise: ignored"


def _unite(labels: pd.DataFrame, same_point_px: float, on_conflict: Any) -> pd.DataFrame:  # noqa: ANN401
    kept: list[dict[str, Any]] = []
    centres: list[tuple[float, float]] = []
    for row in labels.to_dict("records"):
        centre = ((row["x_min_px"] + row["x_max_px"]) / 2, (row["y_min_px"] + row["y_max_px"]) / 2)
        near = [k for k, (x, y) in enumerate(centres) if np.hypot(x - centre[0], y - centre[1]) < same_point_px]
        twin = next((k for k in near if kept[k]["annotation_id"].split("#")[0] != row["annotation_id"].split("#")[0]), None)
        if twin is None:
            kept.append(row)
            centres.append(centre)
        elif not row["ignore"] and kept[twin]["label"] != row["label"]:
            kept[twin] = {**kept[twin], "ignore": True, "label": _common(kept[twin]["label"], row["label"])}
            on_conflict(row)
    return pd.DataFrame(kept, columns=labels.columns)


def _common(a: str, b: str) -> str:
    """The lowest class above both labels; the coarse class of the first where there is none."""
    above_b = taxonomy.ancestors(b)
    return next((name for name in taxonomy.ancestors(a) if name in above_b), taxonomy.coarse(a))


def _apply_view(labels: pd.DataFrame, options: MergingOptions) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Roll labels up to the view; cells of classes outside it, or too rare, stay as ignore regions."""
    view = taxonomy.PAPER_000 if options.view == "paper_000" else tuple(taxonomy.PARENT)
    rolled = labels["label"].map(lambda name: taxonomy.roll_up(name, view))
    labels = labels.assign(label=rolled.fillna(labels["label"]), ignore=labels["ignore"] | rolled.isna())
    removed = [
        {"class": name, "count": int(count), "reason": f"not in view {options.view}"}
        for name, count in labels.loc[rolled.isna().to_numpy(), "label"].value_counts().items()
    ]
    counts = labels.loc[~labels["ignore"], "label"].value_counts()
    rare = counts[counts < options.min_class_count]
    removed += [
        {"class": name, "count": int(count), "reason": f"fewer than {options.min_class_count} labelled cells"}
        for name, count in rare.items()
    ]
    return labels.assign(ignore=labels["ignore"] | labels["label"].isin(rare.index)), removed


def _class_counts(images: pd.DataFrame, labels: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    labelled = labels[~labels["ignore"]]
    table = pd.crosstab(labelled["image_id"], labelled["label"])
    return table.reindex(index=images["image_id"], columns=classes, fill_value=0)


def _copy_images(images: pd.DataFrame, folders: dict[str, Path], target: Path) -> None:
    """Put every image at its global name: a hard link where the file system can, else a copy."""
    target.mkdir(parents=True, exist_ok=True)
    wanted = set(images["file_name"])
    for path in target.iterdir():
        if path.name not in wanted:
            path.unlink()
    for row in images.itertuples(index=False):
        source, new = folders[str(row.source)] / "images" / str(row.source_file), target / str(row.file_name)
        temporary = target / f".part-{row.file_name}"
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
        temporary.replace(new)
        # rename() of two links to one file does nothing and leaves the temporary name behind
        temporary.unlink(missing_ok=True)


def _summary(
    index: pd.DataFrame,
    labels: pd.DataFrame,
    pairs: pd.DataFrame,
    leaks: dict[str, dict[str, int]],
    removed: list[dict[str, Any]],
    options: MergingOptions,
) -> dict[str, Any]:
    labelled = labels[~labels["ignore"]]
    sizes = index.groupby("duplicate_group").size()
    return {
        "images": len(index),
        "annotations": len(labelled),
        "ignore_regions": int(labels["ignore"].sum()),
        **{f"{name}_images": int((index["split"] == name).sum()) for name in ("train", "val", "test")},
        "annotations_per_class": labelled["label"].value_counts().to_dict(),
        "duplicate_groups": int((sizes > 1).sum()),
        "duplicate_pairs": {str(k): int(v) for k, v in pairs["kind"].value_counts().items()},
        "groups_crossing_splits": leaks[options.split]["groups_crossing_splits"],
        "split": options.split,
        "split_leaks": leaks,
        "removed_classes": removed,
        "view": options.view,
    }


def composition(index: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Table I: images and labelled cells per source, and their total."""
    labelled = labels[~labels["ignore"]]
    source = labelled["image_id"].map(dict(zip(index["image_id"], index["source"], strict=True)))
    table = pd.DataFrame(
        {"images": index.groupby("source").size(), "annotations": source.value_counts()}
    ).fillna(0).astype(int).rename_axis("source").reset_index()  # fmt: skip
    total = {"source": "total", "images": int(table["images"].sum()), "annotations": int(table["annotations"].sum())}
    return pd.concat([table, pd.DataFrame([total])], ignore_index=True)


def class_table(index: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Labelled cells per class and split."""
    labelled = labels[~labels["ignore"]]
    split = labelled["image_id"].map(dict(zip(index["image_id"], index["split"], strict=True)))
    table = pd.crosstab(labelled["label"], split).reindex(columns=["train", "val", "test"], fill_value=0)
    table.columns.name = None
    return table.assign(total=table.sum(axis=1)).sort_values("total", ascending=False).reset_index()


def to_coco(index: pd.DataFrame, labels: pd.DataFrame, classes: list[str], split: str) -> dict[str, Any]:
    """COCO json of one split; ignore regions are `iscrowd: 1` with the coarse class in `label`."""
    images = index[index["split"] == split]
    category = {name: number for number, name in enumerate(classes, start=1)}
    number_of = dict(zip(images["image_id"], images["global_id"], strict=True))
    rows = labels[labels["image_id"].isin(number_of)]
    boxes = rows[BOX_COLUMNS].to_numpy(np.float64)
    annotations = []
    for number, (row, box) in enumerate(zip(rows.itertuples(index=False), boxes, strict=True), start=1):
        x, y, w, h = (float(v) for v in (box[0], box[1], box[2] - box[0], box[3] - box[1]))
        annotations.append(
            {
                "id": number,
                "image_id": int(number_of[row.image_id]),
                "category_id": _category(str(row.label), category),
                "bbox": [x, y, w, h],
                "area": w * h,
                "iscrowd": int(row.ignore),
                "label": str(row.label),
                "annotation_id": str(row.annotation_id),
            }
        )
    return {
        "images": [
            {"id": int(r.global_id), "file_name": str(r.file_name), "image_id": str(r.image_id), "source": str(r.source)}
            for r in images.itertuples(index=False)
        ],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in category.items()],
    }


def _category(label: str, category: dict[str, int]) -> int:
    """A class of its own, else the nearest above, else the first below (ignore regions may be coarser)."""
    above = taxonomy.roll_up(label, category)
    below = next((name for name in category if taxonomy.is_a(name, label)), None)
    name = above if above is not None else below
    return 0 if name is None else category[name]
