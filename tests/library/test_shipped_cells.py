"""The shipped cell detector: what it is taught, how its answers are read, judged, stored and loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from blood_kedro.library.core.boxes import area, intersection, iou, overlapping_pairs
from blood_kedro.library.core.errors import BadInputError, ConfigurationError, DataContractError, UnsafeFileError
from blood_kedro.library.core.limits import SAME_CELL_IOU
from blood_kedro.library.core.model_bundle import WEIGHTS, ModelBundle, save_bundle
from blood_kedro.library.core.taxonomy import NOT_NAMED
from blood_kedro.library.detection.tiled import Detections
from blood_kedro.library.shipped.bundle import bundle_of, load_shipped
from blood_kedro.library.shipped.cell_detector import cells_of, detect_at, without_parts
from blood_kedro.library.shipped.cell_loss import around, cell_loss, goal_of
from blood_kedro.library.shipped.cell_options import CLASSES, STRIDE, CellCompute, CellJudging, CellRecipe, CellTraining
from blood_kedro.library.shipped.cell_scores import parts_of, score_laboratories
from blood_kedro.library.shipped.cell_windows import Windows
from blood_kedro.library.shipped.cells import CellDetector
from blood_kedro.library.shipped.centre_net import CentreNet, Maps
from blood_kedro.library.shipped.judge import JudgedClass, average_precision, interval, judge, precision_of
from blood_kedro.library.shipped.load import load
from blood_kedro.library.shipped.nucleated import with_nucleated
from blood_kedro.library.shipped.pictures import LabelledPicture, learnt_from
from blood_kedro.library.shipped.scale import find_scale
from blood_kedro.library.shipped.train_cells import train_cells
from blood_kedro.library.training.first_weights import FirstWeights

BOXES = np.array([[8.0, 12.0, 40.0, 44.0], [60.0, 20.0, 72.0, 34.0]])
LABELS = np.array([0, 2])
NOTHING = np.zeros((0, 4))
SMALL = CellRecipe(
    first_weights=FirstWeights(), channels=8, window_px=64, batch=1, steps=4, warmup=0.25, frozen_stages=0
)
OFTEN = CellCompute(checkpoint_every=2)


def picture(laboratory: str = "here", *, known: tuple[bool, bool, bool] = (True, True, True)) -> LabelledPicture:
    """Two cells, darker than the ground."""
    pixels = np.full((80, 96, 3), 220, np.uint8)
    for x0, y0, x1, y1 in BOXES.astype(int):
        pixels[y0:y1, x0:x1] = 90
    return LabelledPicture(
        f"{laboratory}/1", laboratory, "g", pixels, BOXES, LABELS, NOTHING, known, 1.0, judged=True, official_test=False
    )


class Disks:
    """Stands for a trained network: a red cell wherever the picture is dark, as wide as it was trained for."""

    def __init__(self, width_px: float = 32) -> None:
        self.width_px = width_px

    def __call__(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from scipy import ndimage

        n, _, height, width = pictures.shape
        middles = np.full((n, 3, height // STRIDE, width // STRIDE), -9.0, np.float32)
        sides = np.full((n, 3, 4, height // STRIDE, width // STRIDE), self.width_px / 2, np.float32)
        for k, one in enumerate(pictures):
            labels, count = ndimage.label(one.mean(axis=0) < 0.6)
            for window in ndimage.find_objects(labels, max_label=count):
                y, x = (int((s.start + s.stop) / 2 / STRIDE) for s in window)
                high, wide = (s.stop - s.start for s in window)
                # The surest where cells come at the width that it knows.
                middles[k, 0, y, x] = 3 - 6 * abs(float(np.log2(wide / self.width_px)))
                sides[k, 0, :, y, x] = [wide / 2, high / 2, wide / 2, high / 2]
        return middles, sides


def disks(width_px: int, pitch_px: int, side: int) -> np.ndarray:
    """A field of dark disks."""
    yy, xx = np.mgrid[:side, :side]
    centre = pitch_px // 2
    dark = np.hypot(yy % pitch_px - centre, xx % pitch_px - centre) < width_px / 2
    return np.where(dark[..., None], 90, 220).repeat(3, axis=2).astype(np.uint8)


def test_a_cell_is_taught_where_it_is() -> None:
    goal = goal_of(BOXES, LABELS, NOTHING, (True, True, True), (80, 96))
    assert goal.middles.sum() == 2
    assert goal.middles[0, 6, 6] == goal.bells[0, 6, 6] == 1  # middle at 24, 28 px
    assert goal.weight[0].sum() == pytest.approx(1)
    assert goal.weight[2].sum() == pytest.approx(1)
    assert not goal.bells[1].any()
    assert (goal.boxes[0][:, goal.weight[0] > 0] == BOXES[0][:, None]).all()


def test_what_is_not_labelled_counts_for_nothing() -> None:
    region = np.array([[40.0, 40.0, 80.0, 60.0]])
    goal = goal_of(BOXES, LABELS, region, (True, False, True), (80, 96))
    assert not goal.counted[1].any()
    assert not goal.counted[0, 10:15, 11:20].any()
    assert goal.counted[0, 6, 6] == 1


def test_the_right_answer_costs_least() -> None:
    goal = goal_of(BOXES, LABELS, NOTHING, (True, True, True), (80, 96))
    right = torch.from_numpy(np.where(goal.middles > 0, 8.0, -8.0).astype(np.float32))[None]
    places = around(torch.zeros(1, 3, 4, 20, 24))[0]
    wanted = torch.from_numpy(goal.boxes)
    exact = torch.cat([places[:, :2] - wanted[:, :2], wanted[:, 2:] - places[:, 2:]], 1)[None]
    good = cell_loss(Maps(right, exact), [goal], (1, 4, 3))
    bad = cell_loss(Maps(-right, exact + 20), [goal], (1, 4, 3))
    assert all(float(value) < 0.01 for value in good)
    assert float(bad[0]) > 1
    assert 0.5 < float(bad[1]) < 2  # 1 - GIoU


def test_boxes_come_back_in_px_of_the_picture() -> None:
    found = cells_of(Disks(), disks(64, 100, 300), zoom=0.5)
    assert len(found.boxes) == 9
    assert found.boxes[:, 2] - found.boxes[:, 0] == pytest.approx(64, abs=8)
    middles = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    assert sorted(middles.round(-1).tolist())[0] == pytest.approx([50, 50], abs=10)


def test_a_large_picture_is_read_tile_by_tile_and_counted_once() -> None:
    rgb = disks(32, 50, 1600)
    assert len(detect_at(Disks(), rgb, 1.0).scores) == 32**2


def test_the_scale_is_found_without_a_hint() -> None:
    for width in (22, 40, 90):
        found = find_scale(Disks(), disks(width, round(width * 1.6), 480), 32)
        assert found.cell_px == pytest.approx(width, rel=0.1), width
        assert 0 < found.confidence <= 1
    nothing = find_scale(Disks(), np.full((200, 200, 3), 220, np.uint8), 32)
    assert np.isnan(nothing.cell_px)
    assert nothing.confidence == 0


def test_a_lobe_is_no_cell_of_its_own() -> None:
    boxes = np.array([[0.0, 0, 100, 100], [10, 10, 40, 40], [95, 95, 130, 130], [2, 2, 98, 98]])
    kept = without_parts(Detections(boxes, np.array([2, 1, 1, 1]), np.array([0.9, 0.8, 0.7, 0.6])))
    assert kept.boxes.tolist() == boxes[[0, 2]].tolist()


def test_of_many_cells_the_same_lose_as_when_each_is_compared_with_each() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 600, (700, 2))
    boxes = np.concatenate([corners, corners + rng.choice([8.0, 30.0, 34.0, 80.0], (700, 1))], axis=1)
    boxes[0] = [0, 0, 600, 600]
    found = Detections(boxes, rng.integers(1, 4, 700), np.linspace(0.9, 0.1, 700))
    stays: list[int] = []
    for k in range(700):
        overlaps = iou(boxes[[k]], boxes)[0]
        inside = intersection(boxes[[k]], boxes)[0] / area(boxes[[k]])
        others = [j for j in stays if found.labels[j] != found.labels[k]]
        if not any(overlaps[j] > SAME_CELL_IOU or (inside[j] > 0.7 and found.labels[j] == 2) for j in others):
            stays.append(k)
    assert 100 < len(stays) < 690
    assert without_parts(found).boxes.tolist() == boxes[stays].tolist()
    rows, columns = overlapping_pairs(boxes)
    touching = np.argwhere((intersection(boxes, boxes) > 0) & ~np.eye(700, dtype=bool))
    assert {tuple(pair) for pair in touching.tolist()} <= set(zip(rows.tolist(), columns.tolist(), strict=True))
    assert len(overlapping_pairs(boxes[:0])[0]) == 0


def test_average_precision_and_counts_of_known_answers() -> None:
    truth = picture()
    perfect = Detections(BOXES, LABELS + 1, np.array([0.9, 0.8]))
    red = judge(truth, perfect, "rbc", 0.5)
    assert (red.cells, red.counted, red.whole) == (1, 1, 1)
    assert average_precision([red]) == pytest.approx(1)
    twice = Detections(np.array([BOXES[0], BOXES[0] + 3]), np.array([1, 1]), np.array([0.9, 0.8]))
    doubled = judge(truth, twice, "rbc", 0.5)
    assert doubled.right.tolist() == [True, False]
    assert (doubled.counted, doubled.whole) == (2, 0)
    half = JudgedClass("g", np.array([0.9]), np.array([True]), 2, 1, 1)
    assert average_precision([half]) == pytest.approx(51 / 101)
    assert np.isnan(average_precision([JudgedClass("g", np.zeros(0), np.zeros(0, bool), 0, 0, 0)]))


def test_intervals_are_over_groups() -> None:
    good, bad = (JudgedClass("", np.array([0.9]), np.array([right]), 1, 1, 1) for right in (True, False))
    one_group = [JudgedClass("a", *vars_of(good)), JudgedClass("a", *vars_of(bad))]
    low, high = interval(one_group, precision_of(one_group), 50, 0)
    assert np.isnan([low, high]).all()  # one group says nothing of others
    two_groups = [JudgedClass("a", *vars_of(good)), JudgedClass("b", *vars_of(bad))]
    assert interval(two_groups, precision_of(two_groups), 50, 0) == (0, 1)


def vars_of(each: JudgedClass) -> tuple:
    return each.scores, each.right, each.cells, each.counted, each.whole


def test_windows_depend_on_the_step_alone_and_carry_their_boxes() -> None:
    recipe = SMALL.model_copy(update={"jitter": None, "zoom": 0.0})
    pixels, goals = Windows([picture()], recipe)[3]
    again, _ = Windows([picture()], recipe)[3]
    other, _ = Windows([picture()], recipe)[4]
    assert (pixels == again).all()
    assert (pixels != other).any()
    for step in range(12):
        pixels, goals = Windows([picture()], recipe)[step]
        for _, y, x in np.argwhere(goals[0].middles > 0):
            assert (pixels[0][y * STRIDE + 1, x * STRIDE + 1] == 90).all(), step


def test_an_official_test_picture_and_a_left_out_laboratory_are_never_learnt_from() -> None:
    from dataclasses import replace

    pictures = [picture("a"), picture("b"), replace(picture("a"), official_test=True), picture("bccd_own")]
    assert [each.laboratory for each in learnt_from(pictures, frozenset("b"))] == ["a"]


def test_groups_of_every_laboratory_are_kept_from_a_training_and_judge_it_at_home() -> None:
    from dataclasses import replace

    here = [
        replace(picture(name), image_id=f"{name}/{k}", group_id=f"{name}/{k // 2}", judged=k % 5 > 0)
        for name in ("a", "b")
        for k in range(60)
    ]
    few = [replace(picture("c"), image_id=f"c/{k}", group_id="c/0") for k in range(9)]
    official = replace(picture("a_own"), image_id="a_own/1", group_id="a_own", official_test=True)
    judging = CellJudging(draws=5, limit=4)
    parts = parts_of([*here, *few], judging)
    groups = [{each.group_id for each in part} for part in (parts.train, parts.calibration, parts.test)]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    for part, share in ((parts.calibration, 0.1), (parts.test, 0.15)):
        assert all(each.judged for each in part)
        for name in ("a", "b"):
            assert len({each.group_id for each in part if each.laboratory == name}) == pytest.approx(30 * share, abs=1)
    assert sum(each.laboratory == "c" for each in parts.train) == 9  # too few groups to keep one
    assert not any(each.judged for each in parts.train if each.group_id in groups[1] | groups[2])
    config = {"name": "all", "left_out": [], "cell_px": 32, "thresholds": dict.fromkeys(CLASSES, 0.3)}
    config["test_pictures"] = [each.image_id for each in parts.test]
    scores, scales = score_laboratories(Disks(), [*here, *few, official], config, judging)
    assert set(scores["laboratory"]) == {"a", "b", "a_own"}
    assert not scores["unseen"].any()
    assert scores.groupby("laboratory")["pictures"].max().to_dict() == {"a": 4, "b": 4, "a_own": 1}
    scores, scales = score_laboratories(
        Disks(), [*here, *few], {**config, "left_out": ["b"], "test_pictures": []}, judging
    )
    assert scales["laboratory"].tolist() == ["b"]
    assert scores["unseen"].all()


def test_a_training_changes_what_it_says_of_the_recipe() -> None:
    made = CellTraining(name="x", changes={"zoom": 0, "jitter": None}).recipe_of(SMALL)
    assert made == SMALL.model_copy(update={"zoom": 0, "jitter": None})
    with pytest.raises(ValueError, match="extra"):
        CellTraining(name="x", changes={"zooom": 0}).recipe_of(SMALL)


def test_a_cell_of_a_heavy_class_weighs_as_much_as_several_light_ones() -> None:
    goal = goal_of(BOXES, LABELS, NOTHING, (True, True, True), (80, 96))
    missed = torch.full((1, 3, 20, 24), -8.0)
    missed[0, 0, 6, 6] = 8  # the red cell is found, the platelet is not
    maps = Maps(missed, torch.full((1, 3, 4, 20, 24), 16.0))
    equal, heavy = (float(cell_loss(maps, [goal], weights)[0]) for weights in ((1, 1, 1), (1, 4, 3)))
    assert heavy / equal == pytest.approx(3 * 2 / 4, rel=0.01)  # 3 of 4 parts of the labels, 1 of 2 before


def test_a_killed_training_ends_as_it_would_have(tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill(step: int, _row: dict[str, float]) -> None:
        if step == 2:
            raise KilledError

    whole, history = train_cells([picture()], SMALL, tmp_path / "a.pt", compute=OFTEN)
    with pytest.raises(KilledError):
        train_cells([picture()], SMALL, tmp_path / "b.pt", kill, OFTEN)
    resumed, again = train_cells([picture()], SMALL, tmp_path / "b.pt", compute=OFTEN)
    assert [row["step"] for row in history] == [row["step"] for row in again] == [2, 4]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    config = {
        "classes": list(CLASSES),
        "cell_px": 32,
        "recipe": {"channels": 8},
        "thresholds": dict.fromkeys(CLASSES, 0.3),
    }
    save_bundle(bundle_of(CentreNet(3, 8), config), folder / "cells")
    return folder


def test_a_shipped_model_comes_back_in_half_precision(shipped: Path) -> None:
    cells = load("cells", shipped)
    found = cells.predict(disks(32, 50, 128), cell_px=32)
    assert list(found.table().columns) == ["label", "score", "x_min_px", "y_min_px", "x_max_px", "y_max_px"]
    assert set(found.counts()) == set(CLASSES)
    assert load_shipped("cells", shipped).weights["merge.0.weight"].dtype == torch.float16
    assert load("scale", shipped).predict(np.full((90, 90, 3), 220, np.uint8)).confidence <= 1


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        ("unknown", ConfigurationError),
        ("weights", UnsafeFileError),
        ("nan", DataContractError),
        ("layer", DataContractError),
        ("classes", DataContractError),
    ],
)
def test_a_model_that_is_not_what_was_shipped_is_refused(
    shipped: Path, tmp_path: Path, broken: str, error: type[Exception]
) -> None:
    bundle = load_shipped("cells", shipped)
    network, config = CentreNet(3, 8), dict(bundle.config)
    network.load_state_dict({key: value.to(network.state_dict()[key].dtype) for key, value in bundle.weights.items()})
    if broken == "nan":
        network.middle.bias.data[:] = float("nan")
    if broken == "classes":
        config["classes"] = ["wbc", "rbc", "platelet"]
    made = bundle_of(network, config)
    if broken == "layer":
        made = bundle_of(nn.Linear(2, 2), config)
    save_bundle(made, tmp_path / "cells")
    if broken == "weights":
        data = bytearray((tmp_path / "cells" / WEIGHTS).read_bytes())
        data[-1] ^= 1
        (tmp_path / "cells" / WEIGHTS).write_bytes(bytes(data))
    with pytest.raises(error):
        load("nobody" if broken == "unknown" else "cells", tmp_path)


def test_what_is_no_picture_is_refused(shipped: Path) -> None:
    cells = CellDetector(ModelBundle(load_shipped("cells", shipped).weights, load_shipped("cells", shipped).config))
    for wrong in (np.zeros((10, 10), np.uint8), np.zeros((10, 10, 3), np.float32), np.zeros((0, 10, 3), np.uint8)):
        with pytest.raises(BadInputError):
            cells.predict(wrong)
    with pytest.raises(ConfigurationError):
        cells.predict(np.zeros((64, 64, 3), np.uint8), cell_px=-1)


def test_the_config_says_what_the_weights_are(shipped: Path) -> None:
    config = json.loads((shipped / "cells" / "config.json").read_text())
    assert len(config["weights_sha256"]) == 64
    assert config["commit"]


@pytest.mark.parametrize(("widths", "wanted"), [([36.0, 38.0, float("nan")], 37.0), ([36.0, 75.0], None), ([], None)])
def test_images_of_several_magnifications_are_not_counted_at_one(
    monkeypatch: pytest.MonkeyPatch, widths: list[float], wanted: float | None
) -> None:
    from types import SimpleNamespace

    from blood_kedro.library.shipped import detect_pictures

    smears = [
        SimpleNamespace(name=f"smear_{k}", grid=SimpleNamespace(places=[k]), read=lambda _place, width=width: width)
        for k, width in enumerate(widths or [float("nan")])
    ]
    answers = SimpleNamespace(predict=lambda width: SimpleNamespace(cell_px=width))
    monkeypatch.setattr(detect_pictures, "load", lambda _name: answers)
    if wanted is None:
        words = r"36 px wide in smear_0, 75 px in smear_1" if widths else "no red cell"
        with pytest.raises(BadInputError, match=words):
            detect_pictures.measured_width(smears)  # type: ignore[arg-type]
    else:
        assert detect_pictures.measured_width(smears) == wanted  # type: ignore[arg-type]


def test_found_cells_get_the_types_of_the_classifiers() -> None:
    from types import SimpleNamespace

    from blood_kedro.library.reporting.picture_pages import Picture, _classes, overlay
    from blood_kedro.library.shipped import detect_pictures
    from blood_kedro.library.shipped.cell_detector import FoundCells

    def names(kind: str) -> Any:
        def predict(_rgb: Any, boxes: Any, cell_px: float) -> pd.DataFrame:
            assert cell_px == 32
            return pd.DataFrame({"type": [f"{kind}_{int(x)}" for x in boxes[:, 0]], "sureness": 0.75})

        return SimpleNamespace(predict=predict)

    boxes = np.array([[0.0, 0, 30, 30], [40, 0, 90, 50], [60, 60, 66, 66], [1, 40, 31, 70]])
    found = FoundCells(boxes, ["rbc", "wbc", "platelet", "rbc"], np.full(4, 0.9), 32)
    rgb = np.full((96, 96, 3), 220, np.uint8)
    made = detect_pictures.types_of(rgb, found, names("white"), names("red"))
    assert made["type"] == ["red_0", "white_40", "platelet", "red_1"]
    assert np.nan_to_num(made["sureness"]).tolist() == [0.75, 0.75, 0, 0.75]
    many = FoundCells(
        np.tile(boxes[:1], (detect_pictures.MOST_SHAPES + 1, 1)),
        ["rbc"] * (detect_pictures.MOST_SHAPES + 1),
        np.ones(2001),
        32,
    )
    assert set(detect_pictures.types_of(rgb, many, names("white"), names("red"))["type"]) == {NOT_NAMED}
    nothing = detect_pictures.types_of(
        rgb, FoundCells(boxes[:0], [], np.zeros(0), float("nan")), names("white"), names("red")
    )
    assert nothing == {"type": [], "sureness": []}
    cells = found.table().assign(**made)
    assert _classes(cells) == [("rbc: red_0", 1), ("wbc: white_40", 1), ("platelet", 1), ("rbc: red_1", 1)]
    plain, typed = (overlay(Picture("p", rgb, 1.0), table) for table in (cells.drop(columns="type"), cells))
    assert (plain != typed).any()  # the type of the white cell is written


def test_names_and_notes_are_text_on_the_page_of_a_user(tmp_path: Path) -> None:
    from blood_kedro.library.reporting.picture_pages import Picture, write_own_report

    name = "<b>smear & <px>"
    rgb = np.full((40, 40, 3), 220, np.uint8)
    cells = pd.DataFrame(columns=["image", "label", "score", "x_min_px", "y_min_px", "x_max_px", "y_max_px"])
    counts = pd.DataFrame([{"image": name, "width_px": 40, "height_px": 40, "rbc": 0, "wbc": 0, "platelet": 0}])
    page = write_own_report(
        tmp_path / "own", "Cells", [Picture(name, rgb, 1.0)], cells, counts, ["say cell_px=<px>"], cells.iloc[:0]
    )
    text = (page / "index.html").read_text()
    assert "say cell_px=&lt;px&gt;" in text
    assert "&lt;b&gt;smear &amp; &lt;px&gt;" in text


def test_workers_change_nothing_but_the_time(tmp_path: Path) -> None:
    alone, _ = train_cells([picture()], SMALL, tmp_path / "a.pt")
    helped, _ = train_cells([picture()], SMALL, tmp_path / "b.pt", compute=CellCompute(accelerator="cpu", workers=2))
    for name, value in alone.state_dict().items():
        assert torch.equal(value, helped.state_dict()[name]), name


def test_a_finished_training_is_kept_small_and_not_trained_again(tmp_path: Path) -> None:
    made, history = train_cells([picture()], SMALL, tmp_path / "a.pt")
    kept = torch.load(tmp_path / "a.pt", weights_only=True)
    assert "optimizer" not in kept
    again, same = train_cells([picture()], SMALL, tmp_path / "a.pt")
    assert same == history
    for name, value in made.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def field_of(colours: list[tuple[int, int, int]], widths: list[int]) -> tuple[np.ndarray, Detections]:
    """Disks in a row on a light ground, all of them called red, surely."""
    rgb = np.full((60, 60 * len(colours), 3), (235, 230, 232), np.uint8)
    yy, xx = np.mgrid[:60, : rgb.shape[1]]
    boxes = []
    for k, (colour, width) in enumerate(zip(colours, widths, strict=True)):
        rgb[np.hypot(xx - 60 * k - 30, yy - 30) < width / 2] = colour
        boxes.append([60 * k + 30 - width / 2, 30 - width / 2, 60 * k + 30 + width / 2, 30 + width / 2])
    n = len(colours)
    return rgb, Detections(np.array(boxes), np.ones(n, np.int64), np.full(n, 0.8))


def test_a_cell_that_is_stained_as_a_nucleus_is_a_white_one() -> None:
    red, nucleus, shadow = (210, 160, 180), (90, 60, 170), (95, 80, 85)
    rgb, found = field_of([red, red, red, nucleus, shadow, nucleus, red], [44, 40, 44, 40, 44, 14, 44])
    # The shadow is grey; the fragment is too small to be judged by its colour.
    assert with_nucleated(found, rgb).labels.tolist() == [1, 1, 1, 2, 1, 1, 1]


def test_a_picture_of_few_red_cells_says_nothing_of_their_colour() -> None:
    rgb, found = field_of([(210, 160, 180), (90, 60, 170)], [40, 40])
    assert with_nucleated(found, rgb) is found
    nothing = Detections(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0))
    assert with_nucleated(nothing, rgb) is nothing
