"""Algorithm 2 of Sahay 2025: one corpus out of the standardized sources, without duplicates counted twice."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from blood_kedro.library.core import taxonomy
from blood_kedro.library.core.files import PART, remove, sweep, temporary_name
from blood_kedro.library.core.schemas import SPLITS, Annotations, ImageGroups, Rejects, UnifiedIndex, conform
from blood_kedro.library.core.tables import records
from blood_kedro.library.merging.duplicates import duplicate_groups, find_duplicates
from blood_kedro.library.merging.identical import merge_identical
from blood_kedro.library.merging.options import MergingOptions
from blood_kedro.library.merging.split import MODES, leak, parts_of_groups, split_images
from blood_kedro.library.merging.thumbnails import make_thumbnails
from blood_kedro.library.training.splits import missing_from_parts


@dataclass(frozen=True)
class Merged:
    """The unified corpus. Boxes are in px of the canvas; `classes` lists the classes that can be learnt, in order.

    `groups` is of schema `ImageGroups`: it also has the images that the corpus leaves out.
    """

    index: pd.DataFrame
    groups: pd.DataFrame
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
    pictures = _pictures(annotations, metadata)
    # A source of nothing but images without a cell has no row, and no types of columns.
    tables = [table for table in annotations.values() if len(table)] or list(annotations.values())
    labels = pd.concat(tables, ignore_index=True)
    paths = [folders[row["source"]] / "images" / row["source_file"] for row in records(pictures)]
    thumbnails = make_thumbnails(paths, list(pictures["new_size_px"]))
    ids = pictures["image_id"].tolist()
    pairs = find_duplicates(ids, pictures["source"].tolist(), thumbnails, options.duplicates)
    known = [None if pd.isna(g) else str(g) for g in pictures["group_id"]]
    pictures["duplicate_group"] = duplicate_groups(ids, pairs, known)
    images, labels, rejects = _without_copies(pictures, labels, pairs, options)
    labels, removed = _apply_view(labels, options)
    classes = _classes(labels, removed, options)
    counts = _class_counts(images, labels, classes)
    modes = {mode: split_images(images, counts, options, mode, seed) for mode in MODES}
    leaks = {mode: leak(splits, images, pairs) for mode, splits in modes.items()}
    images["split"] = modes[options.split]
    images["global_id"] = np.arange(1, len(images) + 1)
    images["file_name"] = [f"{number:06d}.png" for number in images["global_id"]]
    _copy_images(images, folders, out_folder / "images")
    held_out = set(images.loc[(modes["grouped"] != "train").to_numpy(), "duplicate_group"])
    pictures["part"] = parts_of_groups(
        pictures, _class_counts(pictures, labels, classes), held_out, options.parts, seed
    )
    groups = _groups(pictures, pairs)
    index = conform(UnifiedIndex, records(images))
    merged = conform(Annotations, records(labels))
    summary = _summary(index, merged, pairs, leaks, removed, options)
    summary |= _summary_of_groups(groups) | {"missing_from_parts": _missing(index, merged, groups)}
    return Merged(index, groups, merged, pairs, rejects, classes, summary)


def _pictures(annotations: dict[str, pd.DataFrame], metadata: dict[str, dict[str, dict[str, Any]]]) -> pd.DataFrame:
    """Every standardized image, in order of source and file; those with a label first (Algorithm 2, line 6).

    `known`: 2 for an image with a label, 1 for one of which the source says that it shows no cell, else 0.
    """
    rows = []
    for source, files in metadata.items():
        labelled = set(annotations[source].loc[~annotations[source]["ignore"].astype(bool), "image_id"])
        for file_name, facts in files.items():
            size = tuple(facts["new_size_px"])
            known = 2 if facts["image_id"] in labelled else int(facts.get("without_cell", False))
            rows.append({**facts, "source_file": file_name, "new_size_px": size, "known": known})
    # An unlabelled twin is the copy of a labelled one, never the other way round.
    return pd.DataFrame(rows).sort_values("known", ascending=False, kind="stable", ignore_index=True)


def _without_copies(
    pictures: pd.DataFrame, labels: pd.DataFrame, pairs: pd.DataFrame, options: MergingOptions
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Images with a label or without a cell, but for copies; their labels; what was merged and left out."""
    images = pictures[pictures["known"] > 0].drop(columns="known")
    used = set(images["image_id"])
    copies = pairs["image_a"].isin(used) & pairs["image_b"].isin(used) & options.duplicates.merge_identical
    labels = labels[labels["image_id"].isin(used)]
    images, labels, rejects = merge_identical(images, labels, pairs[copies], options.duplicates.same_point_px)
    left_out = [
        {
            "source": row["source"],
            "path": row["path"],
            "row": None,
            "kind": "image",
            "action": "noted",
            "reason": "no label but regions to ignore: left out of the corpus",
        }
        for row in records(pictures[pictures["known"] == 0])
    ]
    return images.reset_index(drop=True), labels, conform(Rejects, records(rejects) + left_out)


def _groups(pictures: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    same = pairs[pairs["kind"] == "same_pixels"]
    copies = pictures["image_id"].map(dict(zip(same["image_b"], same["image_a"], strict=True)))
    table = pictures[["image_id", "source", "part"]].assign(group_id=pictures["duplicate_group"], copy_of=copies)
    return conform(ImageGroups, records(table.astype({"copy_of": object}).where(table.notna(), None)))


def _summary_of_groups(groups: pd.DataFrame) -> dict[str, Any]:
    return {
        "grouped_images": len(groups),
        "groups": int(groups["group_id"].nunique()),
        "images_of_parts": {name: int((groups["part"] == name).sum()) for name in SPLITS},
    }


def _missing(index: pd.DataFrame, labels: pd.DataFrame, groups: pd.DataFrame) -> list[str]:
    """What parts lack: classes and sources in the split of the corpus, sources in the parts of the groups."""
    split = index["split"].to_numpy()
    cells = labels[~labels["ignore"]]
    of_cell = cells["image_id"].map(dict(zip(index["image_id"], split, strict=True))).to_numpy()
    used = [name for name in SPLITS if (split == name).any()]
    notes = missing_from_parts(
        cells["label"].to_numpy(object),
        {name: np.flatnonzero(of_cell == name) for name in used},
        "class",
        "split of the corpus",
    )
    notes += missing_from_parts(
        index["source"].to_numpy(object),
        {name: np.flatnonzero(split == name) for name in used},
        "source",
        "split of the corpus",
    )
    rows = {name: np.flatnonzero(groups["part"] == name) for name in SPLITS}
    return notes + missing_from_parts(groups["source"].to_numpy(object), rows, "source", "parts of the groups")


def _apply_view(labels: pd.DataFrame, options: MergingOptions) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Roll labels up to the view; cells of classes outside it, or too rare, stay as ignore regions."""
    view = taxonomy.SAHAY_2025 if options.view == "sahay_2025" else tuple(taxonomy.PARENT)
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


def _classes(labels: pd.DataFrame, removed: list[dict[str, Any]], options: MergingOptions) -> list[str]:
    """Classes that a detector has outputs for: those of the paper's view, found or not, else those found."""
    names = set(labels.loc[~labels["ignore"], "label"])
    if options.view == "sahay_2025":
        names = {*taxonomy.SAHAY_2025} - {row["class"] for row in removed}
    return [name for name in taxonomy.CLASS_IDS if name in names]


def _class_counts(images: pd.DataFrame, labels: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    labelled = labels[~labels["ignore"]]
    table = pd.crosstab(labelled["image_id"], labelled["label"])
    return table.reindex(index=images["image_id"], columns=classes, fill_value=0)


def _copy_images(images: pd.DataFrame, folders: dict[str, Path], target: Path) -> None:
    """Put every image at its global name: a hard link where the file system can, else a copy."""
    target.mkdir(parents=True, exist_ok=True)
    wanted = set(images["file_name"])
    sweep(target)
    for path in target.iterdir():
        if path.name not in wanted and not path.name.startswith(PART):
            remove(path)
    for row in records(images):
        source, new = folders[row["source"]] / "images" / row["source_file"], target / row["file_name"]
        temporary = temporary_name(target, Path(row["file_name"]).suffix)
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
