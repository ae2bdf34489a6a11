"""From the files of one source to its tables: image index, raw annotations, masks, rejects."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from blood_kedro.library.core import boxes as boxlib
from blood_kedro.library.core import taxonomy
from blood_kedro.library.core.distinct import distinct
from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError, UnknownLabelError
from blood_kedro.library.core.limits import DRAWN_TWICE_IOU
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.schemas import ImageIndex, InstanceMasks, RawAnnotations, Rejects, conform
from blood_kedro.library.imaging.read import ImageFacts, inspect_image, is_litter
from blood_kedro.library.sources.account import Account, Share, commonest_reasons, known_losses
from blood_kedro.library.sources.base import RawImage, RawLabel, SourceAdapter
from blood_kedro.library.sources.label_files import reason_of
from blood_kedro.library.sources.values import in_picture


@dataclass(frozen=True)
class SourceTables:
    """The four tables of one source, each in the schema of the same name, and what became of all that was found."""

    index: pd.DataFrame
    annotations: pd.DataFrame
    masks: pd.DataFrame
    rejects: pd.DataFrame
    account: Account


def ingest(
    adapter: SourceAdapter, folder: Path, *, strict: bool, limit: int | None = None, merge_twins: bool = True
) -> SourceTables:
    """Read, verify and tabulate one source.

    Args:
        adapter: reader of the source's layout.
        folder: the source's folder.
        strict: raise at the first thing that would be dropped instead of listing it.
        limit: read only the first images (for trying things out); None reads all.
        merge_twins: boxes of one class that are nearly the same are one cell; False keeps both.

    Raises:
        SourceNotFoundError: the folder is missing, empty, or holds nothing usable: no picture, or of all labels none.
        BadInputError: `strict` and something would be dropped.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        state = "missing" if not folder.is_dir() else "empty"
        raise SourceNotFoundError(
            f"source {adapter.name} is configured, but its folder is {state}",
            where=str(folder.absolute()),
            remedy=f"{adapter.how_to_get}; or set sources.{adapter.name}.enabled=false",
        )
    rejects = RejectLog(adapter.name, strict)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and is_litter(path.relative_to(folder)):
            rejects.add(path.relative_to(folder), "litter", "noted", f"not part of the set: {_litter_reason(path)}")
    listed = list(adapter.scan(folder, rejects))
    raw_images, names = listed[:limit], image_ids(adapter.name, listed)
    pictures_found = len(listed) + rejects.count("image", "dropped")
    labels_found = sum(len(raw.labels) for raw in listed) + rejects.count("annotation", "dropped") + rejects.lost_labels
    index: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    masks: list[dict[str, object]] = []
    with ThreadPoolExecutor() as pool:  # Pillow decodes without the interpreter lock
        inspected = pool.map(lambda raw: _inspect(folder / raw.path), raw_images)
        for raw, image_id, outcome in zip(raw_images, names, inspected, strict=False):
            facts = _accept(raw, outcome, rejects)
            if facts is None:
                continue
            labels = _clean(adapter, raw, facts, rejects)
            if not labels and (raw.labels or raw.unreadable_labels):
                rejects.add(raw.path, "image", "dropped", "none of its labels can be used: nobody knows what it shows")
                continue
            if merge_twins:
                labels = _merge_near_identical(labels, raw.labels_path or raw.path, rejects)
            index.append(_index_row(adapter.name, image_id, raw, facts))
            for label in labels:
                annotations.append(_annotation_row(adapter, image_id, label, facts))
                if label.rle_counts is not None:
                    masks.append(_mask_row(image_id, label, facts))
    unread = listed[len(raw_images) :]
    account = Account(
        Share(pictures_found, len(index), rejects.count("image", "dropped"), len(unread)),
        Share(
            labels_found,
            len(annotations),
            rejects.count("annotation", "dropped", "merged") + rejects.lost_labels,
            sum(len(raw.labels) for raw in unread),
            merged=rejects.count("annotation", "merged"),
        ),
        commonest_reasons(rejects),
        known=known_losses(rejects, adapter.known_losses),
    )
    if not index or (account.labels.found and not annotations and not unread):
        nothing = "image" if not index else "label"
        raise SourceNotFoundError(
            f"source {adapter.name} holds no usable {nothing} ({len(rejects.rows)} rejects)",
            where=str(folder.absolute()),
            got=account.text(),
            remedy=adapter.how_to_get,
        )
    return SourceTables(
        conform(ImageIndex, index),
        conform(RawAnnotations, annotations),
        conform(InstanceMasks, masks),
        conform(Rejects, rejects.rows),
        account,
    )


def image_ids(source: str, images: Sequence[RawImage]) -> list[str]:
    """`<source>/<path without suffix>` of each image; with it where two differ by that alone."""
    plain = [f"{source}/{raw.path.with_suffix('').as_posix()}" for raw in images]
    return distinct(plain, [f"{source}/{raw.path.as_posix()}" for raw in images])


def _litter_reason(path: Path) -> str:
    outcome = _inspect(path)
    return f"hidden or system file, {outcome}" if isinstance(outcome, str) else "hidden or system file"


def _inspect(path: Path) -> ImageFacts | str:
    try:
        return inspect_image(path)
    except Exception as error:
        return reason_of(error)


def _accept(raw: RawImage, outcome: ImageFacts | str, rejects: RejectLog) -> ImageFacts | None:
    if isinstance(outcome, str):
        rejects.add(raw.path, "image", "dropped", outcome, labels=len(raw.labels))
        return None
    size = (outcome.width_px, outcome.height_px)
    if raw.labelled_size_px is not None and raw.labelled_size_px != size:
        claimed = "x".join(map(str, raw.labelled_size_px))
        reason = f"label file is for a {claimed} image, this one is {size[0]}x{size[1]} as viewed"
        rejects.add(raw.path, "image", "dropped", reason, labels=len(raw.labels))
        return None
    for reason in outcome.repairs:
        rejects.add(raw.path, "image", "repaired", reason)
    for reason in outcome.notes:
        rejects.add(raw.path, "image", "noted", reason)
    return outcome


def _clean(adapter: SourceAdapter, raw: RawImage, facts: ImageFacts, rejects: RejectLog) -> list[RawLabel]:
    shown = raw.labels_path or raw.path
    labels = []
    for label in raw.labels:
        try:
            taxonomy.mapped(adapter.labels, label.label_raw, adapter.name, shown.as_posix())
        except UnknownLabelError as error:
            rejects.add(shown, "annotation", "dropped", error.what, label.row)
            continue
        inside = _clip(label, facts, shown, rejects)
        if inside is not None:
            labels.append(inside)
    return labels


def _clip(label: RawLabel, facts: ImageFacts, shown: Path, rejects: RejectLog) -> RawLabel | None:
    if label.box_xyxy_px is None:
        return label
    try:
        cut = in_picture(label.box_xyxy_px, facts.width_px, facts.height_px)
    except BadInputError as error:
        rejects.add(shown, "annotation", "dropped", error.what, label.row)
        return None
    if cut == label.box_xyxy_px:
        return label
    rejects.add(shown, "annotation", "repaired", "box reached outside the image and was cut at its border", label.row)
    return replace(label, box_xyxy_px=cut)


def _merge_near_identical(labels: list[RawLabel], shown: Path, rejects: RejectLog) -> list[RawLabel]:
    unique: list[RawLabel] = []
    for label in labels:
        twin = next((k for k in unique if _near_identical(k, label)), None)
        if twin is None:
            unique.append(label)
        else:
            reason = f"near-identical to row {twin.row} of the same class (IoU > {DRAWN_TWICE_IOU})"
            rejects.add(shown, "annotation", "merged", reason, label.row)
    return unique


def _near_identical(a: RawLabel, b: RawLabel) -> bool:
    if a.label_raw != b.label_raw or a.box_xyxy_px is None or b.box_xyxy_px is None:
        return False
    pair = np.array([a.box_xyxy_px, b.box_xyxy_px], np.float64)
    if (pair[:, 0] == pair[:, 2]).all():  # two points
        return bool(a.box_xyxy_px == b.box_xyxy_px)
    return bool(boxlib.iou(pair[:1], pair[1:])[0, 0] > DRAWN_TWICE_IOU)


def _index_row(source: str, image_id: str, raw: RawImage, facts: ImageFacts) -> dict[str, object]:
    return {
        "image_id": image_id,
        "source": source,
        "path": raw.path.as_posix(),
        "width_px": facts.width_px,
        "height_px": facts.height_px,
        "sha256": facts.sha256,
        "group_id": None if raw.group_id is None else f"{source}/{raw.group_id}",
        "official_split": raw.official_split,
    }


def _annotation_id(image_id: str, label: RawLabel) -> str:
    return f"{image_id}#{label.row}"


def _annotation_row(adapter: SourceAdapter, image_id: str, label: RawLabel, facts: ImageFacts) -> dict[str, object]:
    box = label.box_xyxy_px or (0.0, 0.0, float(facts.width_px), float(facts.height_px))
    is_point = label.box_xyxy_px is not None and box[0] == box[2] and box[1] == box[3]
    annotated = "simulated" if adapter.name == "synthetic" else "annotated"
    origin = "image" if label.box_xyxy_px is None else "point" if is_point else annotated
    return {
        "annotation_id": _annotation_id(image_id, label),
        "image_id": image_id,
        "label_raw": label.label_raw,
        "label": taxonomy.mapped(adapter.labels, label.label_raw, adapter.name),
        **dict(zip(boxlib.BOX_COLUMNS, box, strict=True)),
        "box_origin": origin,
        "ignore": label.ignore,
        "row": label.row,
    }


def _mask_row(image_id: str, label: RawLabel, facts: ImageFacts) -> dict[str, object]:
    return {
        "annotation_id": _annotation_id(image_id, label),
        "image_id": image_id,
        "height_px": facts.height_px,
        "width_px": facts.width_px,
        "rle_counts": label.rle_counts,
    }
