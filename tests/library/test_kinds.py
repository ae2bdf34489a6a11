"""Cutouts and the classifier that names them (Rao et al. 2024, sections 3.3 and 3.4)."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from blood_kedro.library.core.crop_set import Crop, CropSet, write_crops
from blood_kedro.library.core.errors import ConfigurationError, SourceNotFoundError
from blood_kedro.library.core.groups import Groups
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.name.cell_types import CELL_TYPES, build_network, load_network
from blood_kedro.library.counting.name.cutout import cutout, framed
from blood_kedro.library.counting.name.cutouts import named, published_cutouts, segmented_cutouts
from blood_kedro.library.counting.name.fit import multiplied
from blood_kedro.library.counting.name.namers import ByNetwork, ByStain
from blood_kedro.library.counting.name.stain import USUAL, normalised, red_cell_densities, reference_density
from blood_kedro.library.counting.name.train import train_kinds
from blood_kedro.library.counting.open.smear import Smear
from blood_kedro.library.counting.open.tiles import cut_into_tiles
from blood_kedro.library.counting.options import CutoutOptions, KindClassifier, SmearInput
from blood_kedro.library.counting.pieces import Piece, piece
from blood_kedro.library.counting.segment.classical import Watershed
from blood_kedro.library.counting.segment.looks import SeenTile
from tests.library.test_count_smears import PAIR, SPREAD, VIOLET, save, smear

COLOURS = {"rbc": (200, 135, 150), "wbc": (90, 50, 140), "platelet": (130, 80, 160)}
RADII = {"rbc": 9, "wbc": 14, "platelet": 3}


def disc(x: int, y: int, radius: int) -> Piece:
    canvas = np.zeros((300, 540), np.uint8)
    cv2.circle(canvas, (x, y), radius, 1, -1)
    made = piece(canvas > 0)
    assert made is not None
    return made


def drawn(folder: Path, per_kind: int, groups: int, kinds: tuple[str, ...] = CELL_TYPES) -> CropSet:
    """Cutouts of 32 px that any classifier must learn: a disc each, of the size and colour of its kind."""
    rng = np.random.default_rng(0)
    cells = []
    for kind in kinds:
        for k in range(per_kind):
            rgb = np.zeros((32, 32, 3), np.uint8)
            colour = np.clip(np.array(COLOURS[kind]) + rng.normal(0, 12, 3), 0, 255).tolist()
            cv2.circle(rgb, (16, 16), RADII[kind] + int(rng.integers(0, 2)), colour, -1)
            facts = {
                "cell_id": f"{kind}{k}",
                "source": "s",
                "image_id": f"s/{k % groups}",
                "group_id": f"s/{k % groups}",
                "slide": None,
                "scanner": None,
                "official_split": ("train", "train", "val", "test")[k % 4],
                "label_raw": kind,
                "label": kind,
                "shape": None,
                "x_px": None,
                "y_px": None,
                "mask_origin": None,
            }
            cells.append(Crop(rgb, None, facts))
    return write_crops(folder, cells, 32)


def test_a_cutout_is_mask_and_tile_in_the_middle_of_black() -> None:
    rgb = np.full((300, 540, 3), 200, np.uint8)
    made = cutout(rgb, disc(100, 60, 10), 1.0, 64)
    assert made.shape == (64, 64, 3)
    rows, columns = np.nonzero(made[..., 0])
    assert (rows.min() + rows.max(), columns.min() + columns.max()) == (62, 62)  # 21 px wide, one to the left of middle
    assert len(rows) == disc(100, 60, 10).area_px2
    assert (made[rows, columns] == 200).all()
    half = cutout(rgb, disc(100, 60, 10), 0.5, 64)
    assert 0.2 < np.count_nonzero(half[..., 0]) / len(rows) < 0.35
    large = cutout(rgb, disc(150, 150, 100), 1.0, 64)  # made to fit, not left out
    assert np.count_nonzero(large[32, :, 0]) == 64
    assert framed(np.full((3, 3, 3), 9, np.uint8), 1.0, 8)[3, 3].tolist() == [9, 9, 9]


def test_smears_of_any_stain_get_the_same_red_cells() -> None:
    cells = [(60 + 80 * i, 60) for i in range(6)]
    masks = [disc(x, y, 15) for x, y in cells]
    looks = []
    for light, red in (((225, 224, 228), (200, 135, 150)), ((180, 190, 200), (150, 80, 130))):
        rgb = np.full((300, 540, 3), light, np.uint8)
        for x, y in cells:
            cv2.circle(rgb, (x, y), 18, red, -1)
        densities = red_cell_densities(rgb, masks, 36)
        assert densities.shape == (6, 3)
        looks.append(normalised(rgb, reference_density(densities)))
        assert looks[-1][200, 300].min() > 250  # white ground
    assert np.abs(looks[0].astype(int) - looks[1]).max() <= 2
    assert looks[0][60, 60].tolist() == pytest.approx((255 * np.exp(-USUAL)).tolist(), abs=2)
    assert reference_density(np.zeros((2, 3))).tolist() == USUAL.tolist()  # too few to tell


def test_boxes_name_masks() -> None:
    def boxes(*rows: tuple[str, float, float, float, float, str]) -> pd.DataFrame:
        columns = ["kind", "x_min_px", "y_min_px", "x_max_px", "y_max_px", "box_origin"]
        return pd.DataFrame(rows, columns=columns)

    red = ("rbc", 82.0, 42.0, 118.0, 78.0, "annotated")
    white = ("wbc", 100.0, 50.0, 150.0, 100.0, "annotated")
    assert named(disc(100, 60, 18), boxes(red))["kind"] == "rbc"
    assert named(disc(110, 65, 40), boxes(red, white))["kind"] == "wbc"  # one mask over both
    assert named(disc(90, 55, 5), boxes(red))["kind"] == "rbc"  # a part of the cell
    assert named(disc(300, 200, 18), boxes(red, white)) is None
    whole = ("wbc", 0.0, 0.0, 540.0, 300.0, "image")
    assert named(disc(270, 150, 18), boxes(whole))["kind"] == "wbc"
    assert named(disc(100, 60, 18), boxes(whole)) is None  # not the cell that the image is about
    around = ("wbc", 0.0, 0.0, 540.0, 300.0, "annotated")
    assert named(disc(90, 55, 5), boxes(red, around))["kind"] == "rbc"  # the smallest box


def test_cutouts_of_a_source_are_named_and_drawn_from_every_image(tmp_path: Path) -> None:
    save(tmp_path / "a.png", smear(540, 300, SPREAD + PAIR, VIOLET))
    save(tmp_path / "b.png", smear(540, 300, SPREAD))
    (tmp_path / "c.png").write_bytes(b"")
    rows = []
    for image, red, violet in (("a", SPREAD + PAIR, VIOLET), ("b", SPREAD, []), ("c", SPREAD, [])):
        cells = [("normal_rbc", x, y, 18) for x, y in red]
        cells += [("lymphocyte" if radius > 20 else "platelet", x, y, radius) for x, y, radius in violet]
        rows += [
            {
                "annotation_id": f"s/{image}#{k}",
                "image_id": f"s/{image}",
                "label_raw": label,
                "label": label,
                "x_min_px": x - r,
                "y_min_px": y - r,
                "x_max_px": x + r,
                "y_max_px": y + r,
                "box_origin": "annotated",
            }
            for k, (label, x, y, r) in enumerate(cells)
        ]
    index = pd.DataFrame([{"image_id": f"s/{n}", "source": "s", "path": f"{n}.png"} for n in "abc"])
    options = CutoutOptions(name="c", source="s", cell_px=36, side_px=48, cutout_cell_px=24, red_cells=30, workers=1)
    rejects = RejectLog("c")
    found = list(segmented_cutouts(tmp_path, index, pd.DataFrame(rows), GROUPS, options, Watershed(options), rejects))
    table = pd.DataFrame([cell.facts for cell in found])
    assert table.groupby("image_id")["label"].value_counts().to_dict() == {
        ("s/a", "rbc"): 10,
        ("s/a", "platelet"): 2,
        ("s/a", "wbc"): 1,
        ("s/b", "rbc"): 10,
    }
    assert set(zip(table["group_id"], table["part"], strict=True)) == {("g", "val")}
    assert table["cell_id"].is_unique
    assert all(cell.rgb.shape == (48, 48, 3) for cell in found)
    assert [row["path"] for row in rejects.rows] == ["c.png"]


def test_published_cutouts_without_their_copies_and_overlapping_tiles_as_one_group(tmp_path: Path) -> None:
    square = np.full((96, 96, 3), 90, np.uint8)
    for name in (
        "train/RBC/2_3_7",
        "train/WBC/HS2_10_5_101",
        "train/RBC/9_19_7",
        "train/WBC/aug-0_0_1",
        "test/WBC/HS2_11_5_98",
        "val/RBC/HS2_11_6_4",
        "val/RBC/odd",
        "test/HS2_11_5_98",
    ):
        save(tmp_path / f"{name}.png", square)
    (tmp_path / "test/RBC").mkdir()
    (tmp_path / "test/RBC/5_5_5.png").write_bytes(b"")
    rejects = RejectLog("p")
    options = CutoutOptions(name="p", source="ojaghi", reader="published", side_px=64, cutout_cell_px=24)
    table = pd.DataFrame([cell.facts for cell in published_cutouts(tmp_path, options, rejects)])
    assert dict(zip(table["cell_id"], table["group_id"], strict=True)) == {
        "p/test/HS2_11_5_98": "ojaghi/HS2_10_5",
        "p/train/2_3_7": "ojaghi/2_3",
        "p/train/9_19_7": "ojaghi/8_18",
        "p/train/HS2_10_5_101": "ojaghi/HS2_10_5",
        "p/val/HS2_11_6_4": "ojaghi/HS2_10_6",
    }
    assert sorted(Path(str(row["path"])).name for row in rejects.rows) == ["5_5_5.png", "odd.png"]
    one = options.model_copy(update={"slides": ("HS1",)})
    assert [c.facts["slide"] for c in published_cutouts(tmp_path, one, RejectLog("p"))] == ["HS1", "HS1"]
    with pytest.raises(SourceNotFoundError, match="no cutouts"):
        list(published_cutouts(tmp_path / "none", options, rejects))


def test_the_network_is_the_published_one() -> None:
    network = build_network(2, 128, 0.2)
    kinds = [type(layer).__name__ for layer in network]
    assert kinds == ["Conv2d", "ReLU", "MaxPool2d"] * 3 + ["Flatten", "Linear", "ReLU", "Dropout", "Linear"]
    assert [layer.out_channels for layer in network if isinstance(layer, nn.Conv2d)] == [32, 64, 128]
    assert [layer.out_features for layer in network if isinstance(layer, nn.Linear)] == [512, 1]
    assert network(torch.zeros(2, 3, 128, 128)).shape == (2, 1)
    assert build_network(3, 64, 0.2)(torch.zeros(2, 3, 64, 64)).shape == (2, 3)


def test_rare_kinds_are_multiplied_and_others_thinned_out() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (103, 32, 32, 3), dtype=np.uint8)
    labels = np.array([0] * 100 + [1] * 3)
    options = KindClassifier(cutouts=("c",), copies=10, ratio=2)
    made, own = multiplied(pixels, labels, options, 1)
    assert np.bincount(own).tolist() == [60, 30]
    assert all((made == white).all(axis=(1, 2, 3)).any() for white in pixels[100:])  # as they are, too
    assert len(np.unique(made[own == 1].reshape(30, -1), axis=0)) > 20
    same, _ = multiplied(pixels, labels, options, 1)
    assert np.array_equal(made, same)
    assert len(multiplied(pixels[:100], labels[:100], options, 1)[0]) == 100  # nothing to balance against


GROUPS = Groups({"s/a": "g", "s/b": "g", "s/c": "h"}, {"g": "val", "h": "test"})
MADE = CutoutOptions(source="s", side_px=32, cutout_cell_px=18, normalise=False)
QUICK = {"search": {"batch_size": [16], "epochs": [4], "dropout": [0.2], "lr": [0.001]}, "copies": 2}


def test_three_kinds_are_learnt_and_named_on_a_smear(tmp_path: Path) -> None:
    cells = drawn(tmp_path / "cells", 40, 10)
    options = KindClassifier.model_validate(
        {
            "name": "k",
            "cutouts": ["c"],
            "kinds": list(CELL_TYPES),
            "augmented": ["wbc", "platelet"],
            "resamples": 50,
            **QUICK,
        }
    )
    made = train_kinds([cells], MADE, options, tmp_path / "work")
    assert made.metrics["accuracy"] > 0.9
    assert made.metrics["test_groups"] >= 1
    assert not (tmp_path / "work").exists() or not list((tmp_path / "work").iterdir())
    again = train_kinds([cells], MADE, options, tmp_path / "work")
    pd.testing.assert_frame_equal(made.answers, again.answers)  # same seed, same figures
    parts = {row["part"]: row for row in made.metrics["parts"]}
    assert parts["train"]["wbc_after_augmentation"] == 2 * parts["train"]["wbc"]
    assert sum(parts[part]["rbc"] for part in parts) == 40
    rgb = smear(540, 300, [(60, 60), (160, 60)], [(300, 150, 28), (400, 60, 6)])
    masks = [disc(60, 60, 18), disc(160, 60, 18), disc(300, 150, 28), disc(400, 60, 6)]
    options_36 = SmearInput(path="x", cell_px=36)
    whole = Smear("s", cut_into_tiles(540, 300, 540), lambda _: rgb, "")
    for namer in (ByNetwork(made.model, options_36), ByStain(options_36)):
        tile = SeenTile(whole, whole.grid.places[0], rgb, options_36)
        look = namer.look(tile, masks)
        said, nothing = namer.name([masks, []], lambda _, look=look: look)
        assert said.shape == (4, 3)
        assert [CELL_TYPES[k] for k in said.argmax(axis=1)] == ["rbc", "rbc", "wbc", "platelet"]
        assert nothing.shape == (0, 3)


def test_images_of_sources_have_the_parts_of_the_table_of_groups(tmp_path: Path) -> None:
    """The same as in every other pipeline, whatever the seed; cutouts of other sets are dealt by their own groups."""
    cells = drawn(tmp_path / "cells", 40, 10)
    parts = {f"s/{k}": ("train", "train", "val", "test", "train")[k % 5] for k in range(10)}
    others = cells.table["label"] == "platelet"
    table = cells.table.assign(part=cells.table["group_id"].map(parts).where(~others, None))
    made = train_kinds(
        [CropSet(table, cells.crops, cells.masks)],
        MADE,
        KindClassifier.model_validate(
            {"name": "k", "cutouts": ["c"], "kinds": list(CELL_TYPES), "resamples": 5, **QUICK}
        ),
        tmp_path / "work",
    )
    tested = made.answers[made.answers["label"] != "platelet"]
    assert set(tested["group_id"]) == {"s/3", "s/8"}
    assert len(tested) == 16
    assert made.metrics["test_groups"] >= 2
    learnt = set(made.model.config["learnt_from"])
    assert {f"s/{k}" for k in (0, 1, 2, 4, 5, 6, 7, 9)} <= learnt
    with pytest.raises(ConfigurationError, match="needs the parts train, val and test"):
        train_kinds(
            [CropSet(table.assign(part="train"), cells.crops, cells.masks)],
            MADE,
            KindClassifier.model_validate({"name": "k", "cutouts": ["c"], **QUICK}),
            tmp_path / "work",
        )


def test_a_kind_that_a_part_lacks_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cells = drawn(tmp_path / "cells", 40, 10, ("rbc", "wbc"))
    part = cells.table["image_id"].map(lambda name: ("train", "val", "test")[int(name[2:]) % 3])
    lacking = cells.table.assign(part=part.where((part != "val") | (cells.table["label"] == "rbc"), "train"))
    options = KindClassifier.model_validate({"name": "k", "cutouts": ["c"], "resamples": 5, **QUICK})
    made = train_kinds([CropSet(lacking, cells.crops, cells.masks)], MADE, options, tmp_path / "work")
    (note,) = made.metrics["missing_from_parts"]
    assert note.startswith("classifier k, split 1: val holds no kind wbc")
    assert note in {record.message for record in caplog.records}


def test_splits_search_and_fine_tuning(tmp_path: Path) -> None:
    cells = drawn(tmp_path / "cells", 48, 12, ("rbc", "wbc"))
    quick = {"name": "k", "cutouts": ["c"], "resamples": 20, **QUICK}
    published = train_kinds(
        [cells], MADE, KindClassifier.model_validate({**quick, "split": "published"}), tmp_path / "w"
    )
    tested = set(cells.table.loc[cells.table["official_split"] == "test", "cell_id"])
    assert set(published.answers["cell_id"]) == tested
    drawn_at_random = train_kinds(
        [cells], MADE, KindClassifier.model_validate({**quick, "split": "cutout"}), tmp_path / "w"
    )
    assert [sum(row[k] for k in ("rbc", "wbc")) for row in drawn_at_random.metrics["parts"]] == [71, 15, 10]
    folds = KindClassifier.model_validate({**quick, "split": "group", "folds": 3})
    by_group = train_kinds([cells], MADE, folds, tmp_path / "w", published.model)
    assert sorted(by_group.answers["cell_id"]) == sorted(cells.table["cell_id"])  # each tested on once
    assert by_group.metrics["weights_origin"] == "fine-tuned from k"
    space = {"batch_size": [16], "epochs": [1, 3], "dropout": [0.2], "lr": [0.001, 1e-6]}
    searched = train_kinds([cells], MADE, KindClassifier.model_validate({**quick, "search": space}), tmp_path / "w")
    assert len(searched.search) == 4
    assert searched.metrics["best"] == {"batch_size": 16, "epochs": 3, "dropout": 0.2, "lr": 0.001}
    assert load_network(searched.model)(torch.zeros(1, 3, 32, 32)).shape == (1, 1)


def test_what_cannot_be_learnt_is_said(tmp_path: Path) -> None:
    cells = drawn(tmp_path / "cells", 8, 4)
    with pytest.raises(ValueError, match="two or three different"):
        KindClassifier(cutouts=("c",), kinds=("rbc", "rbc"))
    two = KindClassifier.model_validate({"name": "k", "cutouts": ["c"], **QUICK})
    with pytest.raises(ConfigurationError, match="fewer than 3 cutouts of wbc"):
        train_kinds([drawn(tmp_path / "red", 8, 4, ("rbc",))], MADE, two, tmp_path / "w")
    with pytest.raises(ConfigurationError, match="differ in size"):
        small = write_crops(tmp_path / "small", [], 16)
        train_kinds([cells, small], MADE, two, tmp_path / "w")
    table = cells.table.assign(official_split=None)
    with pytest.raises(ConfigurationError, match="parts train, val and test"):
        train_kinds(
            [CropSet(table, cells.crops, cells.masks)],
            MADE,
            two.model_copy(update={"split": "published"}),
            tmp_path / "w",
        )
    made = train_kinds([cells], MADE, two.model_copy(update={"split": "cutout"}), tmp_path / "w")
    other = write_crops(
        tmp_path / "other",
        [
            Crop(np.zeros((48, 48, 3), np.uint8), None, row)
            for row in cells.table.drop(columns="has_mask").to_dict("records")
        ],
        48,
    )
    with pytest.raises(ConfigurationError, match="do not fit"):
        train_kinds([other], MADE, two.model_copy(update={"split": "cutout"}), tmp_path / "w", made.model)
