"""Copy-paste of cells: light, size and stain as they should come out; only clean cells; the same again for a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from blood_kedro.datasets.cell_patches import CellPatchesDataset
from blood_kedro.library.core.cell_patch import CellPatch
from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.detection.copy_paste import Paster
from blood_kedro.library.detection.data import DetectionData
from blood_kedro.library.detection.options import CopyPaste
from blood_kedro.library.detection.patches import real_patches
from blood_kedro.library.imaging.cut_out import cut_out
from blood_kedro.library.imaging.paste import field_colour, paste, usual_cell_px
from blood_kedro.library.smears.patches import simulated_patches

LIGHT = np.array([200.0, 210.0, 190.0])
STAIN = np.array([0.15, 0.40, 0.30])


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def field(discs: list[tuple[int, int, int]], height: int = 120, width: int = 160, stain: np.ndarray = STAIN) -> Any:
    """Flat light and discs (x, y, radius) of one stain."""
    amount = np.zeros((height, width))
    yy, xx = np.mgrid[:height, :width]
    for x, y, radius in discs:
        amount += np.hypot(xx - x, yy - y) <= radius
    return np.rint(LIGHT * np.exp(-amount[..., None] * stain)).astype(np.uint8)


def cutout(
    value: float = 0.4, side: int = 21, label: str = "teardrop", red_od: tuple[float, ...] = (0.15, 0.4, 0.3)
) -> CellPatch:
    mask = np.zeros((side, side), np.bool_)
    mask[2:-2, 2:-2] = True
    absorbance = (mask[..., None] * np.full(3, value)).astype(np.float32)
    return CellPatch(label, absorbance, mask, 20.0, red_od, "simulated")  # type: ignore[arg-type]


BUSY = [(20, 20, 10), (20, 100, 10), (140, 100, 10), (140, 20, 10)]
BOXES = np.array([(x - r, y - r, x + r + 1, y + r + 1) for x, y, r in BUSY], np.float64)


def test_colour_of_a_known_field() -> None:
    rgb = field(BUSY)
    canvas = np.zeros((200, 200, 3), np.uint8)
    canvas[40:160, 20:180] = rgb
    colour = field_colour(canvas)
    assert colour is not None
    assert colour.light == pytest.approx(LIGHT, abs=1)
    assert colour.red_od == pytest.approx(STAIN, abs=0.01)
    assert colour.content == (20, 40, 180, 160)  # not the black border
    assert field_colour(np.zeros((50, 50, 3), np.uint8)) is None
    assert field_colour(field([])) is None  # nothing absorbs


def test_pasting_multiplies_light_and_doubles_absorbance_where_cells_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blood_kedro.library.imaging.paste._place", lambda *_: (10, 10, np.array([12.0, 12, 29, 29])))
    source = np.random.default_rng(3)
    rgb = field(BUSY)
    cell = cutout()
    image, boxes, pasted = paste(rgb, BOXES, 20.0, [cell], source)
    assert len(boxes) == len(pasted) == 1
    ratio = image / rgb.astype(float)
    changed = (image != rgb).any(axis=2)
    assert ratio[changed].min() == pytest.approx(np.exp(-0.4), abs=0.02)  # on the cell that was there as beside it
    assert image[20, 20, 1] == pytest.approx(210 * np.exp(-0.8), abs=2)
    assert (image[60:] == rgb[60:]).all()


def test_stain_and_size_are_fitted_to_the_field() -> None:
    rgb = field(BUSY)
    strong = cutout(value=0.8, red_od=(0.3, 0.8, 0.6))  # from a slide stained twice as strongly
    image, boxes, _ = paste(rgb, BOXES, 40.0, [strong], rng())  # and of half the scale
    x_min, y_min, x_max, y_max = (int(v) for v in boxes[0])
    middle = image[(y_min + y_max) // 2, (x_min + x_max) // 2]
    assert middle == pytest.approx(LIGHT * np.exp(-0.4), abs=4)
    assert x_max - x_min == pytest.approx(2 * 17, rel=0.12)
    white = cutout(value=0.8, label="lymphocyte", red_od=(0.3, 0.8, 0.6))
    image, boxes, _ = paste(rgb, BOXES, 20.0, [white], rng())
    x_min, y_min, x_max, y_max = (int(v) for v in boxes[0])
    assert image[(y_min + y_max) // 2, (x_min + x_max) // 2] == pytest.approx(LIGHT * np.exp(-0.8), abs=4)


def test_no_cell_is_pasted_over_another_or_beyond_the_field() -> None:
    canvas = np.zeros((160, 200, 3), np.uint8)
    canvas[20:140, 20:180] = field(BUSY)
    boxes = BOXES + 20
    for seed in range(20):
        image, new, pasted = paste(canvas, boxes, 20.0, [cutout()] * 8, np.random.default_rng(seed), max_cover=0.1)
        assert len(new) == len(pasted) > 0
        assert (new[:, :2] >= 20).all() and (new[:, 2] <= 180).all() and (new[:, 3] <= 140).all()
        assert (image[:20] == 0).all()
        everything = np.concatenate([boxes, new])
        for k, box in enumerate(everything):
            for other in everything[k + 1 :]:
                low, high = np.maximum(box[:2], other[:2]), np.minimum(box[2:], other[2:])
                shared = float(np.prod(np.clip(high - low, 0, None)))
                assert shared <= 0.1 * min(np.prod(box[2:] - box[:2]), np.prod(other[2:] - other[:2])) + 1e-6
    full, none, _ = paste(field(BUSY), np.array([[0.0, 0, 160, 120]]), 20.0, [cutout()], rng(), max_cover=0.1)
    assert len(none) == 0 and (full == field(BUSY)).all()  # no room: left out


def test_a_cell_cut_out_and_put_back_looks_the_same() -> None:
    rgb = field([(80, 60, 12), *BUSY])
    colour = field_colour(rgb)
    assert colour is not None
    cell = cut_out(rgb, (68, 48, 93, 73), "normal_rbc", 20.0, colour, "here")
    assert cell is not None
    disc = np.hypot(*(np.mgrid[: cell.mask.shape[0], : cell.mask.shape[1]] - len(cell.mask) // 2)) <= 12
    assert abs(int(cell.mask.sum()) - int(disc.sum())) < 0.06 * disc.sum()
    assert cell.absorbance[cell.mask].mean(axis=0) == pytest.approx(STAIN, rel=0.06)
    assert cell.absorbance[0].max() < 0.02


@pytest.mark.parametrize(
    ("discs", "box"),
    [
        ([(80, 60, 12), (96, 60, 12)], (68, 48, 93, 73)),  # joined to a neighbour
        ([(3, 60, 12)], (0, 48, 16, 73)),  # cut by the border
        ([], (68, 48, 93, 73)),  # nothing there
    ],
)
def test_cells_without_an_outline_of_their_own_are_not_cut_out(
    discs: list[tuple[int, int, int]], box: tuple[int, int, int, int]
) -> None:
    rgb = field([*discs, *BUSY])
    colour = field_colour(rgb)
    assert colour is not None
    assert cut_out(rgb, box, "normal_rbc", 20.0, colour, "here") is None


def test_usual_size_counts_red_cells_only() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 20, 20], [0, 0, 90, 90]], np.float64)
    assert usual_cell_px(boxes, ["rbc", "teardrop", "lymphocyte"]) == 15
    assert usual_cell_px(boxes, ["wbc", "platelet", "no class"]) is None


def test_simulated_cutouts_hold_cells_of_their_class() -> None:
    cells = simulated_patches(["teardrop", "lymphocyte"], 3, 6.0, seed=1)
    assert [c.label for c in cells] == ["teardrop"] * 3 + ["lymphocyte"] * 3
    again = simulated_patches(["teardrop", "lymphocyte"], 3, 6.0, seed=1)
    assert all((a.absorbance == b.absorbance).all() for a, b in zip(cells, again, strict=True))
    for cell in cells:
        assert cell.mask.any() and cell.absorbance[cell.mask].mean() > 0.1
        assert 30 < cell.cell_px < 60 and 0.2 < cell.red_od[1] < 1.2


# --- in training


def coco(folder: Path) -> dict[str, Any]:
    cv2.imwrite(str(folder / "a.png"), field([*BUSY, (80, 60, 12)])[..., ::-1])
    cv2.imwrite(str(folder / "b.png"), field(BUSY)[..., ::-1])
    boxes = [[x - r, y - r, 2 * r + 1, 2 * r + 1] for x, y, r in BUSY]
    rows = [{"image_id": image, "category_id": 1, "bbox": box, "iscrowd": 0} for image in (1, 2) for box in boxes]
    rows.append({"image_id": 1, "category_id": 2, "bbox": [68, 48, 25, 25], "iscrowd": 0})
    return {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "annotations": [{**row, "id": k} for k, row in enumerate(rows, start=1)],
        "categories": [{"id": 1, "name": "normal_rbc"}, {"id": 2, "name": "teardrop"}],
    }


def test_rare_cells_of_the_training_images_go_into_others(tmp_path: Path) -> None:
    content = coco(tmp_path)
    options = CopyPaste(classes=("teardrop",), source="real", per_image=3.0)
    cells = real_patches(content, tmp_path, options, seed=0)
    assert [(c.label, c.origin) for c in cells] == [("teardrop", "a.png")]
    assert cells[0].cell_px == 21
    data = DetectionData(content, tmp_path, "none", 0, Paster(content, cells, options, 0))
    plain, plain_target = data[1]
    assert plain_target["labels"].tolist() == [1] * 4  # asked for without an epoch: as it is
    counts = []
    for epoch in range(12):
        image, target = data[(epoch, 1)]
        again, _ = data[(epoch, 1)]
        assert (image == again).all()
        pasted = target["labels"].tolist()[4:]
        assert set(pasted) <= {2} and len(target["boxes"]) == 4 + len(pasted)
        for x_min, y_min, x_max, y_max in target["boxes"][4:].int().tolist():
            assert image[1, y_min:y_max, x_min:x_max].mean() < plain[1, y_min:y_max, x_min:x_max].mean() - 0.05
        counts.append(len(pasted))
    assert len(set(counts)) > 1 and max(counts) >= 2


def test_a_class_that_cannot_be_pasted_is_an_error(tmp_path: Path) -> None:
    content = coco(tmp_path)
    with pytest.raises(ConfigurationError, match="cannot be pasted") as caught:
        Paster(content, [cutout()], CopyPaste(classes=("teardrop", "burr_cell")), 0)
    assert "burr_cell" in str(caught.value) and "simulated" in caught.value.remedy


def test_an_image_without_scale_stays_as_it_is(tmp_path: Path) -> None:
    content = coco(tmp_path)
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] == 1]
    paster = Paster(content, [cutout()], CopyPaste(classes=("teardrop",)), 0)
    pixels = field(BUSY)
    assert paster(pixels, 2, 0)[0] is pixels


def test_cutouts_are_kept_whole(tmp_path: Path) -> None:
    dataset = CellPatchesDataset(filepath=str(tmp_path / "cells.npz"))
    cells = simulated_patches(["burr_cell"], 2, 6.0, seed=1)
    dataset.save(cells)
    back = dataset.load()
    assert back is not None and len(back) == 2
    for a, b in zip(cells, back, strict=True):
        assert (a.mask == b.mask).all()
        assert (a.label, a.cell_px, a.red_od, a.origin) == (b.label, b.cell_px, b.red_od, b.origin)
        assert np.abs(a.absorbance - b.absorbance).max() < 2e-3
    dataset.save([])
    assert dataset.load() == []
