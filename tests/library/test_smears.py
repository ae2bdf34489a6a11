"""Generated smears: exact truth, same bytes for the same seed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from blood_kedro.library.core.masks import decode_rle, encode_rle
from blood_kedro.library.smears.cells import CELLS, Scale, evans_fung_thickness_um
from blood_kedro.library.smears.field import SmearOptions, simulate_field
from blood_kedro.library.smears.write import write_smears
from blood_kedro.library.sources.ingest import ingest
from blood_kedro.library.sources.registry import SOURCES

OPTIONS = SmearOptions(
    slides=2, fields_per_slide=2, width_px=200, height_px=160,
    cells_per_field={"normal_rbc": 6, "teardrop": 2, "lymphocyte": 1, "platelet": 2},
)  # fmt: skip


def test_thickness_of_the_biconcave_disc() -> None:
    # Evans and Fung 1972: 0.81 um in the centre, at most about 2.5 um, 0 at the rim
    thickness = evans_fung_thickness_um(np.linspace(0, 1, 1001, dtype=np.float32))
    assert thickness[0] == pytest.approx(0.81)
    assert thickness[-1] == pytest.approx(0)
    assert thickness.max() == pytest.approx(2.52, abs=0.1)


def test_same_seed_same_field_in_any_order() -> None:
    late = simulate_field(OPTIONS, 5, 1, 1)
    simulate_field(OPTIONS, 5, 0, 0)
    again = simulate_field(OPTIONS, 5, 1, 1)
    assert (late.rgb == again.rgb).all()
    assert not (late.rgb == simulate_field(OPTIONS, 6, 1, 1).rgb).all()


def test_boxes_are_exactly_those_of_the_masks() -> None:
    for cell in simulate_field(OPTIONS, 5, 0, 0).cells:
        rows, cols = np.where(cell.mask)
        assert cell.box_xyxy_px == (cols.min(), rows.min(), cols.max() + 1, rows.max() + 1)


def test_cells_are_darker_than_background_and_overlaps_darker_still() -> None:
    crowded = OPTIONS.model_copy(update={"cells_per_field": {"normal_rbc": 40}, "overlap_share": 1.0})
    smear = simulate_field(crowded, 1, 0, 0)
    green = smear.rgb[..., 1].astype(float)
    layers = np.sum([cell.mask for cell in smear.cells], axis=0)
    assert (layers == 2).sum() > 100
    means = [green[layers == n].mean() for n in (0, 1, 2)]
    assert means[0] > means[1] + 20 > means[2] + 30


def test_normal_cell_has_pallor_and_spherocyte_has_none() -> None:
    def centre_to_peak(label: str) -> float:
        cell = CELLS[label](np.random.default_rng(0), Scale(8.0, 1.0))
        green = cell.absorbance[..., 1]
        middle = green[green.shape[0] // 2, green.shape[1] // 2]
        return float(middle / green.max())

    assert centre_to_peak("normal_rbc") < 0.5
    assert centre_to_peak("spherocyte") > 0.95


def test_written_smears_read_back_as_a_source(tmp_path: Path) -> None:
    assert write_smears(tmp_path / "s", OPTIONS, seed=3)
    tables = ingest(SOURCES["synthetic"], tmp_path / "s", strict=True)
    assert len(tables.index) == 4
    assert tables.index["group_id"].nunique() == 2
    assert len(tables.masks) == len(tables.annotations) > 20
    assert len(tables.rejects) == 0
    row = tables.masks.iloc[0]
    box = tables.annotations.iloc[0]
    rows, cols = np.where(decode_rle(row.rle_counts, row.height_px, row.width_px))
    assert (cols.min(), rows.max() + 1) == (box.x_min_px, box.y_max_px)
    before = {path: path.read_bytes() for path in (tmp_path / "s").rglob("*.png")}
    assert not write_smears(tmp_path / "s", OPTIONS, seed=3)  # already there
    (tmp_path / "s/annotations.json").unlink()  # as an interrupted call leaves it
    assert write_smears(tmp_path / "s", OPTIONS, seed=3)
    assert before == {path: path.read_bytes() for path in (tmp_path / "s").rglob("*.png")}
    assert json.loads((tmp_path / "s/annotations.json").read_text())["images"][0]["scanner"]


def test_run_length_round_trip() -> None:
    mask = np.random.default_rng(0).random((37, 23)) < 0.5
    assert (decode_rle(encode_rle(mask), 37, 23) == mask).all()
