"""Generated smears: exact truth, known areas and counts, same bytes for the same seed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from scipy import ndimage

from blood_kedro.library.core.elmanna_2024 import SCANNER_OF_SLIDE
from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError, UnknownLabelError
from blood_kedro.library.core.masks import decode_rle, encode_rle, encode_rle_at
from blood_kedro.library.core.taxonomy import PARENT, is_a
from blood_kedro.library.imaging.measures import measure_red_cells
from blood_kedro.library.smears import red_cells
from blood_kedro.library.smears.cell import HAEMOGLOBIN, CellStyle, rasterize
from blood_kedro.library.smears.crops import ELMANNA_2024_KINDS, simulate_crop
from blood_kedro.library.smears.field import SimulatedField, plan, render, simulate_field, tiles
from blood_kedro.library.smears.fit_style import fit_styles, jpeg_quality
from blood_kedro.library.smears.kinds import LABELS, draw
from blood_kedro.library.smears.options import ReferenceImages, SmearOptions
from blood_kedro.library.smears.placement import Arrangement, Ground, place
from blood_kedro.library.smears.styles import SCANNERS, slide_style
from blood_kedro.library.smears.training_set import training_and_held_out
from blood_kedro.library.smears.truth import Stamp, clumps, cut, overlap_shares
from blood_kedro.library.smears.write import write_smears, write_tiles
from blood_kedro.library.sources.ingest import ingest
from blood_kedro.library.sources.registry import SOURCES
from blood_kedro.library.sources.synthetic import simulated_truth

OPTIONS = SmearOptions(
    slides=2,
    fields_per_slide=2,
    width_px=200,
    height_px=160,
    cells_per_field={"normal_rbc": 6, "teardrop": 2, "lymphocyte": 1, "platelet": 2},
)
STYLE = CellStyle(8.0, texture=0.0)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


# --- single cells


def test_thickness_of_the_biconcave_disc() -> None:
    # Evans and Fung 1972: 0.81 um in the centre, at most about 2.5 um, 0 at the rim
    thickness = red_cells.evans_fung_um(np.linspace(0, 1, 1001, dtype=np.float32))
    assert thickness[0] == pytest.approx(0.81)
    assert thickness[-1] == pytest.approx(0)
    assert thickness.max() == pytest.approx(2.52, abs=0.1)


@pytest.mark.parametrize("px_per_um", [3.0, 5.0, 12.0])
def test_area_of_a_rasterized_disc(px_per_um: float) -> None:
    angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    raster = rasterize(3.7 * np.stack([np.cos(angles), np.sin(angles)], 1), px_per_um)
    assert raster.cover.sum() / px_per_um**2 == pytest.approx(np.pi * 3.7**2, rel=0.01)
    assert raster.mask.sum() / px_per_um**2 == pytest.approx(np.pi * 3.7**2, rel=0.02)
    assert raster.inside_um.max() == pytest.approx(3.7, abs=1.3 / px_per_um)
    rows, cols = np.nonzero(raster.mask)  # centred on the middle pixel
    assert (rows.mean(), cols.mean()) == pytest.approx((len(raster.mask) // 2,) * 2, abs=0.1)


def test_every_taxonomy_class_can_be_drawn_and_is_labelled_so() -> None:
    assert set(PARENT) <= set(LABELS)
    for kind, label in LABELS.items():
        cell = draw(kind, STYLE, rng())
        assert cell.label == label
        assert is_a(LABELS[cell.kind], label) or label == "uncategorized"
        assert cell.mask.any() and (cell.layers >= 0).all() and cell.layers.sum() > 0
        border = np.concatenate([cell.mask[0], cell.mask[-1], cell.mask[:, 0], cell.mask[:, -1]])
        assert not border.any(), f"{kind} is cut by its own patch"
        assert ndimage.label(cell.mask, np.ones((3, 3)))[1] == 1


def test_a_cell_that_cannot_be_drawn_is_named() -> None:
    with pytest.raises(UnknownLabelError, match="draws no such cell"):
        draw("unicorn", STYLE, rng())


@pytest.mark.parametrize("kind", sorted(set(red_cells.FAMILIES) - {"burr_cell"}))
def test_haemoglobin_is_volume_times_concentration(kind: str) -> None:
    family = red_cells.FAMILIES[kind]
    cell = draw(kind, STYLE, rng())
    held = float(cell.layers[..., HAEMOGLOBIN].sum()) / STYLE.px_per_um**2
    unit = red_cells.UNIT_THICKNESS_UM * red_cells.UNIT_MCHC
    low, high = (family.volume_fl[k] * family.mchc[k] / unit for k in (0, 1))
    assert low * 0.999 <= held <= high * 1.001


def test_sizes_are_those_of_the_literature() -> None:
    def diameters(kind: str) -> np.ndarray:
        source = np.random.default_rng(1)
        areas = np.array([draw(kind, STYLE, source).mask.sum() for _ in range(30)])
        return 2 * np.sqrt(areas / np.pi) / STYLE.px_per_um

    assert 7.2 < diameters("normal_rbc").mean() < 7.7
    assert diameters("macrocyte").min() > 8.3 and diameters("microcyte").max() < 6.8
    assert diameters("platelet").max() < 4.2
    assert 8 < diameters("lymphocyte").mean() < 11 < diameters("segmented_neutrophil").mean() < 15


def test_pallor_is_deep_in_a_normal_cell_wide_in_a_pale_one_and_absent_in_a_spherocyte() -> None:
    def centre_to_peak(kind: str) -> float:
        source, ratios = np.random.default_rng(2), []
        for _ in range(20):
            layer = draw(kind, STYLE, source).layers[..., HAEMOGLOBIN]
            middle = layer.shape[0] // 2
            ratios.append(float(layer[middle, middle] / layer.max()))
        return float(np.mean(ratios))

    assert centre_to_peak("normal_rbc") < 0.5
    assert centre_to_peak("hypochromia") < 0.3
    assert centre_to_peak("spherocyte") > 0.85
    assert centre_to_peak("target_cell") > centre_to_peak("normal_rbc") + 0.2  # the bull's-eye


def test_false_teardrops_of_a_slide_point_the_same_way() -> None:
    def tail(kind: str, seed: int) -> float:
        mask = draw(kind, STYLE, np.random.default_rng(seed)).mask
        rows, cols = np.nonzero(mask)
        away = np.hypot(rows - rows.mean(), cols - cols.mean()).argmax()
        return float(np.arctan2(rows[away] - rows.mean(), cols[away] - cols.mean()))

    def agreement(kind: str) -> float:
        return float(abs(np.mean(np.exp(1j * np.array([tail(kind, seed) for seed in range(30)])))))

    assert agreement("false_teardrop") > 0.9
    assert agreement("teardrop") < 0.6


# --- truth


def disc(radius: int) -> np.ndarray:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(x**2 + y**2 <= radius**2)


def test_overlap_share_of_two_squares() -> None:
    square = np.ones((10, 10), np.bool_)
    shares = overlap_shares([Stamp(0, 0, square), Stamp(5, 0, square), Stamp(30, 30, square[:4])], 50, 50)
    assert shares == [0.5, 0.5, 0.0]


def test_clumps_join_by_touching_and_a_cell_cut_in_two_joins_its_parts() -> None:
    square = np.ones((10, 10), np.bool_)
    corner = [Stamp(0, 0, square), Stamp(10, 10, square), Stamp(21, 10, square), Stamp(35, 35, square)]
    assert clumps(corner, 50, 50).tolist() == [1, 1, 2, 3]  # corners touch; one pixel apart does not
    parts = np.zeros((4, 30), np.bool_)
    parts[:, :3] = parts[:, -3:] = True  # as of a horseshoe of which the border left two ends
    both = [Stamp(0, 0, parts), Stamp(0, 4, square), Stamp(27, 4, square[:, :3])]
    assert clumps(both, 50, 50).tolist() == [1, 1, 1]


def test_a_patch_is_cut_at_the_border_and_lost_only_outside() -> None:
    mask = disc(5)
    half = cut(mask, -5, 10, 40, 40)
    assert half is not None and half.mask.sum() == disc(5)[:, 5:].sum() and half.box_xyxy_px == (0, 10, 6, 21)
    assert cut(mask, -11, 10, 40, 40) is None
    assert cut(mask, 40, 10, 40, 40) is None


def test_run_length_of_a_patch_is_that_of_the_whole_mask() -> None:
    source = np.random.default_rng(0)
    for top, left, height, width in [(0, 0, 5, 7), (3, 4, 20, 30), (15, 23, 20, 30), (0, 23, 20, 30), (15, 0, 20, 30)]:
        patch = source.random((5, 7)) < 0.5
        whole = np.zeros((height, width), np.bool_)
        whole[top : top + 5, left : left + 7] = patch
        assert encode_rle_at(patch, top, left, height, width) == encode_rle(whole)
        assert (decode_rle(encode_rle(whole), height, width) == whole).all()


@pytest.mark.parametrize("name", sorted(ELMANNA_2024_KINDS))
def test_crops_of_the_eight_classes_of_elmanna_2024(name: str) -> None:
    for kind in ELMANNA_2024_KINDS[name]:
        crop = simulate_crop(kind, 0, 3, 5)
        assert crop.rgb.shape == (80, 80, 3) and crop.mask.shape == (80, 80)
        assert (crop.rgb == simulate_crop(kind, 0, 3, 5).rgb).all()
        assert (crop.slide, crop.scanner) == ("slide_003", "scanner_2")
        green = crop.rgb[..., 1].astype(float)
        assert green[crop.mask].mean() < green[~crop.mask].mean() - 15
        assert ndimage.label(crop.mask)[1] == 1  # overlapping cells are one region
        assert np.abs(np.argwhere(crop.mask).mean(axis=0) - 39.5).max() < 12
    area = {
        n: np.mean([simulate_crop("+".join(["normal_rbc"] * n), 0, s, 0).mask.sum() for s in range(1, 9)])
        for n in (1, 2)
    }
    assert 1.3 < area[2] / area[1] < 2.0


# --- fields


def test_same_seed_same_field_in_any_order() -> None:
    late = simulate_field(OPTIONS, 5, 2, 1)
    simulate_field(OPTIONS, 5, 1, 0)
    again = simulate_field(OPTIONS, 5, 2, 1)
    assert (late.rgb == again.rgb).all()
    assert [c.box_xyxy_px for c in late.cells] == [c.box_xyxy_px for c in again.cells]
    assert not (late.rgb == simulate_field(OPTIONS, 6, 2, 1).rgb).all()


def test_boxes_are_exactly_those_of_the_masks_and_lie_inside() -> None:
    cells = [c for number in range(4) for c in simulate_field(OPTIONS, 5, 1, number).cells]
    assert len(cells) > 20
    assert any(c.visible_share < 1 for c in cells)
    for cell in cells:
        rows, cols = np.where(cell.mask(160, 200))
        assert cell.box_xyxy_px == (cols.min(), rows.min(), cols.max() + 1, rows.max() + 1)
        assert len(rows) == cell.stamp.mask.sum()


def test_number_of_cells_is_what_was_asked_for() -> None:
    options = OPTIONS.model_copy(update={"cells_per_field": {"normal_rbc": 9.0}, "density_spread": 0.0})
    inside = []
    for number in range(60):
        for slide in (1, 2):
            field = simulate_field(options, 0, slide, number)
            centres = np.array([c.centre_xy_px for c in field.cells]).reshape(-1, 2)
            count = ((centres >= 0) & (centres < (200, 160))).all(axis=1).sum()
            inside.append(count / field.style.density)
    assert np.mean(inside) == pytest.approx(9, rel=0.06)


def test_no_cell_is_lost_at_the_border() -> None:
    where = plan(OPTIONS, 3, 1, 0, 200, 160)
    wide = render(where, (-80, -80, 280, 240))  # everything that was planned
    field = render(where, (0, 0, 200, 160))
    whole = {c.number: c.mask(320, 360)[80:240, 80:280] for c in wide.cells}
    touching = {number for number, mask in whole.items() if mask.any()}
    assert {c.number for c in field.cells} == touching
    for cell in field.cells:
        assert (cell.mask(160, 200) == whole[cell.number]).all()


def test_tiles_join_to_the_whole_smear() -> None:
    quiet = SCANNERS["scanner_1"].model_copy(
        update={"noise": 0, "vignetting": 0, "dust": 0, "plasma": 0, "jpeg_quality": None, "halo": 0.01}
    )
    options = OPTIONS.model_copy(update={"styles": (quiet,), "marks": {}})
    where = plan(options, 3, 1, 0, 300, 250)
    whole = render(where, (0, 0, 300, 250))
    joined = np.zeros_like(whole.rgb)
    masks: dict[int, np.ndarray] = {}
    seen = 0
    for column, row, tile in tiles(where, 128):
        height, width = tile.rgb.shape[:2]
        window = np.s_[row * 128 : row * 128 + height, column * 128 : column * 128 + width]
        joined[window] = tile.rgb
        seen += 1
        for cell in tile.cells:
            masks.setdefault(cell.number, np.zeros((250, 300), np.bool_))[window] |= cell.mask(height, width)
    assert seen == 6
    assert np.abs(joined.astype(int) - whole.rgb).max() <= 1  # no seam
    assert set(masks) == {c.number for c in whole.cells}
    assert all((masks[c.number] == c.mask(250, 300)).all() for c in whole.cells)


def test_a_smear_too_large_to_keep_draws_the_same_cells_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = simulate_field(OPTIONS, 3, 1, 0)
    monkeypatch.setattr("blood_kedro.library.smears.field._KEPT_CELLS", 0)
    assert (simulate_field(OPTIONS, 3, 1, 0).rgb == kept.rgb).all()


def test_overlaps_are_darker_by_beer_lambert() -> None:
    style = SCANNERS["scanner_1"].model_copy(
        update={"noise": 0, "vignetting": 0, "dust": 0, "plasma": 0, "jpeg_quality": None, "halo": 0, "glare": 0}
    )
    crowded = OPTIONS.model_copy(
        update={"cells_per_field": {"spherocyte": 40}, "overlap_share": 1.0, "styles": (style,), "precipitate": 0}
    )
    smear = simulate_field(crowded, 1, 1, 0)
    layers = np.sum([c.mask(160, 200) for c in smear.cells], axis=0)
    assert (layers == 2).sum() > 100
    green = -np.log(smear.rgb[..., 1] / np.median(smear.rgb[..., 1][layers == 0]))
    single, double = (np.median(green[layers == n]) for n in (1, 2))
    assert double == pytest.approx(2 * single, rel=0.25)  # absorbances add
    flat = crowded.model_copy(update={"styles": (style.model_copy(update={"overlap_gain": 0.0}),)})
    green = -np.log(simulate_field(flat, 1, 1, 0).rgb[..., 1] / 203.0)
    assert np.median(green[layers == 2]) < 1.4 * np.median(green[layers == 1])


def test_clump_sizes_follow_the_options() -> None:
    def share_in_clumps(**update: float) -> float:
        options = OPTIONS.model_copy(
            update={"width_px": 600, "height_px": 600, "cells_per_field": {"normal_rbc": 30}, **update}
        )
        cells = [c for n in range(6) for c in simulate_field(options, 2, 1, n).cells]
        return float(np.mean([c.clump_cells > 1 for c in cells]))

    assert share_in_clumps(overlap_share=0.0) < 0.15
    assert share_in_clumps(overlap_share=1.0) > 0.8
    assert share_in_clumps(overlap_share=0.0, rouleaux_share=1.0) > 0.9


def test_red_cells_give_way_to_white_ones_and_nobody_is_left_out() -> None:
    radii = np.array([30.0] + [10.0] * 60)
    roles = np.array(["nucleated"] + ["red"] * 60)
    centres = place(radii, roles, Ground((0, 0, 120, 120)), Arrangement(0.3, 0.2, 0.0), rng())
    gaps = np.hypot(*(centres[1:] - centres[0]).T)
    assert len(centres) == 61 and gaps.min() >= 40 - 1e-6  # crowded, yet none under the white cell
    assert (gaps < 41).sum() >= 3  # pushed until they touch


def test_slides_go_through_the_scanners_of_elmanna_2024() -> None:
    assert len(SCANNER_OF_SLIDE) == 25 and len(SCANNERS) == 4
    assert [SCANNER_OF_SLIDE[s] for s in (1, 11, 24, 21)] == ["scanner_1", "scanner_2", "scanner_3", "scanner_4"]
    assert slide_style(0, 1).name == slide_style(0, 26).name == "scanner_1"
    assert slide_style(0, 1).stains != slide_style(0, 26).stains  # its own stain
    assert slide_style(0, 1) == slide_style(0, 1)


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"cells_per_field": {"unicorn": 1}}, "draws no unicorn"),
        ({"cells_per_field": {"normal_rbc": -1}}, "negative"),
        ({"marks": {"smiley": 1}}, "unknown marks smiley"),
        ({"px_per_um": 0}, "px_per_um"),
    ],
)
def test_wrong_options_are_named(update: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SmearOptions.model_validate(OPTIONS.model_dump() | update)


# --- files


def test_written_smears_read_back_as_a_source(tmp_path: Path) -> None:
    options = OPTIONS.model_copy(update={"marks": {"scale_bar": 1.0}})
    assert write_smears(tmp_path / "s", options, seed=3)
    tables = ingest(SOURCES["synthetic"], tmp_path / "s", strict=True)
    assert len(tables.index) == 4
    assert tables.index["group_id"].nunique() == 2
    assert len(tables.masks) == len(tables.annotations) > 20
    assert len(tables.rejects) == 0
    row, box = tables.masks.iloc[0], tables.annotations.iloc[0]
    rows, cols = np.where(decode_rle(row.rle_counts, row.height_px, row.width_px))
    assert (cols.min(), rows.max() + 1) == (box.x_min_px, box.y_max_px)
    truth = simulated_truth(tmp_path / "s").set_index("annotation_id")
    assert set(truth.index) == set(tables.annotations["annotation_id"])
    ignored = tables.annotations.set_index("annotation_id")["ignore"]
    assert (ignored == (truth["visible_share"] < 0.15)[ignored.index]).all() and ignored.any()
    image = json.loads((tmp_path / "s/annotations.json").read_text())["images"][0]
    assert image["scanner"] == "scanner_1" and image["marks"][0]["mark"] == "scale_bar"
    before = {path: path.read_bytes() for path in (tmp_path / "s").rglob("*.png")}
    assert not write_smears(tmp_path / "s", options, seed=3)  # already there
    (tmp_path / "s/annotations.json").unlink()  # as an interrupted call leaves it
    assert write_smears(tmp_path / "s", options, seed=3)
    assert before == {path: path.read_bytes() for path in (tmp_path / "s").rglob("*.png")}
    assert write_smears(tmp_path / "s", options, seed=4)


def test_files_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    options = OPTIONS.model_copy(update={"fields_per_slide": 5})
    for workers in (1, 2):
        write_smears(tmp_path / str(workers), options, 3, workers)
    one, two = ({p.relative_to(tmp_path / w): p.read_bytes() for p in (tmp_path / w).rglob("*.*")} for w in "12")
    assert one == two and len(one) == 11


def test_training_set_holds_a_whole_slide_out_and_numbers_classes_from_one(tmp_path: Path) -> None:
    write_smears(tmp_path, OPTIONS, seed=3)
    train, held_out = training_and_held_out(tmp_path)
    assert {i["slide"] for i in train["images"]} == {"slide_001"}
    assert {i["slide"] for i in held_out["images"]} == {"slide_002"}
    names = {category["id"]: category["name"] for category in train["categories"]}
    assert sorted(names) == [1, 2, 3, 4] and set(names.values()) == {"normal_rbc", "teardrop", "lymphocyte", "platelet"}
    truth = simulated_truth(tmp_path)
    assert [names[a["category_id"]] for a in train["annotations"]] == truth["label"].tolist()


def test_a_large_smear_is_written_as_tiles(tmp_path: Path) -> None:
    assert write_tiles(tmp_path / "t", OPTIONS, 3, 2, 300, 250, 128)
    assert not write_tiles(tmp_path / "t", OPTIONS, 3, 2, 300, 250, 128)
    names = sorted(p.stem for p in (tmp_path / "t/images").iterdir())
    assert names == ["0_0", "0_1", "1_0", "1_1", "2_0", "2_1"]  # column_row
    truth = simulated_truth(tmp_path / "t")
    assert set(truth["slide"]) == {"slide_002"}
    assert (truth.groupby("number")["image_id"].nunique() > 1).any()  # cells across borders keep their number


def test_truth_of_a_folder_without_smears(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"annotations\.json"):
        simulated_truth(tmp_path)


# --- styles fitted to images


def _known(seed: int) -> SimulatedField:
    style = SCANNERS["scanner_2"].model_copy(
        update={"name": "known", "size": 1.1, "jpeg_quality": None, "blur_px": 1.3}
    )
    options = OPTIONS.model_copy(
        update={"width_px": 480, "height_px": 360, "styles": (style,), "cells_per_field": {"normal_rbc": 40}}
    )
    return simulate_field(options, seed, 1, 0)


def test_a_fitted_style_finds_again_what_made_the_images(tmp_path: Path) -> None:
    import cv2

    for seed in range(4):
        cv2.imwrite(str(tmp_path / f"{seed}.png"), _known(seed).rgb[..., ::-1])
    (tmp_path / "broken.png").write_bytes(b"no image")
    styles = fit_styles(ReferenceImages(folder=str(tmp_path), cell_px=40, px_per_um=5.0, images=4))
    assert len(styles) == 4 and "broken" not in {style.name for style in styles}
    options = OPTIONS.model_copy(
        update={"width_px": 480, "height_px": 360, "styles": styles, "cells_per_field": {"normal_rbc": 40}}
    )
    made = [simulate_field(options, 9, slide, 0) for slide in (1, 2, 3, 4)]
    real = [_known(seed + 10) for seed in range(4)]

    def medians(fields: list[SimulatedField]) -> np.ndarray:
        found = [measure_red_cells(f.rgb, 40).cells for f in fields]
        names = ["diameter_px", "red_od", "green_od", "blue_od", "pallor_ratio", "edge_px"]
        return np.median([cells[names].median().to_numpy() for cells in found], axis=0)

    assert medians(made) == pytest.approx(medians(real), rel=0.15)
    light = np.mean([style.light for style in styles], axis=0)
    assert light == pytest.approx((252, 230, 204), abs=6)


def test_smears_like_a_folder_of_images_are_named_after_them(tmp_path: Path) -> None:
    for seed in range(2):
        Image.fromarray(_known(seed).rgb).save(tmp_path / f"real_{seed}.png")
    like = ReferenceImages(folder=str(tmp_path), cell_px=40, px_per_um=5.0, images=2)
    assert write_smears(tmp_path / "s", OPTIONS.model_copy(update={"like": like, "fields_per_slide": 1}), seed=3)
    images = json.loads((tmp_path / "s/annotations.json").read_text())["images"]
    assert [image["scanner"] for image in images] == ["real_0", "real_1"]


@pytest.mark.parametrize("quality", [40, 75, 92])
def test_jpeg_quality_of_a_file(tmp_path: Path, quality: int) -> None:
    Image.fromarray(_known(0).rgb).save(tmp_path / "a.jpg", quality=quality)
    assert jpeg_quality(tmp_path / "a.jpg") == pytest.approx(quality, abs=1)
    Image.fromarray(_known(0).rgb).save(tmp_path / "a.png")
    assert jpeg_quality(tmp_path / "a.png") is None


def test_a_folder_without_cells_gives_no_style(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no image shows 3 single red cells") as caught:
        fit_styles(ReferenceImages(folder=str(tmp_path), cell_px=40, px_per_um=5.0))
    assert "0 images" in str(caught.value)
