"""Segmenters of counting: watershed on drawn cells, stored masks, SAM against the library's own pipeline."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from blood_kedro.library.core.crop_set import write_crops
from blood_kedro.library.core.errors import SourceNotFoundError, WeightsNotFoundError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.options import SegmentationOptions
from blood_kedro.library.counting.pieces import Piece, overlaps, piece
from blood_kedro.library.counting.score.agreement import agree
from blood_kedro.library.counting.segment.fields import FieldUnet, field_windows, insides, tile_groups
from blood_kedro.library.counting.segment.options import WatershedOptions
from blood_kedro.library.counting.segment.precomputed import read_masks
from blood_kedro.library.counting.segment.unet import UnetSegmenter
from blood_kedro.library.counting.segment.watershed import watershed_pieces
from blood_kedro.library.morphology.options import Segmenter
from blood_kedro.library.morphology.splits import segmentation_split
from blood_kedro.library.smears.field import simulate_field
from blood_kedro.library.smears.options import SmearOptions

OPTIONS = WatershedOptions(cell_px=36)


def field(*drawn: tuple[tuple[int, int], float], pallor: float = 0.0) -> tuple[np.ndarray, list[Piece]]:
    """A light field with cells of 36 px at (x, y) and their darkness; their middle may be as pale as the ground."""
    image = np.full((256, 256, 3), (225, 224, 228), np.float32)
    masks = []
    yy, xx = np.mgrid[:256, :256]
    for (x, y), darkness in drawn:
        away = np.hypot(xx - x, yy - y)
        inside = away <= 18
        strength = np.where(away < 9, 1 - pallor, 1.0) * darkness
        image[inside] -= (np.array([30, 90, 70]) * strength[..., None])[inside]
        cut = piece(inside)
        assert cut is not None
        masks.append(cut)
    image += np.random.default_rng(0).normal(0, 1.5, image.shape)
    return np.clip(cv2.GaussianBlur(image, (0, 0), 0.8), 0, 255).astype(np.uint8), masks


def test_watershed_finds_single_touching_and_hollow_cells() -> None:
    touching = [
        ((60, 60), 1.0),
        ((94, 60), 1.0),
        ((180, 70), 0.6),
        ((60, 180), 0.9),
        ((150, 180), 1.0),
        ((172, 208), 1.0),
    ]
    for pallor in (0.0, 0.8):
        rgb, cells = field(*touching, pallor=pallor)
        found = watershed_pieces(rgb, OPTIONS)
        assert len(found) == len(cells)
        assert agree(found, cells, 0.75).matched == len(cells)


def test_an_open_rim_is_completed_and_a_gap_between_cells_is_not_filled() -> None:
    rgb, cells = field(((100, 100), 1.0), pallor=1.0)
    ground = np.array([225, 224, 228], np.uint8)
    rgb[97:104, 100:122] = ground  # the rim is broken to the right
    broken = watershed_pieces(rgb, OPTIONS)
    assert agree(broken, cells, 0.75).matched == 1
    ring = [((128 + round(40 * np.cos(a)), 128 + round(40 * np.sin(a))), 1.0) for a in np.arange(7) * 2 * np.pi / 7]
    rgb, cells = field(*ring)
    assert agree(watershed_pieces(rgb, OPTIONS), cells, 0.6).matched == 7


@pytest.mark.parametrize(
    "rgb", [np.full((64, 64, 3), 220, np.uint8), np.full((1, 1, 3), 9, np.uint8)], ids=["blank", "1 px"]
)
def test_nothing_is_found_where_nothing_is(rgb: np.ndarray) -> None:
    assert watershed_pieces(rgb, OPTIONS) == []


def test_watershed_on_a_simulated_smear() -> None:
    options = SmearOptions(
        slides=1,
        fields_per_slide=1,
        width_px=512,
        height_px=512,
        cells_per_field={"normal_rbc": 60, "platelet": 4},
        overlap_share=0.1,
    )
    smear = simulate_field(options, 3, 1, 0)
    cells = [
        piece(cell.stamp.mask, cell.stamp.left, cell.stamp.top) for cell in smear.cells if cell.label != "platelet"
    ]
    found = watershed_pieces(smear.rgb, WatershedOptions(cell_px=7.4 * smear.px_per_um))
    reference = [cell for cell in cells if cell is not None and cell.area_px2 > 150]
    assert agree([each for each in found if each.area_px2 > 150], reference, 0.5).f1 > 0.9


def test_unet_draws_the_outline_of_each_cell_that_watershed_finds() -> None:
    """A stand-in for the network that knows what is stained: neighbours are in its masks, too, and must go again."""

    def stained(crops: np.ndarray) -> np.ndarray:
        return np.asarray(crops[..., 1] < 190)

    places = [((60, 60), 1.0), ((98, 60), 1.0), ((150, 180), 0.8), ((3, 128), 1.0), ((250, 250), 1.0)]
    rgb, cells = field(*places)
    segment = UnetSegmenter(stained, 80, SegmentationOptions(cell_px=36, unet_cell_px=55.4))
    found = segment("tile", rgb, RejectLog("tile"))
    assert len(found) == len(cells)
    assert agree(found, cells, 0.85).matched == len(cells)
    assert not overlaps(found)  # each pixel has one owner
    assert all(0 <= x0 < x1 <= 256 and 0 <= y0 < y1 <= 256 for x0, y0, x1, y1 in (p.box_xyxy_px for p in found))
    blind = UnetSegmenter(lambda crops: np.zeros(crops.shape[:3], np.bool_), 80, SegmentationOptions(cell_px=36))
    assert agree(blind("tile", rgb, RejectLog("tile")), cells, 0.75).matched == len(cells)  # watershed's own are left
    assert segment("tile", np.full((100, 100, 3), 225, np.uint8), RejectLog("tile")) == []
    assert segment("tile", rgb[:4, :4], RejectLog("tile")) == []


def test_unet_of_fields_keeps_touching_cells_apart() -> None:
    """A stand-in for the network that knows the insides: cells come back whole, also where they touch or are cut."""
    places = [((60, 60), 1.0), ((97, 60), 1.0), ((150, 180), 0.8), ((3, 128), 1.0), ((250, 250), 1.0)]
    rgb, cells = field(*places)
    inside = insides(cells, 256, 256, 36)
    assert not inside[60, 78:80].any()  # between the two that touch
    assert inside[128, 0]  # the border of the tile is no outline of the cell that it cuts

    def knows(mask: np.ndarray, scale: float = 1.0) -> FieldUnet:
        """A network that says `mask`, whatever it is shown; it is shown the tile and a margin of 32 px."""

        def predict(images: np.ndarray) -> np.ndarray:
            small = cv2.resize(mask.astype(np.uint8), None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
            said = np.pad(small, 32, mode="edge") > 0
            assert images.shape == (1, *said.shape, 3)
            return said[None]

        return FieldUnet(predict, SegmentationOptions(cell_px=36, unet_cell_px=36 * scale))

    found = knows(inside)("tile", rgb, RejectLog("tile"))
    assert len(found) == len(cells)
    assert agree(found, cells, 0.9).matched == len(cells)
    whole = np.zeros((256, 256), np.bool_)
    for cell in cells:
        whole[cell.window] |= cell.mask
    assert agree(knows(whole)("tile", rgb, RejectLog("tile")), cells, 0.75).matched == len(cells)  # too large: split
    assert agree(knows(inside, 0.5)("tile", rgb, RejectLog("tile")), cells, 0.8).matched == len(cells)
    assert knows(inside)("tile", rgb[:4, :4], RejectLog("tile")) == []


def test_windows_of_fields_show_every_cell_of_a_tile_and_say_what_has_no_masks(tmp_path: Path) -> None:
    rgb, cells = field(((60, 60), 1.0), ((97, 60), 1.0), ((150, 180), 0.8))
    for name in ("1_2", "HS2_3_4"):
        (tmp_path / "grid_images").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f"grid_images/{name}.png"), rgb[..., ::-1])
    (tmp_path / "Mask_sub_folders/1_2").mkdir(parents=True)
    for k, cell in enumerate(cells):
        mask = np.zeros((256, 256), np.uint8)
        mask[cell.window] = 255 * cell.mask
        cv2.imwrite(str(tmp_path / f"Mask_sub_folders/1_2/{k}.png"), mask)
    rejects = RejectLog("fields")
    windows = list(field_windows(tmp_path, 36, 80, 80, 1, rejects))
    assert [(str(row["path"]), row["reason"]) for row in rejects.rows] == [("HS2_3_4.png", "tile without masks")]
    assert {w.facts["group_id"] for w in windows} == {"ojaghi/HS1"}
    inside = insides(cells, 256, 256, 36)
    for window in windows:
        x, y = (int(float(str(window.facts[c])) - 40) for c in ("x_px", "y_px"))
        assert window.mask is not None
        np.testing.assert_array_equal(window.mask, inside[y : y + 80, x : x + 80])
    assert len(windows) == 25  # five by five, the last at the edge
    with pytest.raises(SourceNotFoundError, match="no tile"):
        list(field_windows(tmp_path / "nothing", 36, 80, 80, 1, rejects))


def test_tiles_that_show_the_same_place_stay_on_one_side_of_a_split(tmp_path: Path) -> None:
    """A grid of 4 x 3 tiles whose last column is anchored to the edge: 40 of its 64 px are shown twice."""
    rng = np.random.default_rng(0)
    smear = rng.integers(0, 255, (3 * 64, 3 * 64 + 24, 3), np.uint8)
    (tmp_path / "grid_images").mkdir()
    names = {}
    for column, left in enumerate((0, 64, 128, 152)):
        for row in range(3):
            name = names[column, row] = f"HS2_{column + 8}_{row}"
            tile = smear[64 * row : 64 * row + 64, left : left + 64]
            cv2.imwrite(str(tmp_path / f"grid_images/{name}.png"), tile)
            (tmp_path / f"Mask_sub_folders/{name}").mkdir(parents=True)
            cv2.imwrite(str(tmp_path / f"Mask_sub_folders/{name}/0.png"), np.zeros((64, 64), np.uint8))
    cv2.imwrite(str(tmp_path / "grid_images/0_0.png"), smear[:64, :64])  # of another smear
    groups = tile_groups(tmp_path)
    assert groups == {**{name: names[min(cell[0], 2), cell[1]] for cell, name in names.items()}, "0_0": "0_0"}
    cells = write_crops(tmp_path / "cells", field_windows(tmp_path, 16, 32, 32, 1, RejectLog("fields")), 32)
    table = cells.table
    for seed in range(5):
        run = segmentation_split(table, Segmenter(source="x", test_groups=("ojaghi/HS2_8_0",), seed=seed))
        train, val = (set(table["tile_group"].iloc[rows]) for rows in (run.train, run.val))
        assert train
        assert val
        assert not train & val


def test_stored_masks_with_every_fault(tmp_path: Path) -> None:
    good = np.zeros((40, 50), np.uint8)
    good[10:20, 5:25] = 255
    for name, mask in (("0", good), ("1", np.zeros_like(good)), ("2", good[:30])):
        cv2.imwrite(str(tmp_path / f"{name}.png"), mask)
    (tmp_path / "3.png").write_bytes(b"")
    pd.DataFrame({"id": [0, 7], "predicted_iou": [0.97, 0.9]}).to_csv(tmp_path / "tile.csv", index=False)
    rejects = RejectLog("tile")
    (found,) = read_masks(tmp_path, 40, 50, rejects)
    assert (found.box_xyxy_px, found.area_px2, found.score) == ((5, 10, 25, 20), 200, 0.97)
    reasons = {Path(str(row["path"])).name: str(row["reason"]) for row in rejects.rows}
    assert reasons == {
        "1.png": "empty mask",
        "2.png": "mask of (30, 50), tile of (40, 50)",
        "3.png": "zero-byte file",
        "7.png": "row of the table without a mask",
    }
    (tmp_path / "tile.csv").unlink()
    assert np.isnan(read_masks(tmp_path, 40, 50, RejectLog("tile"))[0].score)


@pytest.fixture(scope="module")
def tiny_sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SAM of 100,000 random parameters, strewn widely so that its masks differ from point to point."""
    import torch
    from transformers import SamConfig, SamImageProcessor, SamModel, SamProcessor

    torch.manual_seed(0)
    vision = {
        "hidden_size": 32,
        "output_channels": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 256,
        "patch_size": 16,
        "mlp_dim": 64,
        "num_pos_feats": 16,
        "global_attn_indexes": [1],
        "window_size": 7,
    }
    prompt = {"hidden_size": 32, "image_size": 256, "image_embedding_size": 16, "mask_input_channels": 8}
    decoder = {"hidden_size": 32, "mlp_dim": 64, "num_attention_heads": 2, "iou_head_hidden_dim": 32}
    model = SamModel(SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder))
    torch.manual_seed(1)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim > 1:
                weights.normal_(0, 0.4)
    folder = tmp_path_factory.mktemp("sam") / "tiny"
    model.save_pretrained(folder)
    processor = SamImageProcessor(
        size={"longest_edge": 256},
        pad_size={"height": 256, "width": 256},
        mask_size={"longest_edge": 64},
        mask_pad_size={"height": 64, "width": 64},
    )
    SamProcessor(processor).save_pretrained(folder)
    return folder


def test_sam_gives_the_masks_of_the_librarys_pipeline(tiny_sam: Path) -> None:
    from PIL import Image
    from transformers import pipeline

    from blood_kedro.library.counting.segment.options import SamOptions
    from blood_kedro.library.counting.segment.sam import SamSegmenter

    rgb, _ = field(((60, 60), 1.0), ((150, 90), 0.7), ((100, 200), 1.0))
    rgb = rgb[:200, :240]
    reference = pipeline("mask-generation", model=str(tiny_sam), device="cpu")
    # Thresholds that let everything pass (the pipeline leaves those of 0 out), and such that do not.
    for iou, stability, least in ((-100.0, -1.0, 3), (0.5, 0.3, 1)):
        options = SamOptions(
            checkpoint=str(tiny_sam),
            points_per_side=5,
            points_per_batch=12,
            box_nms_thresh=0.99,
            pred_iou_thresh=iou,
            stability_score_thresh=stability,
        )
        ours = SamSegmenter(options)("tile", rgb, RejectLog("tile"))
        theirs = reference(
            Image.fromarray(rgb),
            points_per_crop=5,
            points_per_batch=12,
            crops_nms_thresh=0.99,
            pred_iou_thresh=max(iou, 0),
            stability_score_thresh=max(stability, 0),
        )
        assert len(ours) == len(theirs["masks"]) >= least
        for each, mask, score in zip(ours, theirs["masks"], theirs["scores"], strict=True):
            again = np.zeros((200, 240), np.bool_)
            again[each.window] = each.mask
            assert (again == np.asarray(mask)).all()
            assert each.score == pytest.approx(float(score), abs=1e-4)


def test_sam_without_a_checkpoint_names_it_and_the_alternatives(tmp_path: Path) -> None:
    from blood_kedro.library.counting.segment.options import SamOptions
    from blood_kedro.library.counting.segment.sam import SamSegmenter

    with pytest.raises(WeightsNotFoundError, match="watershed"):
        SamSegmenter(SamOptions(checkpoint=str(tmp_path / "none")))
