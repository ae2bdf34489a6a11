"""The real smears beside the checkout: facts that must hold, fitted boxes against eyes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import published_counting
import pytest

from blood_kedro.library.core.boxes import BOX_COLUMNS, iou
from blood_kedro.library.core.groups import Groups
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.chain import CountParts, count_pictures
from blood_kedro.library.counting.count.rules import KDE_PEAKS
from blood_kedro.library.counting.open.smear import open_smears
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.counting.pieces import Piece
from blood_kedro.library.counting.score.agreement import agree
from blood_kedro.library.counting.segment.filters import filter_pieces
from blood_kedro.library.counting.segment.options import FilterOptions, WatershedOptions
from blood_kedro.library.counting.segment.precomputed import Precomputed, read_masks
from blood_kedro.library.counting.segment.watershed import watershed_pieces
from blood_kedro.library.imaging.read import read_rgb
from blood_kedro.library.imaging.segmentation import flat_field_green
from blood_kedro.library.merging.thumbnails import make_thumbnails
from blood_kedro.library.merging.turned import turned_copies
from blood_kedro.library.overlap.by_eye import true_cells
from blood_kedro.library.overlap.gather import annotated, cut_red_cells
from blood_kedro.library.overlap.label_model import weak_labels
from blood_kedro.library.overlap.options import CropOptions, RuleOptions
from blood_kedro.library.overlap.rules import area_threshold, votes
from blood_kedro.library.sources.ingest import SourceTables, ingest
from blood_kedro.library.sources.options import SourceOptions
from blood_kedro.library.sources.registry import SOURCES, adapter
from blood_kedro.library.standardization.options import StandardizationOptions
from blood_kedro.library.standardization.standardize import standardize_source
from tests.conf.test_configuration import load
from tests.conftest import copy_project
from tests.pipelines.runs import kedro_run, summary_of

pytestmark = pytest.mark.slow
BY_EYE = Path(__file__).parents[1] / "reference" / "boxes_by_eye.csv"


@pytest.fixture(scope="module")
def tables(shared_data: Path) -> dict[str, SourceTables]:
    return {name: ingest(SOURCES[name], shared_data / name, strict=False) for name in ("bccd", "chula", "pbc")}


def test_bccd_facts(tables: dict[str, SourceTables]) -> None:
    bccd = tables["bccd"]
    assert len(bccd.index) == 364
    assert bccd.index["official_split"].value_counts().to_dict() == {"train": 205, "val": 87, "test": 72}
    zero = bccd.rejects["reason"].str.contains("zero-area").sum()
    twice = bccd.rejects["reason"].str.contains("near-identical").sum()
    assert (zero, twice) == (2, 7)
    assert len(bccd.annotations) + zero + twice == 4888
    assert bccd.annotations["label"].value_counts().to_dict() == {"rbc": 4155 - 9, "wbc": 372, "platelet": 361}
    assert bccd.annotations[BOX_COLUMNS].min().min() == 0
    assert bccd.annotations["x_max_px"].max() == 640


def test_white_cells_of_bccd_by_their_list_of_types(shared_data: Path) -> None:
    """Every box that has an area, as published, and 353 of 372 white cells with a type."""
    options = SourceOptions(name="bccd", adapter="bccd", wbc_types="wbc_types.csv")
    bccd = ingest(adapter(options), shared_data / "bccd", strict=False, merge_twins=False)
    assert len(bccd.annotations) == 4888 - 2
    labels = bccd.annotations["label"].value_counts().to_dict()
    assert labels == {
        "rbc": 4153,
        "platelet": 361,
        "neutrophil": 210,
        "eosinophil": 86,
        "lymphocyte": 35,
        "monocyte": 20,
        "wbc": 19,
        "basophil": 2,
    }
    assert bccd.rejects["reason"].str.contains("white cells stay of no type").sum() == 17


def test_chula_facts(tables: dict[str, SourceTables]) -> None:
    chula = tables["chula"]
    assert (len(chula.index), len(chula.annotations)) == (621, 22106)
    counts = chula.annotations["label"].value_counts()
    assert (counts["teardrop"], counts["burr_cell"], counts["uncategorized"], len(counts)) == (307, 785, 184, 13)
    assert chula.rejects["reason"].str.contains("content is PNG").sum() == 32
    assert (chula.rejects["action"] == "dropped").sum() == 9  # 7 without a label file, 2 with an empty one


def test_pbc_facts(tables: dict[str, SourceTables]) -> None:
    pbc = tables["pbc"]
    assert len(pbc.index) == 1607
    assert pbc.rejects["path"].tolist() == ["PBC_dataset_normal_DIB/neutrophil/.DS_169665.jpg"]
    assert "not an image" in pbc.rejects["reason"].iloc[0]


def test_fitted_boxes_agree_with_boxes_drawn_by_eye(
    tables: dict[str, SourceTables], shared_data: Path, tmp_path: Path
) -> None:
    """60 cells drawn by eye before any fit was seen: 40 PBC (5 of each folder), 20 Chula. docs/decisions/0003."""
    eye = pd.read_csv(BY_EYE)
    options = StandardizationOptions(**load("base")["standardization"])
    scores: dict[str, list[float]] = {}
    for source, drawn in eye.groupby("source"):
        index = tables[source].index
        index = index[index["path"].isin(drawn["path"])]
        annotations = tables[source].annotations
        annotations = annotations[annotations["image_id"].isin(index["image_id"])]
        done = standardize_source(
            index, annotations, shared_data / source, tmp_path / source, options, seed=0, strict=True
        )
        fitted = done.annotations.set_index("annotation_id")
        where = {facts["path"]: facts for facts in done.metadata.values()}
        for row in drawn.itertuples():
            facts = where[row.path]
            number = 1 if np.isnan(row.row) else int(row.row)
            box = fitted.loc[f"{facts['image_id']}#{number}"]
            pad_x, pad_y = facts["padding_px"]
            x, y = (box["x"] - pad_x) / facts["scale"], (box["y"] - pad_y) / facts["scale"]
            got = np.array([[x, y, x + box["w"] / facts["scale"], y + box["h"] / facts["scale"]]], np.float64)
            want = np.array([[row.x_min_px, row.y_min_px, row.x_max_px, row.y_max_px]], np.float64)
            scores.setdefault(source, []).append(float(iou(got, want)[0, 0]))
    means = {source: np.mean(values) for source, values in scores.items()}
    assert means["pbc"] >= 0.88, means
    assert means["chula"] >= 0.80, means
    assert np.mean(sum(scores.values(), [])) >= 0.88, means


def test_bccd_shows_45_fields_twice_and_its_own_split_leaks(shared_data: Path, tmp_path: Path) -> None:
    """Ingestion to merging of a real source by the pipelines (docs/facts/data.md#bccd-fields-shown-twice)."""
    folder = copy_project(tmp_path / "project")
    only = "sources.chula.enabled=false,sources.pbc.enabled=false,standardization.boxes=paper"
    kedro_run(
        folder,
        "--env=laptop",
        "--pipelines=ingestion,standardization,merging,reporting",
        "--params",
        only,
        raw=shared_data,
    )
    unified = summary_of(folder, "data/laptop")["unified"]
    assert sum(unified["duplicate_pairs"].values()) >= 45
    assert unified["split_leaks"]["official"]["pairs_crossing_splits"] >= 31
    assert unified["groups_crossing_splits"] == 0


def test_turned_and_recoloured_copies_of_bccd_are_told_from_other_images(shared_data: Path, tmp_path: Path) -> None:
    """As re-published sets have them (decision 2): every copy is found, and no two other images come near."""
    rng = np.random.default_rng(0)
    paths = sorted((shared_data / "bccd/BCCD/JPEGImages").glob("*.jpg"))
    copies, sizes = [], [(640, 480)] * len(paths)
    for number, path in enumerate(paths[::6]):
        turn = int(rng.integers(1, 8))
        rgb = np.rot90(cv2.resize(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB), (416, 416)), turn % 4)
        hsv = cv2.cvtColor(np.ascontiguousarray(rgb[:, ::-1] if turn >= 4 else rgb), cv2.COLOR_RGB2HSV).astype(int)
        hsv[..., 0] = (hsv[..., 0] + rng.integers(-15, 16)) % 180
        hsv[..., 2] = np.clip(hsv[..., 2] * rng.uniform(0.75, 1.25), 0, 255)
        copy = cv2.GaussianBlur(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR), (0, 0), 1)
        copies.append(tmp_path / f"{number}.png")
        cv2.imwrite(str(copies[-1]), copy)
    thumbnails = make_thumbnails([*paths, *copies], [*sizes, *[(416, 416)] * len(copies)])
    found = {(i, j): similarity for i, j, similarity in turned_copies(thumbnails, 0.6)}
    own = [found[6 * number, len(paths) + number] for number in range(len(copies))]
    assert min(own) > 0.9
    originals = sorted(similarity for (_, j), similarity in found.items() if j < len(paths))
    assert len(originals) == 1  # two photographs of one field; all others stay below 0.6
    assert originals[0] > 0.9


def test_rules_agree_with_labelled_points_and_with_eyes(tables: dict[str, SourceTables], shared_data: Path) -> None:
    """The label model on 60 nearly complete fields of Chula, and on the judged boxes of BCCD."""
    chula = tables["chula"]
    options = CropOptions(source="chula", cell_px=38, truth="points", max_unlabelled_share=0.15)
    accuracy, judged = _accuracy_of_rules(chula, chula.index.iloc[::4], shared_data / "chula", options)
    assert judged > 1000
    assert accuracy > 0.95  # 0.973 on all 119 such fields
    bccd = tables["bccd"]
    options = CropOptions(source="bccd", cell_px=105, truth="by_eye")
    accuracy, judged = _accuracy_of_rules(bccd, bccd.index.iloc[::2], shared_data / "bccd", options)
    assert judged > 90
    assert accuracy > 0.75  # 0.846 on all 240


def _accuracy_of_rules(
    tables: SourceTables, index: pd.DataFrame, folder: Path, options: CropOptions
) -> tuple[float, int]:
    rows: list[dict[str, object]] = []
    alone = {str(name): str(name) for name in index["image_id"]}
    found = annotated(index, tables.annotations, Groups(alone, dict.fromkeys(alone, "train")), options.cell_px)
    for _ in cut_red_cells(folder, found, options, RejectLog(options.source), rows):
        pass
    table = pd.DataFrame(rows)
    if options.truth == "by_eye":
        table["true_cells"] = true_cells(table)
    rules = RuleOptions()
    labels, _ = weak_labels(table, votes(table, rules, area_threshold(table, rules)), rules.combined)
    known = table["true_cells"].notna() & labels["overlapping"].notna()
    right = (labels["overlapping"] > 0.5) == (table["true_cells"] > 1)
    return float(right[known].mean()), int(known.sum())


def test_watershed_agrees_with_sam_masks(shared_data: Path) -> None:
    """Six tiles of the smear that the options were not chosen on."""
    matched, total = {0.5: 0, 0.75: 0}, 0
    for image in sorted((shared_data / "ojaghi/grid_images").glob("[0-9]*.png"))[::4]:
        rgb = read_rgb(image)
        stored = read_masks(shared_data / "ojaghi/Mask_sub_folders" / image.stem, 512, 512, RejectLog(image.stem))
        absorbance = -np.log(np.clip(flat_field_green(rgb), 0.05, 2))
        reference, _ = filter_pieces(stored, FilterOptions(), 512, 512, absorbance)
        found, _ = filter_pieces(watershed_pieces(rgb, WatershedOptions()), FilterOptions(), 512, 512)
        total += len(found) + len(reference)
        for iou_, count in matched.items():
            matched[iou_] = count + agree(found, reference, iou_).matched
    assert total > 1000
    assert 2 * matched[0.5] / total > 0.91  # 0.938 on all 24
    assert 2 * matched[0.75] / total > 0.83  # 0.864


def test_the_published_rule_counts_what_the_authors_steps_count(shared_data: Path, tmp_path: Path) -> None:
    """Four tiles of HS2 from the authors' own masks: the same regions and the same count as their steps, one by one."""
    ojaghi = shared_data / "ojaghi"
    tiles = {f"HS2_{5 + column}_{5 + row}": (column, row) for column in range(2) for row in range(2)}
    (tmp_path / "tiles").mkdir()
    for name in tiles:
        (tmp_path / "tiles" / f"{name}.png").symlink_to(ojaghi / "grid_images" / f"{name}.png")
    masks = ojaghi / "Mask_sub_folders"
    options = SmearInput(
        path=str(tmp_path / "tiles"),
        segmenter="precomputed",
        masks=str(masks),
        overlap_px=0,
        workers=2,
        filter_rule="published",
        count_rule="kde_peaks",
        write_masks=False,
    )
    rejects = RejectLog("t")
    smears = open_smears([tmp_path / "tiles"], 512, 0, tmp_path, rejects)
    parts = CountParts(Precomputed(masks), AllRed(), {"kde_peaks": KDE_PEAKS})
    run = count_pictures(smears, options, parts, tmp_path / "work", rejects)
    cells, regions = published_counting.count_tiles(masks, tiles)
    assert run.cells["clump"].nunique() == regions
    assert run.counts.loc[0, "rbc"] == cells


class AllRed:
    """Takes every mask for a red cell, as a count by areas alone does."""

    look = None

    def name(self, pieces: Sequence[Sequence[Piece]], _seen: object) -> list[np.ndarray]:
        """The same for every smear."""
        return [np.tile([1.0, 0.0, 0.0], (len(tile), 1)) for tile in pieces]
