"""Single-cell crops: readers on generated trees of the published shapes, storage, rejects."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from blood_kedro.assembly.crop_readers import crop_reader
from blood_kedro.library.cells import elsafty, ojaghi
from blood_kedro.library.cells.crop import crop_square
from blood_kedro.library.cells.gather import elsafty_cells, ojaghi_cells, point_cells
from blood_kedro.library.cells.options import CellOptions
from blood_kedro.library.core.crop_set import Crop, read_crops, write_crops
from blood_kedro.library.core.elmanna_2024 import EIGHT_SHAPES, NINE_SHAPES, NINE_TO_EIGHT
from blood_kedro.library.core.errors import BadInputError, ConfigurationError, DataContractError, SourceNotFoundError
from blood_kedro.library.core.groups import Groups
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.smears.cell_crops import simulated_cells


def disc(side: int, radius: float, centre: tuple[float, float] | None = None) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    cx, cy = centre or (side / 2 - 0.5, side / 2 - 0.5)
    return np.hypot(x - cx, y - cy) <= radius


def picture(mask: np.ndarray) -> np.ndarray:
    """A pink cell on a light ground, BGR as OpenCV writes it."""
    return np.where(mask[..., None], (150, 120, 200), (220, 225, 230)).astype(np.uint8)


def elsafty_tree(root: Path, images: str, masks: str, folders: dict[str, str]) -> None:
    """Two crops of each shape in parallel trees, and a set for segmentation."""
    for number, (folder, name) in enumerate(folders.items()):
        for slide, patch in ((1, 10), (24, 11)):
            stem = f"{slide:02d}_{patch}_{100 + number}_{200 + number}_80_80"
            for tree, content in ((images, picture(disc(80, 20))), (masks, 255 * disc(80, 20).astype(np.uint8))):
                (root / tree / folder).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(root / tree / folder / f"{stem}.png"), content)
        assert name in NINE_SHAPES


FOLDERS = {
    "01-Rounded RBCs": "rounded_rbc",
    "02-Ovalocytes": "ovalocyte",
    "03_borderline_ovalocytes": "borderline_ovalocyte",
    "Teardrops": "teardrop",
    "Burr cells": "burr_cell",
    "Fragmented-RBCs": "fragmented_rbc",
    "Angled cells": "angled_rbc",
    "2 overlapping cells": "two_overlapping_cells",
    "Three overlapping": "three_overlapping_cells",
}


@pytest.mark.parametrize(("images", "masks"), [("Images", "Masks"), ("01_Cropped images", "02-RBC mask")])
def test_published_tree_of_elmanna_2024(tmp_path: Path, images: str, masks: str) -> None:
    elsafty_tree(tmp_path / "raw", images, masks, FOLDERS)
    rejects = RejectLog("elsafty")
    cells = write_crops(
        tmp_path / "cells",
        elsafty_cells(tmp_path / "raw", CellOptions(workers=1, reader="elsafty"), 80, rejects, 0),
        80,
    )
    assert not rejects.rows
    table = cells.table.set_index("label_raw")
    assert len(cells) == 2 * len(FOLDERS)
    for folder, shape in FOLDERS.items():
        assert set(table.loc[folder, "shape"]) == {shape}
    assert dict(zip(cells.table["slide"], cells.table["scanner"], strict=True)) == {
        "slide_001": "scanner_1",
        "slide_024": "scanner_3",
    }
    assert table.loc["Teardrops", "label"].tolist() == ["teardrop"] * 2
    assert table.loc["Angled cells", "label"].tolist() == ["rbc"] * 2  # its shape is an artefact, not a class of cell
    assert cells.table["has_mask"].all()
    assert cells.table["x_px"].min() == 140  # x of the cell in its patch and half of its width
    assert cells.crops.shape == (18, 80, 80, 3)
    assert cells.masks[0].sum() == disc(80, 20).sum()
    assert cells.crops[0, 40, 40].tolist() == [200, 120, 150]
    assert {NINE_TO_EIGHT[s] for s in NINE_SHAPES} - {None} == set(EIGHT_SHAPES)


def test_every_bad_crop_of_elmanna_2024_is_a_reject_with_its_reason(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    elsafty_tree(raw, "Images", "Masks", {"Teardrops": "teardrop"})
    good = raw / "Images/Teardrops"
    for name, side in (("01_1_5_5_80_80.png", 79), ("01_2_5_5_80_80.png", 80)):
        cv2.imwrite(str(good / name), picture(disc(side, 20)))
    cv2.imwrite(str(raw / "Masks/Teardrops/01_2_5_5_80_80.png"), np.zeros((80, 80), np.uint8))
    cv2.imwrite(str(raw / "Masks/Teardrops/01_3_5_5_80_80.png"), 255 * disc(80, 9).astype(np.uint8))
    cv2.imwrite(str(good / "99_3_5_5_80_80.png"), picture(disc(80, 20)))
    cv2.imwrite(str(good / "noname.png"), picture(disc(80, 20)))
    (raw / "Images/Spiders").mkdir()
    cv2.imwrite(str(raw / "Images/Spiders/01_9_5_5_80_80.png"), picture(disc(80, 20)))
    (good / "01_4_5_5_80_80.png").write_bytes(b"no image")
    (good / ".DS_Store").write_bytes(b"litter")
    rejects = RejectLog("elsafty")
    cells = list(elsafty_cells(raw, CellOptions(workers=1, reader="elsafty"), 80, rejects, 0))
    assert len(cells) == 2
    reasons = " | ".join(str(row["reason"]) for row in rejects.rows)
    for words in (
        "crop of 79x79 px",
        "empty mask",
        "mask without image",
        "slide 99",
        "without slide, patch",
        "unknown folder 'Images/Spiders'",
    ):
        assert words in reasons
    assert len(rejects.rows) == 7
    with pytest.raises(BadInputError):
        list(elsafty_cells(raw, CellOptions(workers=1, reader="elsafty"), 80, RejectLog("elsafty", strict=True), 0))
    with pytest.raises(SourceNotFoundError, match="holds no crop"):
        elsafty.pairs(tmp_path / "empty", RejectLog("elsafty"))


def test_sets_for_segmentation_have_no_shape(tmp_path: Path) -> None:
    for tree, content in (("Images", picture(disc(80, 20))), ("Masks", 255 * disc(80, 20).astype(np.uint8))):
        folder = tmp_path / "Segmentation set" / "Slide 5" / tree
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / "5_7_1_2_80_80.png"), content)
    cell = next(iter(elsafty_cells(tmp_path, CellOptions(workers=1, reader="elsafty"), 80, RejectLog("elsafty"), 0)))
    assert cell.mask is not None
    assert (cell.facts["shape"], cell.facts["label"], cell.facts["slide"]) == (None, "rbc", "slide_005")


def test_per_class_draws_so_many_and_the_same_ones(tmp_path: Path) -> None:
    elsafty_tree(tmp_path, "Images", "Masks", FOLDERS)
    options = CellOptions(workers=1, reader="elsafty", per_class=1)
    once, again = (
        [c.facts["cell_id"] for c in elsafty_cells(tmp_path, options, 80, RejectLog("elsafty"), 3)] for _ in range(2)
    )
    assert once == again
    assert len(once) == len(FOLDERS)


def ojaghi_tree(root: Path) -> None:
    """One tile of each smear: a single cell, its twin, a cluster over two cells, a sliver, one cut by the border."""
    shapes = {
        0: disc(512, 18, (100, 100)),
        1: disc(512, 18, (100.5, 100)),
        2: disc(512, 18, (300, 300)),
        3: disc(512, 18, (340, 300)),
        4: disc(512, 18, (300, 300)) | disc(512, 18, (340, 300)),
        5: disc(512, 8, (400, 100)),
        6: disc(512, 18, (5, 200)),
        7: np.zeros((512, 512), bool),
    }
    (root / "grid_images").mkdir(parents=True)
    for tile in ("2_3", "HS2_5_6"):
        everything = np.logical_or.reduce(list(shapes.values()))
        cv2.imwrite(str(root / f"grid_images/{tile}.png"), picture(everything))
        (root / "Mask_sub_folders" / tile).mkdir(parents=True)
        for number, mask in shapes.items():
            cv2.imwrite(str(root / f"Mask_sub_folders/{tile}/{number}.png"), 255 * mask.astype(np.uint8))
    cv2.imwrite(str(root / "grid_images/9_9.png"), picture(shapes[0]))


def test_sam_masks_are_filtered_to_single_cells(tmp_path: Path) -> None:
    ojaghi_tree(tmp_path)
    rejects = RejectLog("ojaghi")
    options = CellOptions(workers=1, reader="ojaghi", crop_px=52)
    overlapping = {"2_3": "2_3", "HS2_5_6": "HS2_5_5"}
    cells = list(ojaghi_cells(tmp_path, overlapping, options, 80, rejects, 0))
    assert sorted(str(c.facts["cell_id"]) for c in cells) == [
        f"ojaghi/{tile}#{number}" for tile in ("2_3", "HS2_5_6") for number in (0, 2, 3)
    ]
    assert {(c.facts["image_id"], c.facts["slide"]) for c in cells} == {
        ("ojaghi/2_3", "HS1"),
        ("ojaghi/HS2_5_6", "HS2"),
    }
    assert {c.facts["tile_group"] for c in cells} == {"ojaghi/2_3", "ojaghi/HS2_5_5"}
    for cell in cells:
        assert cell.mask is not None
        assert cell.mask.sum() == pytest.approx(np.pi * (18 * 80 / 52) ** 2, rel=0.03)
    reasons = {f"{row['path']}": row["reason"] for row in rejects.rows}
    assert "the same cell" in reasons["Mask_sub_folders/2_3/1.png"]
    assert "cluster" in reasons["Mask_sub_folders/2_3/4.png"]
    assert "sliver" in reasons["Mask_sub_folders/2_3/5.png"]
    assert "border" in reasons["Mask_sub_folders/2_3/6.png"]
    assert "empty" in reasons["Mask_sub_folders/2_3/7.png"]
    assert "without masks" in reasons["grid_images/9_9.png"]
    with pytest.raises(ConfigurationError, match="crop_px"):
        list(ojaghi_cells(tmp_path, overlapping, CellOptions(workers=1, reader="ojaghi"), 80, rejects, 0))
    with pytest.raises(SourceNotFoundError, match="no tile"):
        ojaghi.tiles(tmp_path / "grid_images")


def test_as_many_cells_of_each_tile_as_asked_for(tmp_path: Path) -> None:
    ojaghi_tree(tmp_path)
    options = CellOptions(workers=1, reader="ojaghi", crop_px=52, per_class=6)
    tiles = dict.fromkeys(("2_3", "HS2_5_6"), "2_3")
    made = [list(ojaghi_cells(tmp_path, tiles, options, 80, RejectLog("ojaghi"), seed)) for seed in (0, 0, 1, 2)]
    of_tiles = [[str(c.facts["image_id"]) for c in cells] for cells in made]
    assert of_tiles == [["ojaghi/2_3"] * 2 + ["ojaghi/HS2_5_6"] * 2] * 4
    names = [[c.facts["cell_id"] for c in cells] for cells in made]
    assert names[0] == names[1]
    assert not names[0] == names[2] == names[3]
    with pytest.raises(ConfigurationError, match="per_class: Input should be None"):
        crop_reader(CellOptions(reader="fields", per_class=6))


def test_cells_at_points_are_centred_and_cut_ones_rejected(tmp_path: Path) -> None:
    """Three round cells, labelled a few pixels off; one is cut by the border."""
    centres = [(60, 60), (150, 90), (3, 120)]
    mask = np.zeros((180, 220), bool)
    for x, y in centres:
        yy, xx = np.mgrid[:180, :220]
        mask |= np.hypot(xx - x, yy - y) <= 19
    (tmp_path / "Dataset").mkdir()
    cv2.imwrite(str(tmp_path / "Dataset/1.png"), picture(mask))
    index = pd.DataFrame({"image_id": ["chula/1"], "path": ["Dataset/1.png"], "source": ["chula"]})
    annotations = pd.DataFrame(
        [
            {
                "annotation_id": f"chula/1#{k}",
                "image_id": "chula/1",
                "label_raw": "7",
                "label": "teardrop",
                "x_min_px": x + 4.0,
                "x_max_px": x + 4.0,
                "y_min_px": y - 3.0,
                "y_max_px": y - 3.0,
                "ignore": False,
            }
            for k, (x, y) in enumerate(centres, start=1)
        ]
    )
    rejects = RejectLog("chula")
    options = CellOptions(workers=1, reader="points", crop_px=80, cell_px=38)
    groups = Groups({"chula/1": "twins"}, {"twins": "val"})
    cells = list(point_cells(tmp_path, index, annotations, groups, options, 80, rejects, 0))
    assert [c.facts["cell_id"] for c in cells] == ["chula/1#1", "chula/1#2"]
    for cell, (x, y) in zip(cells, centres, strict=False):
        assert (cell.facts["x_px"], cell.facts["y_px"]) == (pytest.approx(x, abs=1), pytest.approx(y, abs=1))
        assert cell.mask is not None
        assert (cell.mask & disc(80, 20)).sum() / disc(80, 19).sum() > 0.9
        assert (cell.facts["group_id"], cell.facts["part"], cell.facts["shape"]) == ("twins", "val", "teardrop")
    assert [(row["row"], row["reason"]) for row in rejects.rows] == [(3, "the border of the image cuts the cell")]
    with pytest.raises(DataContractError, match="not in the table of groups"):
        list(point_cells(tmp_path, index, annotations, Groups({}, {}), options, 80, rejects, 0))


def test_crop_beyond_the_image_repeats_its_border() -> None:
    rgb = np.arange(20 * 20 * 3, dtype=np.uint8).reshape(20, 20, 3)
    crop, mask = crop_square(rgb, np.ones((20, 20), bool), (2, 10), 10, 10)
    assert mask is not None
    assert (crop[:, 0] == rgb[5:15, 0]).all()
    assert (crop[:, 3:] == rgb[5:15, :7]).all()
    assert mask[:, 3:].all()
    assert not mask[:, :3].any()


def test_simulated_cells_do_not_depend_on_workers_and_show_every_scanner() -> None:
    one, two = (list(simulated_cells(4, 25, "nine", 80, 5, workers)) for workers in (1, 2))
    assert [c.facts for c in one] == [c.facts for c in two]
    assert all((a.rgb == b.rgb).all() for a, b in zip(one, two, strict=True))
    assert {c.facts["shape"] for c in one} == set(NINE_SHAPES)
    more = list(simulated_cells(25, 25, "eight", 80, 5, 1))
    assert {c.facts["shape"] for c in more} == set(EIGHT_SHAPES)
    assert len({c.facts["scanner"] for c in more}) == 4
    by_slide = {c.facts["slide"]: [] for c in more}
    for cell in more:
        by_slide[cell.facts["slide"]].append(cell.rgb[0, 0].astype(int))
    # one slide has one light: its corners differ less than those of different slides do
    within = np.mean([np.std(corners, axis=0).mean() for corners in by_slide.values()])
    between = np.std([np.mean(corners, axis=0) for corners in by_slide.values()], axis=0).mean()
    assert within < between


def cell(number: int, side: int = 8) -> Crop:
    facts = {
        "cell_id": f"x/{number}",
        "source": "x",
        "image_id": "x/1",
        "group_id": "x",
        "slide": None,
        "scanner": None,
        "label_raw": "a",
        "label": None,
        "shape": None,
        "x_px": None,
        "y_px": None,
        "mask_origin": None,
    }
    return Crop(np.full((side, side, 3), number, np.uint8), None, facts)


def test_folder_of_cells_is_whole_or_not_there(tmp_path: Path) -> None:
    cells = write_crops(tmp_path / "c", (cell(n) for n in range(3)), 8)
    assert isinstance(cells.crops, np.memmap)
    assert cells.crops[2, 0, 0].tolist() == [2, 2, 2]
    assert not cells.table["has_mask"].any()

    def breaks() -> object:
        yield cell(0)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write_crops(tmp_path / "c", breaks(), 8)  # type: ignore[arg-type]
    assert len(read_crops(tmp_path / "c")) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["c"]
    with pytest.raises(DataContractError, match="another size"):
        write_crops(tmp_path / "d", [cell(0, side=9)], 8)
    assert len(write_crops(tmp_path / "none", [], 8)) == 0
    with (tmp_path / "c/crops.bin").open("ab") as file:
        file.write(bytes(8 * 8 * 3))
    with pytest.raises(DataContractError, match="disagree"):
        read_crops(tmp_path / "c")
    (tmp_path / "c/masks.bin").unlink()
    with pytest.raises(DataContractError, match=r"no masks\.bin"):
        read_crops(tmp_path / "c")
