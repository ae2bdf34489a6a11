"""No field of the real sets is on two sides of any split: looked for anew, in the raw files, by other means."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from blood_kedro.library.cells.gather import point_cells
from blood_kedro.library.cells.options import CellOptions
from blood_kedro.library.core.groups import Groups
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.tables import records
from blood_kedro.library.counting.name.cutouts import segmented_cutouts
from blood_kedro.library.counting.name.splits import splits
from blood_kedro.library.counting.options import CutoutOptions, KindClassifier
from blood_kedro.library.counting.segment.classical import Watershed
from blood_kedro.library.counting.segment.fields import tile_groups
from blood_kedro.library.imaging.read import read_rgb
from blood_kedro.library.merging.merge import Merged, merge_sources
from blood_kedro.library.merging.options import MergingOptions
from blood_kedro.library.morphology.options import Classifier, Segmenter
from blood_kedro.library.morphology.splits import runs, segmentation_split
from blood_kedro.library.overlap.gather import annotated, with_parts
from blood_kedro.library.overlap.options import CropOptions
from blood_kedro.library.sources.ingest import SourceTables, ingest
from blood_kedro.library.sources.registry import SOURCES
from tests.conf.test_configuration import load

pytestmark = pytest.mark.slow
NAMES = ("bccd", "chula")
# Parts of each image in one split of one pipeline.
Parts = dict[str, set[str]]


@dataclass(frozen=True)
class Real:
    tables: dict[str, SourceTables]
    merged: Merged
    twins: list[tuple[str, str]]

    @property
    def groups(self) -> Groups:
        return Groups.of(self.merged.groups)

    def index(self, source: str) -> pd.DataFrame:
        """Images with a twin, and every tenth of the others: enough to split, and quick to cut."""
        index = self.tables[source].index
        paired = index["image_id"].isin({name for pair in self.twins for name in pair})
        return index[paired | (np.arange(len(index)) % 10 == 0)].reset_index(drop=True)


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Real:
    out = tmp_path_factory.mktemp("corpus")
    tables = {name: ingest(SOURCES[name], shared_data / name, strict=False) for name in NAMES}
    merged = merge_sources(
        {name: boxes(each.annotations) for name, each in tables.items()},
        {name: as_they_are(each.index, shared_data / name, out / name / "images") for name, each in tables.items()},
        {name: out / name for name in NAMES},
        out / "unified",
        MergingOptions(**{**load("laptop")["merging"], "test_fraction": 0.1}),
        seed=1,
    )
    twins = [pair for name, each in tables.items() for pair in pictures_of_one_field(each.index, shared_data / name)]
    return Real(tables, merged, twins)


def boxes(annotations: pd.DataFrame) -> pd.DataFrame:
    """Points as small boxes: how large a cell is does not matter here."""
    point = annotations["box_origin"].eq("point")
    grown = {
        name: annotations[name] + np.where(point, sign * 18, 0)
        for name, sign in (("x_min_px", -1), ("y_min_px", -1), ("x_max_px", 1), ("y_max_px", 1))
    }
    return annotations.assign(**grown).drop(columns="row")


def as_they_are(index: pd.DataFrame, folder: Path, images: Path) -> dict[str, dict[str, object]]:
    """Metadata of images that are linked instead of standardized: the same pixels, without minutes of fitting."""
    images.mkdir(parents=True)
    facts: dict[str, dict[str, object]] = {}
    for row in records(index):
        name = str(row["path"]).replace("/", "__")
        (images / name).symlink_to(folder / row["path"])
        facts[name] = {**row, "new_size_px": [row["width_px"], row["height_px"]]}
    return facts


def pictures_of_one_field(index: pd.DataFrame, folder: Path) -> list[tuple[str, str]]:
    """Pairs with the same pixels, nearly the same, or (BCCD) where the middle of one is found again in the other."""
    names, hashes, small = list(index["image_id"]), [], []
    for path in index["path"]:
        rgb = read_rgb(folder / path)
        hashes.append(hashlib.sha256(rgb.tobytes()).hexdigest())
        grey = cv2.resize(rgb[..., 1], (64, 48), interpolation=cv2.INTER_AREA).astype(np.float32)
        grey -= cv2.GaussianBlur(grey, (0, 0), 8)
        small.append(grey / np.linalg.norm(grey))
    flat = np.stack([each.ravel() for each in small])
    alike = (flat @ flat.T > 0.8) | (np.array(hashes)[:, None] == np.array(hashes))
    if folder.name == "bccd":
        middles = [each[12:36, 16:48] for each in small]
        for i, j in combinations(range(len(names)), 2):
            alike[i, j] |= cv2.matchTemplate(small[i], middles[j], cv2.TM_CCOEFF_NORMED).max() > 0.9
    return [(names[i], names[j]) for i, j in np.argwhere(np.triu(alike, 1)).tolist()]


def crossing(twins: Iterable[tuple[str, str]], parts: Parts) -> list[tuple[str, str]]:
    return [(a, b) for a, b in twins if a in parts and b in parts and len(parts[a] | parts[b]) > 1]


def parts_of(images: pd.Series, names: Iterable[str]) -> Parts:
    found: Parts = {}
    for image, name in zip(images, names, strict=True):
        found.setdefault(str(image), set()).add(name)
    return found


def parts_of_rows(images: pd.Series, train: np.ndarray, val: np.ndarray, test: np.ndarray) -> Parts:
    rows = np.concatenate([train, val, test])
    return parts_of(images.iloc[rows], np.repeat(["train", "val", "test"], [len(train), len(val), len(test)]))


def test_twins_are_found_and_share_a_group(real: Real) -> None:
    table = real.merged.groups.set_index("image_id")
    assert set(table.index) == {name for each in real.tables.values() for name in each.index["image_id"]}
    assert table["copy_of"].notna().sum() == 21  # all in Chula
    assert len(real.twins) > 40
    apart = [(a, b) for a, b in real.twins if table.loc[a, "group_id"] != table.loc[b, "group_id"]]
    assert apart == []
    for name, kept in table["copy_of"].dropna().items():
        assert (table.loc[name, "group_id"], table.loc[name, "part"]) == tuple(table.loc[kept, ["group_id", "part"]])


def test_detection(real: Real) -> None:
    index = real.merged.index
    parts = parts_of(index["image_id"], index["split"])
    assert {name for each in parts.values() for name in each} == {"train", "val", "test"}
    assert crossing(real.twins, parts) == []


def test_single_cell_shapes(real: Real, shared_data: Path) -> None:
    chula, rejects = real.tables["chula"], RejectLog("chula")
    options = CellOptions(**{**load("laptop")["morphology"]["cells"]["chula"], "per_class": 400})
    index = real.index("chula")
    here = chula.annotations[chula.annotations["image_id"].isin(index["image_id"])]
    cells = point_cells(shared_data / "chula", index, here, real.groups, options, 80, rejects, 0)
    table = pd.DataFrame([cell.facts for cell in cells])
    table["class"] = table["label"]
    variant = Classifier(**{**load("laptop")["morphology"]["classifiers"]["chula_by_group"], "runs": None})
    made = runs(table, variant)
    assert len(made) > 1
    for run in made:
        assert crossing(real.twins, parts_of_rows(table["image_id"], run.train, run.val, run.test)) == []


@pytest.mark.parametrize("source", NAMES)
def test_overlap(real: Real, source: str) -> None:
    each = real.tables[source]
    found = annotated(each.index, each.annotations, real.groups, 100)
    table = with_parts(pd.DataFrame([image.facts for image in found]), frozenset(), CropOptions(source="x", cell_px=50))
    parts = parts_of(table["image_id"], table["part"])
    assert crossing(real.twins, parts) == []
    # What detectors are judged on, nothing here is trained on.
    index = real.merged.index.set_index("image_id")["split"]
    assert {name for image, mine in parts.items() if index.get(image, "train") != "train" for name in mine} == {"test"}


def test_kinds_of_cells(real: Real, shared_data: Path) -> None:
    bccd, index = real.tables["bccd"], real.index("bccd")
    entry = {**load("laptop")["sam_counting"]["cutouts"]["cutouts_bccd"], "red_cells": 400}
    options = CutoutOptions(**entry)
    cells = segmented_cutouts(
        shared_data / "bccd", index, bccd.annotations, real.groups, options, Watershed(options), RejectLog("bccd")
    )
    table = pd.DataFrame([cell.facts for cell in cells])
    classifier = KindClassifier(name="k", cutouts=("c",), kinds=("rbc", "wbc", "platelet"))
    for chosen in (classifier, classifier.model_copy(update={"folds": 4})):
        for split in splits(table, chosen):
            assert crossing(real.twins, parts_of_rows(table["image_id"], split.train, split.val, split.test)) == []


def test_field_segmentation(shared_data: Path) -> None:
    groups = tile_groups(shared_data / "ojaghi")
    tiles = [name for name in groups for _ in range(4)]
    table = pd.DataFrame(
        {
            "image_id": [f"ojaghi/{name}" for name in tiles],
            "tile_group": [f"ojaghi/{groups[name]}" for name in tiles],
            "group_id": ["ojaghi/HS2" if name.startswith("HS2") else "ojaghi/HS1" for name in tiles],
            "label": "rbc",
            "shape": None,
            "slide": ["HS2" if name.startswith("HS2") else "HS1" for name in tiles],
            "scanner": None,
        }
    )
    run = segmentation_split(table, Segmenter(source="x", test_groups=("ojaghi/HS1",)))
    parts = parts_of_rows(table["image_id"], run.train, run.val, run.test)
    assert all(len(found) == 1 for found in parts.values())
    small = {name: cv2.imread(str(shared_data / f"ojaghi/grid_images/{name}.png"), 0) for name in groups}
    for a, b in combinations(groups, 2):
        edges = [(small[b][:, :8], small[a]), (small[b][:8], small[a])]
        shared = any(cv2.matchTemplate(whole, edge, cv2.TM_CCOEFF_NORMED).max() > 0.99 for edge, whole in edges)
        assert not shared or parts[f"ojaghi/{a}"] == parts[f"ojaghi/{b}"]
