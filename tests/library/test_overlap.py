"""Overlap from weak labels: measures on drawn cells, rules, label model, studies, scores, and every bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from blood_kedro.assembly.localizers import localizer
from blood_kedro.library.core.boxes import BOX_COLUMNS
from blood_kedro.library.core.crop_set import Crop, CropSet, write_crops
from blood_kedro.library.core.errors import ConfigurationError, DataContractError, WeightsNotFoundError
from blood_kedro.library.core.groups import Groups
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.schemas import Rejects, conform
from blood_kedro.library.overlap.by_eye import judged_boxes, true_cells
from blood_kedro.library.overlap.gather import Located, annotated, cut_red_cells, with_parts
from blood_kedro.library.overlap.label_model import combine, describe_rules, weak_labels
from blood_kedro.library.overlap.localizer import SourceImages
from blood_kedro.library.overlap.networks import build_network
from blood_kedro.library.overlap.options import Band, CropOptions, OverlapClassifier, RuleOptions
from blood_kedro.library.overlap.regions import measure_regions, otsu_area, segment_field
from blood_kedro.library.overlap.rules import ABSTAIN, OVERLAPPING, RULES, SINGLE, area_threshold, count_votes, votes
from blood_kedro.library.overlap.score import score_overlap_classifier
from blood_kedro.library.overlap.train_classifier import answer, split, targets, train_classifier
from blood_kedro.library.training.losses import class_weights
from blood_kedro.library.training.options import Training

CELL_PX = 40.0
OPTIONS = CropOptions(name="crops", source="drawn", cell_px=CELL_PX, workers=1)


def draw(centres: list[tuple[int, int]], size: tuple[int, int] = (300, 400), radius: int = 20) -> np.ndarray:
    """Pink discs on a light ground, RGB, with a little noise."""
    image = np.full((*size, 3), (228, 226, 222), np.uint8)
    for centre in centres:
        cv2.circle(image, centre, radius, (205, 130, 150), -1, cv2.LINE_AA)
    noise = np.random.default_rng(0).normal(0, 1.5, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


# Five cells on their own, a pair, a chain of three, and one that the left border cuts.
ALONE = [(60, 60), (150, 60), (240, 60), (330, 60), (60, 240)]
PAIR, CHAIN, CUT = [(150, 150), (182, 150)], [(260, 230), (292, 230), (324, 230)], (4, 150)
CENTRES = [*ALONE, *PAIR, *CHAIN, CUT]


def boxes_around(centres: list[tuple[int, int]], radius: float = 20) -> np.ndarray:
    points = np.array(centres, float)
    return np.concatenate([points - radius, points + radius], axis=1)


def test_regions_of_drawn_cells() -> None:
    field = segment_field(draw(CENTRES), CELL_PX)
    assert field.single_area_px2 == pytest.approx(np.pi * 20**2, rel=0.1)
    regions = measure_regions(field, boxes_around(CENTRES))
    alone, pair, chain, cut = regions[:5], regions[5:7], regions[7:10], regions[10]
    assert all(r.relative_area == pytest.approx(1, abs=0.1) and r.peaks == 1 for r in alone)
    assert all(r.concavity < 0.06 and r.ellipse_residual < 0.06 and r.neighbour_iou == 0 for r in alone)
    assert len({r.component for r in pair}) == len({r.component for r in chain}) == 1
    assert all(r.peaks == 2 and 1.6 < r.relative_area < 2 and r.concavity > 0.12 for r in pair)
    assert all(r.peaks == 3 and 2.3 < r.relative_area < 3 for r in chain)
    assert all(r.neighbour_iou > 0 for r in [*pair, *chain])
    assert cut.at_border
    assert not any(r.at_border for r in [*alone, *pair, *chain])


def test_a_box_without_a_cell_and_a_large_scale() -> None:
    large = cv2.resize(draw(CENTRES), None, fx=2.5, fy=2.5, interpolation=cv2.INTER_CUBIC)
    field = segment_field(large, 2.5 * CELL_PX)
    assert field.scale == pytest.approx(0.4)  # worked on at 40 px per cell
    empty, pair = measure_regions(field, 2.5 * np.array([[360.0, 130, 398, 168], [130, 130, 170, 170]]))
    assert (empty.component, empty.peaks) == (0, 0)
    assert np.isnan(empty.relative_area)
    assert pair.peaks == 2


def test_blank_image_has_no_cells() -> None:
    field = segment_field(np.full((80, 90, 3), 230, np.uint8), CELL_PX)
    (region,) = measure_regions(field, np.array([[10.0, 10, 50, 50]]))
    assert region.component == 0
    assert measure_regions(field, np.zeros((0, 4))) == []


def test_otsu_area_counts_dark_pixels_and_knows_no_constant_crop() -> None:
    crop = np.full((64, 64, 3), 220, np.uint8)
    assert np.isnan(otsu_area(crop))
    crop[:16] = 90
    assert otsu_area(crop) == 16 * 64


def measured(**columns: Any) -> pd.DataFrame:
    """A table of measures; what is not given is that of a single cell."""
    count = len(next(iter(columns.values())))
    usual = {
        "component": 1,
        "at_border": False,
        "otsu_area": 1500.0,
        "relative_area": 1.0,
        "neighbour_iou": 0.0,
        "concavity": 0.01,
        "peaks": 1,
        "ellipse_residual": 0.02,
        "solidity": 0.97,
        "true_cells": np.nan,
        "part": "train",
        **dict(zip(BOX_COLUMNS, (0.0, 0.0, 40.0, 40.0), strict=True)),
    }
    table = pd.DataFrame({name: columns.get(name, [value] * count) for name, value in usual.items()})
    table["cell_id"] = [f"i/{k}#1" for k in range(count)]
    table["image_id"] = table["group_id"] = [f"i/{k // 2}" for k in range(count)]
    return table


def test_rules_vote_and_abstain_as_documented() -> None:
    table = measured(
        relative_area=[1.0, 1.45, 2.0, 1.0, np.nan],
        at_border=[False, False, False, True, False],
        component=[1, 1, 1, 1, 0],
        peaks=[1, 1, 2, 1, 0],
        concavity=[0.0, 0.1, 0.3, 0.3, np.nan],
        neighbour_iou=[0.0, 0.01, 0.2, 0.0, 0.0],
        ellipse_residual=[0.0, 0.1, 0.3, 0.3, np.nan],
        otsu_area=[1000.0, 1500, 2000, 3000, np.nan],
    )
    said = votes(table, RuleOptions(), 1500.0)
    assert tuple(said.columns) == RULES
    assert said["otsu_area"].tolist() == [SINGLE, SINGLE, OVERLAPPING, OVERLAPPING, ABSTAIN]
    # What the border cuts may be larger than it looks: it is not called single.
    assert said["relative_area"].tolist() == [SINGLE, ABSTAIN, OVERLAPPING, ABSTAIN, ABSTAIN]
    assert said["neighbour_iou"].tolist() == [SINGLE, ABSTAIN, OVERLAPPING, SINGLE, SINGLE]
    assert said["concavity"].tolist() == [SINGLE, ABSTAIN, OVERLAPPING, ABSTAIN, ABSTAIN]
    assert said["peaks"].tolist() == [SINGLE, SINGLE, OVERLAPPING, SINGLE, ABSTAIN]
    assert said["ellipse"].tolist() == [SINGLE, ABSTAIN, OVERLAPPING, ABSTAIN, ABSTAIN]
    counts = count_votes(table)
    assert counts["relative_area"].tolist() == [1, 1, 2, ABSTAIN, ABSTAIN]
    assert counts["peaks"].tolist() == [1, 1, 2, 1, ABSTAIN]


def test_threshold_is_fixed_or_from_training_crops_alone() -> None:
    table = measured(otsu_area=[1000.0, 1010, 2000, 2010, 9000], part=["train"] * 4 + ["test"])
    assert 1010 <= area_threshold(table, RuleOptions()) < 2000
    assert area_threshold(table, RuleOptions(otsu_area_px2=77)) == 77
    assert area_threshold(measured(otsu_area=[5.0, 5.0]), RuleOptions()) == 5


def test_label_model_finds_the_truth_and_the_worth_of_each_rule() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 4000)
    said = pd.DataFrame(
        {
            name: np.where(rng.random(4000) < coverage, np.where(rng.random(4000) < right, truth, 1 - truth), ABSTAIN)
            for name, right, coverage in (("a", 0.95, 1.0), ("b", 0.8, 0.7), ("c", 0.85, 1.0), ("d", 0.7, 0.9))
        }
    )
    found, confusion = combine(said, [0, 1])
    assert ((found[:, 1] > 0.5) == truth).mean() > 0.95
    for name, right in (("a", 0.95), ("b", 0.8), ("c", 0.85), ("d", 0.7)):
        assert np.mean([confusion[name][k][k] for k in (0, 1)]) == pytest.approx(right, abs=0.04)


def test_crops_that_no_rule_speaks_of_have_no_label() -> None:
    table = measured(peaks=[1, 3, 0], component=[1, 1, 0], relative_area=[1.0, 3.1, np.nan])
    said = pd.DataFrame({"peaks": [0, 1, ABSTAIN], "relative_area": [0, 1, ABSTAIN]})
    labels, confusion = weak_labels(table, said, ("peaks", "relative_area"))
    assert labels["overlapping"].isna().tolist() == [False, False, True]
    assert labels.loc[1, "cells_3"] > 0.9
    assert labels.loc[:1].filter(like="cells_").sum(axis=1).tolist() == pytest.approx([1, 1])
    report = describe_rules(table.assign(true_cells=[1.0, 2, 1]), said, labels, confusion).set_index("rule")
    assert report.loc["peaks", "coverage"] == pytest.approx(2 / 3)
    assert (report.loc["peaks", "accuracy"], report.loc["peaks", "judged"]) == (1, 2)
    silent, _ = combine(pd.DataFrame({"a": [ABSTAIN]}), [0, 1])
    assert np.isnan(silent).all()


def located(path: str, centres: list[tuple[int, int]], labels: str = "rbc") -> Located:
    facts = {"source": "drawn", "image_id": f"drawn/{path}", "group_id": f"drawn/{path}", "part": "val"}
    names = [f"drawn/{path}#{k}" for k in range(len(centres))]
    return Located(path, facts, boxes_around(centres), names, [labels] * len(centres))


@pytest.mark.parametrize("window", ["box", "cells"])
def test_crops_masks_measures_and_rejects(tmp_path: Path, window: str) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), draw(CENTRES)[..., ::-1])
    (tmp_path / "bad.png").write_bytes(b"no image")
    outside = located("a.png", [*CENTRES, (-30, 10)])
    rejects, rows = RejectLog("drawn"), []
    options = OPTIONS.model_copy(update={"window": window})
    cells = write_crops(
        tmp_path / "cells", cut_red_cells(tmp_path, [outside, located("bad.png", [(5, 5)])], options, rejects, rows), 64
    )
    assert len(cells) == len(rows) == len(CENTRES)
    assert [row["cell_id"] for row in rows] == cells.table["cell_id"].tolist()
    assert {row["part"] for row in rows} == {"val"}
    assert {row["path"]: row["reason"] for row in rejects.rows}.keys() == {"a.png", "bad.png"}
    assert "box of" in rejects.rows[0]["reason"]
    assert len(conform(Rejects, rejects.rows)) == 2
    # The cell in the middle is in its mask; the pair shares one component.
    assert cells.masks[:, 32, 32].all()
    scale = 64 / (120 if window == "cells" else 41)
    assert cells.masks[0].sum() == pytest.approx(np.pi * (20 * scale) ** 2, rel=0.12)
    if window == "cells":
        assert cells.masks[5].sum() > 1.6 * cells.masks[0].sum()
        # Beyond the border lies background, not the cell drawn out.
        assert np.abs(cells.crops[10, 32, 5].astype(int) - (228, 226, 222)).max() < 12


def test_points_tell_how_many_cells_a_component_holds(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), draw(CENTRES)[..., ::-1])
    options = OPTIONS.model_copy(update={"truth": "points", "max_unlabelled_share": 0.2})
    rows: list[dict[str, Any]] = []
    list(cut_red_cells(tmp_path, [located("a.png", CENTRES)], options, RejectLog("drawn"), rows))
    assert [row["true_cells"] for row in rows] == [1] * 5 + [2] * 2 + [3] * 3 + [1]
    # With half of the cells unlabelled nobody knows who overlaps.
    rejects = RejectLog("drawn")
    assert not list(cut_red_cells(tmp_path, [located("a.png", CENTRES[:5])], options, rejects, []))
    assert "have no label" in rejects.rows[0]["reason"]


def test_points_become_boxes_and_other_cells_are_left_out() -> None:
    index = pd.DataFrame({"image_id": ["s/a", "s/b"], "source": "s", "path": ["a.png", "b.png"]})
    annotations = pd.DataFrame(
        {
            "annotation_id": ["s/a#1", "s/a#2", "s/a#3"],
            "image_id": "s/a",
            "label": ["teardrop", "wbc", "rbc"],
            "box_origin": ["point", "annotated", "annotated"],
            "ignore": [False, False, True],
            "x_min_px": 50.0,
            "y_min_px": 60.0,
            "x_max_px": 50.0,
            "y_max_px": 60.0,
        }
    )
    (found,) = annotated(index, annotations, Groups({"s/a": "group_7"}, {"group_7": "test"}), 40)
    assert found.boxes.tolist() == [[30, 40, 70, 80]]
    assert (found.names, found.labels, found.facts["group_id"]) == (["s/a#1"], ["teardrop"], "group_7")
    assert found.facts["part"] == "test"
    with pytest.raises(DataContractError, match="not in the table of groups"):
        annotated(index, annotations, Groups({"s/b": "group_8"}, {"group_8": "test"}), 40)


def test_no_crop_is_judged_whose_image_the_localizer_learnt_from() -> None:
    parts = ["train", "train", "val", "val", "test", "test", "test", "test"]
    table = measured(peaks=[1] * 8, part=parts)  # groups i/0 to i/3, two crops each
    assert with_parts(table, frozenset(), OPTIONS)["part"].tolist() == parts
    made = with_parts(table, frozenset({"i/1", "i/2"}), OPTIONS)
    assert made["part"].tolist() == ["train", "train", "val", "val", "train", "train", "test", "test"]
    with pytest.raises(ConfigurationError, match=r"no crop in part test[\s\S]*4 test crops whose images the localizer"):
        with_parts(table, frozenset({"i/2", "i/3"}), OPTIONS)
    with pytest.raises(ConfigurationError, match="no red cell"):
        with_parts(table.iloc[:0], frozenset(), OPTIONS)
    with pytest.raises(ConfigurationError, match="no crop in part val"):
        with_parts(table[table["part"] != "val"], frozenset(), OPTIONS)


def test_judged_boxes_find_their_crops() -> None:
    judged = judged_boxes()
    assert len(judged) == 240
    assert judged["image_id"].is_unique
    assert set(judged["overlapping"]) == set(judged["sure"]) == {0, 1}
    table = judged.iloc[:3].assign(x_min_px=judged["x_min_px"].iloc[:3] + 3)  # a box drawn a little otherwise
    assert true_cells(table).tolist() == (1.0 + judged["overlapping"].iloc[:3]).tolist()
    far = table.assign(x_min_px=table["x_min_px"] - 200)
    assert np.isnan(true_cells(far)).all()
    assert np.isnan(true_cells(table.assign(image_id="another"))).all()


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> tuple[CropSet, pd.DataFrame]:
    """160 crops of one or two discs; the label of every tenth is wrong."""
    rng = np.random.default_rng(1)
    made, several = [], rng.integers(0, 2, 160)
    for k, two in enumerate(several):
        shift = rng.integers(-3, 4, 2)
        centres = [(32 + shift[0], 32 + shift[1])] + ([(32 + shift[0] + 14, 32 + shift[1])] if two else [])
        image = draw([(int(x), int(y)) for x, y in centres], (64, 64), 10)
        facts = {"cell_id": f"c{k}", "source": "s", "image_id": f"i{k}", "group_id": f"i{k}", "label_raw": "rbc"}
        made.append(Crop(image, None, facts))
    cells = write_crops(tmp_path_factory.mktemp("crops") / "cells", made, 64)
    table = measured(peaks=list(several + 1), relative_area=list(several + 1.0))
    table["true_cells"] = several + 1.0
    table["part"] = ["train"] * 90 + ["val"] * 20 + ["test"] * 50
    return cells, table


def labels_of(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    said = votes(table, RuleOptions(), 1500.0)
    return said, weak_labels(table, said, ("peaks", "relative_area"))[0]


def test_counting_learns_from_probabilities_and_same_seed_same_answers(
    crops: tuple[CropSet, pd.DataFrame], tmp_path: Path
) -> None:
    cells, table = crops
    said, labels = labels_of(table)
    study = OverlapClassifier(
        name="s", crops="c", training=Training(epochs=6, batch_size=8, lr=1e-3, schedule="cosine")
    )
    model, answers, history = train_classifier(cells, table, said, labels, study, tmp_path / "a")
    assert len(history) == 6
    assert len(answers) == 50
    score = score_overlap_classifier(answers, True, 50, 0)
    assert score["against_truth"]["accuracy"] > 0.9
    assert score["against_truth"]["counting"]["exact"] > 0.9
    again = train_classifier(cells, table, said, labels, study, tmp_path / "b")[1]
    pd.testing.assert_frame_equal(answers, again)
    assert answer(model, np.zeros((0, 64, 64, 3), np.uint8)).empty
    one = answer(model, np.asarray(cells.crops[:1]))
    assert one.filter(like="p_").to_numpy().sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("network", ["base", "improved"])
def test_networks_of_gurav_2025_on_its_sample(
    crops: tuple[CropSet, pd.DataFrame], tmp_path: Path, network: Any
) -> None:
    cells, table = crops
    said, labels = labels_of(table)
    study = OverlapClassifier(
        name=network,
        crops="c",
        labels="peaks",
        network=network,
        sample="paper",
        noise=0.05,
        class_weighted=True,
        training=Training(epochs=2, batch_size=8),
    )
    model, answers, history = train_classifier(cells, table, said, labels, study, tmp_path)
    assert (model.config["train_crops"], len(answers), len(history)) == (28, 10, 2)
    trained_on = split(table, targets(said, labels, study), study).train
    assert not set(answers["cell_id"]) & set(table["cell_id"].iloc[trained_on])


@pytest.mark.parametrize(("network", "noise"), [("base", 0.0), ("improved", 0.05)])
def test_networks_of_gurav_2025_see_crops_as_they_are_or_noisy_and_never_mirrored(
    crops: tuple[CropSet, pd.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: Any, noise: float
) -> None:
    import torch

    from blood_kedro.library.overlap import train_classifier as module

    told: dict[str, Any] = {}

    def watched(_: Any, loss: Any, train: Any, __: Any, ___: Any, **more: Any) -> None:
        told.update(loss=loss, train=train, **more)
        raise InterruptedError

    monkeypatch.setattr(module, "fit_supervised", watched)
    cells, table = crops
    said, labels = labels_of(table)
    study = OverlapClassifier(name="s", crops="c", labels="peaks", network=network, noise=noise, class_weighted=True)
    with pytest.raises(InterruptedError):
        train_classifier(cells, table, said, labels, study, tmp_path)
    train = told["train"]
    apart = [float((train[(epoch, k)][0] - train[k][0]).abs().mean()) for epoch in range(4) for k in range(6)]
    assert max(apart) <= noise  # a mirrored crop of a clump would be further away
    assert min(apart) >= 0.5 * noise
    logits, wanted = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    plain = torch.nn.functional.cross_entropy(logits, wanted)
    assert torch.isclose(told["val_loss"](logits, wanted), plain)
    assert not torch.isclose(told["loss"](logits, wanted), plain)


def test_one_weak_class_or_too_few_crops_cannot_be_trained_on(
    crops: tuple[CropSet, pd.DataFrame], tmp_path: Path
) -> None:
    cells, table = crops
    lone = table.assign(peaks=1, relative_area=1.0)
    said, labels = labels_of(lone)
    with pytest.raises(ConfigurationError, match="same weak label"):
        train_classifier(cells, lone, said, labels, OverlapClassifier(name="s", crops="c", labels="peaks"), tmp_path)
    few = OverlapClassifier(name="s", crops="c", sample="paper", sample_size=(500, 10))
    with pytest.raises(ConfigurationError, match="too few labelled crops"):
        train_classifier(cells, table, *labels_of(table), few, tmp_path)
    silent = labels.assign(**dict.fromkeys(labels.columns, np.nan))
    with pytest.raises(ConfigurationError, match="no labelled crop in part train"):
        train_classifier(cells, lone, said, silent, OverlapClassifier(name="s", crops="c"), tmp_path)


def test_class_weights_and_networks() -> None:
    import torch

    wanted = torch.tensor([[1.0, 0], [1, 0], [1, 0], [0, 1]])
    assert class_weights(wanted.sum(dim=0), 4).tolist() == pytest.approx([4 / 6, 2.0])
    assert class_weights(torch.tensor([1.0, 0]), 1).tolist() == [0.5, 0]
    constant = torch.full((2, 3, 64, 64), 0.7)  # a constant crop is answered, not divided by zero
    for name, classes in (("base", 2), ("improved", 2), ("counting", 4)):
        found = build_network(name, 64).eval()(constant)  # type: ignore[arg-type]
        assert found.shape == (2, classes)
        assert torch.isfinite(found).all()


def answers_of(p: list[float], label: list[float], true: list[float]) -> pd.DataFrame:
    names = [f"i{k}" for k in range(len(p))]
    return pd.DataFrame({"group_id": names, "overlapping": p, "label": label, "true_cells": true})


def test_scores_have_known_values_and_a_verdict() -> None:
    true = [1.0, 1, 1, 1, 2, 2, 3, 2] * 10
    right = [float(t > 1) for t in true]
    wrong = [1 - r if k % 4 == 0 else r for k, r in enumerate(right)]
    better = score_overlap_classifier(answers_of(right, wrong, true), False, 200, 0)["against_truth"]
    assert (better["accuracy"], better["labels"]["accuracy"], better["gain"]) == (1, 0.75, 0.25)
    assert better["beats_labels"] == "yes"
    assert better["confusion"] == [[40, 0], [0, 40]]
    worse = score_overlap_classifier(answers_of(wrong, right, true), False, 200, 0)
    assert worse["against_truth"]["beats_labels"] == "no"
    assert worse["against_labels"]["accuracy"] == 0.75
    same = score_overlap_classifier(answers_of(right, right, true), False, 200, 0)["against_truth"]
    assert same["beats_labels"] == "undecided"
    low, high = same["interval_95"]["accuracy"]
    assert low == high == 1


def test_scores_without_truth_without_labels_and_without_overlaps() -> None:
    unknown = score_overlap_classifier(answers_of([0.1, 0.9], [0.0, 1.0], [np.nan] * 2), True, 10, 0)
    assert "against_truth" not in unknown
    none = score_overlap_classifier(answers_of([0.1, 0.2], [0.0, 0.0], [1.0, 1.0]), False, 10, 0)["against_truth"]
    assert none["accuracy"] == 1
    assert none["recall"] is None
    assert none["auc"] is None
    unlabelled = score_overlap_classifier(answers_of([0.1, 0.9], [np.nan, 1.0], [1.0, 2.0]), False, 10, 0)
    assert (unlabelled["test_crops"], unlabelled["against_labels"]["crops"]) == (2, 1)


def test_counting_is_scored_up_to_four_cells() -> None:
    table = answers_of([0.0, 1.0, 1.0], [0.0, 1.0, 1.0], [1.0, 7.0, 3.0])
    for k, shares in enumerate(([1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 1, 0]), start=1):
        table[f"p_cells_{k}"] = [float(v) for v in shares]
    counting = score_overlap_classifier(table, True, 10, 0)["against_truth"]["counting"]
    assert counting["confusion"] == [[1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    assert counting["exact"] == pytest.approx(2 / 3)
    assert counting["mean_absolute_error"] == pytest.approx(1 / 3)


def test_options_say_what_is_wrong() -> None:
    with pytest.raises(ValidationError, match="must not exceed"):
        Band(single=2, overlapping=1)
    with pytest.raises(ConfigurationError, match=r"detector cannot be used.*\n.*\n.*model: Field required"):
        localizer(CropOptions(source="s", cell_px=40, localizer="detector"))
    with pytest.raises(ConfigurationError, match=r"(?s)overlap.crops.c.localizer.*write detector"):
        localizer(CropOptions(name="c", source="s", cell_px=40, localizer="detectr"))


def test_localizers_without_their_model_say_what_to_do(tmp_path: Path) -> None:
    table = pd.DataFrame({"image_id": [], "source": [], "path": []})
    nothing = SourceImages(tmp_path, table, table, Groups({}, {}))
    detector = OPTIONS.model_copy(update={"localizer": "detector", "model": str(tmp_path / "none")})
    with pytest.raises(WeightsNotFoundError, match="no detector"):
        localizer(detector).locate(nothing, RejectLog("s"))
    yolo = OPTIONS.model_copy(update={"localizer": "yolov5n", "model": str(tmp_path / "none.pt")})
    with pytest.raises((ConfigurationError, WeightsNotFoundError), match=r"ultralytics|no weights"):
        localizer(yolo).locate(nothing, RejectLog("s"))


def test_a_detector_of_this_project_localizes(tmp_path: Path) -> None:
    from blood_kedro.library.core.model_bundle import save_bundle
    from tests.fixtures.corpora import tiny_detector

    made = tiny_detector()
    made.config["learnt_from"] = ["s/a", "of_another_corpus/x"]
    save_bundle(made, tmp_path / "model")
    cv2.imwrite(str(tmp_path / "a.png"), draw(CENTRES)[..., ::-1])
    (tmp_path / "bad.png").write_bytes(b"no image")
    index = pd.DataFrame({"image_id": ["s/a", "s/b"], "source": "s", "path": ["a.png", "bad.png"]})
    options = OPTIONS.model_copy(
        update={"localizer": "detector", "model": str(tmp_path / "model"), "score_threshold": 0.01}
    )
    rejects = RejectLog("s")
    groups = Groups({"s/a": "s/a", "s/b": "s/b"}, {"s/a": "test", "s/b": "val"})
    (found,) = localizer(options).locate(SourceImages(tmp_path, index, index, groups), rejects)
    assert found.facts["part"] == "test"
    assert localizer(options).learnt_from(groups) == {"s/a"}
    assert localizer(OPTIONS).learnt_from(groups) == frozenset()
    assert found.boxes.shape[1] == 4
    assert len(found.names) == len(set(found.names)) == len(found.boxes)
    assert rejects.rows[0]["path"] == "bad.png"
