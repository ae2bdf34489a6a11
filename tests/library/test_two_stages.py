"""Segmentation, then classification (Elmanna et al. 2024): both are tested on slides that neither learnt from."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from blood_kedro.library.core.crop_set import CropSet
from blood_kedro.library.core.elmanna_2024 import SCANNER_OF_SLIDE
from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.model_bundle import ModelBundle, save_bundle
from blood_kedro.library.morphology import cross_validate
from blood_kedro.library.morphology.attention import attention_maps, chosen_cells
from blood_kedro.library.morphology.cross_validate import train_variant
from blood_kedro.library.morphology.networks import build_segmenter, load_segmenter
from blood_kedro.library.morphology.options import Segmenter
from blood_kedro.library.morphology.segment import complete_masks, train_segmenter
from blood_kedro.library.morphology.splits import FirstStage, runs, segmentation_split
from blood_kedro.library.morphology.unet import ClassicUnet
from blood_kedro.library.training.first_weights import FirstWeights
from blood_kedro.library.training.options import Training
from tests.library.test_morphology import small, toy_cells

PAPER = ("slide_004", "slide_005", "slide_006", "slide_013", "slide_016")
SHAPES = ("rounded_rbc", "ovalocyte", "teardrop")
QUICK = Training(epochs=1, batch_size=16)


@pytest.fixture
def table() -> pd.DataFrame:
    """25 slides of four scanners as in Table 2, six cells each."""
    rows = [
        {
            "group_id": f"elsafty/slide_{slide:03d}",
            "image_id": f"elsafty/slide_{slide:03d}/{k}",
            "slide": f"slide_{slide:03d}",
            "scanner": scanner,
            "shape": SHAPES[k % 3],
            "label": "rbc",
            "has_mask": True,
            "class": SHAPES[k % 3],
        }
        for slide, scanner in sorted(SCANNER_OF_SLIDE.items())
        for k in range(6)
    ]
    return pd.DataFrame(rows)


def groups_of(table: pd.DataFrame, rows: np.ndarray[Any, Any]) -> set[str]:
    return set(table["group_id"].to_numpy()[rows])


def stage(table: pd.DataFrame, **options: Any) -> FirstStage:
    """What a segmenter with these options would learn from and be tested on."""
    run = segmentation_split(table, Segmenter(source="elsafty", **options))
    parts = {name: sorted(groups_of(table, getattr(run, name))) for name in ("train", "val", "test")}
    return FirstStage.of(ModelBundle({}, {"groups": parts}))


def test_the_papers_test_slides_can_be_named(table: pd.DataFrame) -> None:
    segmented = segmentation_split(table, Segmenter(source="elsafty", test_groups=PAPER))
    made = runs(table, small(repeats=5, test_groups=PAPER))
    assert len(made) == 10
    for run in (segmented, *made):
        assert groups_of(table, run.test) == {f"elsafty/{name}" for name in PAPER}
        parts = [groups_of(table, part) for part in (run.train, run.val, run.test)]
        assert sum(map(len, parts)) == len(set().union(*parts)) == 25
    assert [len(groups_of(table, part)) for part in (segmented.train, segmented.val)] == [15, 5]  # section 4.2
    assert {len(groups_of(table, run.train)) for run in made} == {10}
    with pytest.raises(ConfigurationError, match=r"slide_099") as error:  # no name is passed over
        runs(table, small(test_groups=(*PAPER, "slide_099")))
    assert "elsafty/slide_001" in str(error.value)
    with pytest.raises(ConfigurationError, match="slide_099"):
        segmentation_split(table, Segmenter(source="elsafty", test_groups=(*PAPER, "slide_099")))
    with pytest.raises(ValidationError, match="test_groups must be empty"):
        small(split_by="scanner", test_groups=PAPER)


@pytest.mark.parametrize("seed", range(4))
def test_no_run_tests_on_a_slide_that_the_segmenter_learnt_from(table: pd.DataFrame, seed: int) -> None:
    first = stage(table, seed=seed)
    assert 18 <= len(first.learnt) <= 20
    made = runs(table, small(repeats=5, seed=seed + 1, masks_from="unet", masks="predicted"), first)
    assert len(made) == 10
    for run in made:
        assert groups_of(table, run.test) == set(first.test)
        assert not groups_of(table, run.test) & first.learnt


def test_what_cannot_be_split_for_both_stages_is_an_error(table: pd.DataFrame) -> None:
    first = stage(table, test_groups=PAPER)
    predicted: dict[str, Any] = {"masks_from": "unet", "masks": "predicted"}
    for options in (
        small(**predicted, test_groups=("slide_001", "slide_004")),
        small(**predicted, split_by="cell"),
        small(**predicted, split_by="scanner"),
    ):
        with pytest.raises(ConfigurationError, match="learnt from their slide") as error:
            runs(table, options, first)
        assert "elsafty/slide_004" in str(error.value)  # what may be tested on
    given = small(masks_from="unet", split_by="scanner")
    assert len(runs(table, given, first)) == 4  # all masks are given: the segmenter says nothing of a tested cell
    some = table.assign(has_mask=table.index % 7 != 0)
    with pytest.raises(ConfigurationError, match="learnt from their slide"):
        runs(some, given, first)
    everything = FirstStage(frozenset(table["group_id"]), ())
    with pytest.raises(ConfigurationError, match="no slide is left"):
        runs(table, small(**predicted), everything)
    elsewhere = FirstStage(frozenset(["ojaghi/HS1"]), ("ojaghi/HS2",))
    assert len(groups_of(table, runs(table, small(**predicted), elsewhere)[0].test)) > 1  # other slides altogether
    with pytest.raises(ConfigurationError, match="train the segmenter again"):
        FirstStage.of(ModelBundle({}, {}))
    with pytest.raises(ValidationError, match="needs segmented"):
        small(masks="predicted")


def test_parts_that_lack_a_class_or_scanner_are_named(table: pd.DataFrame) -> None:
    rare = table.copy()
    rare.loc[rare.index[:2], "class"] = "burr_cell"  # on slide 1 alone
    notes = runs(rare, small(test_groups=PAPER))[0].missing
    assert any("test holds no class burr_cell" in note for note in notes)
    assert any("test holds no scanner scanner_3" in note for note in notes)  # as the paper's test slides have it
    for run in runs(table, small(split_by="scanner")):
        assert not run.missing  # leaving a scanner out is what was chosen


def test_stages_composed_are_tested_on_the_same_slides_by_predicted_masks(tmp_path: Path) -> None:
    cells = toy_cells(tmp_path / "cells", per_class=10, slides=10)
    segmenter = train_segmenter(
        cells, Segmenter(name="unet", source="toy", resamples=5, training=QUICK), tmp_path / "unet"
    )
    parts = segmenter.model.config["groups"]
    assert sorted(sum(parts.values(), [])) == sorted(set(cells.table["group_id"]))
    save_bundle(segmenter.model, tmp_path / "model")
    start = FirstWeights(kind="checkpoint", path=str(tmp_path / "model"))
    with pytest.raises(ConfigurationError, match="first weights learnt from slides"):
        again = Segmenter(
            name="again", source="toy", first_weights=start, test_groups=(parts["train"][0],), training=QUICK
        )
        train_segmenter(cells, again, tmp_path / "again")
    options = small(masks_from="unet", masks="predicted", test_share=0.2, training=QUICK)
    made = train_variant(cells, segmenter.model, options, tmp_path / "w")
    assert made.predictions["run"].nunique() == 2
    assert set(made.predictions["group_id"]) == set(parts["test"]) == set(segmenter.metrics["test_groups"])
    shown = complete_masks(segmenter.model, cells, "predicted")
    assert (shown != np.asarray(cells.masks)).any()
    assert (complete_masks(segmenter.model, cells) == np.asarray(cells.masks)).all()
    chosen = chosen_cells(made.predictions, made.facts["classes"], made.model.config["run"], 2)
    seen, _ = attention_maps(made.model, cells, segmenter.model, chosen)
    row = list(cells.table["cell_id"]).index(chosen["cell_id"].iloc[0])
    assert (seen[0].any(axis=2) == (shown[row] & np.asarray(cells.crops[row]).any(axis=2))).all()
    run = made.facts["runs"][0]
    assert made.facts["shown_whole"] == shown.all(axis=(1, 2)).sum()
    assert run["device"] == "cpu"
    assert run["train_s"] == pytest.approx(made.history.loc[made.history["run"] == run["run"], "seconds"].sum())
    counted = Counter(zip(cells.table["shape"], cells.table["scanner"], strict=True))
    assert {(c, s): n for c, row in made.facts["distribution"].items() for s, n in row.items()} == counted


def test_class_weighted_variant_weighs_cells_and_is_stopped_by_the_unweighted_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = toy_cells(tmp_path / "cells", per_class=6)
    told: dict[str, Any] = {}

    def watched(_: nn.Module, loss: Any, train: Any, __: Any, ___: Any, **more: Any) -> None:
        told.update(loss=loss, train=train, **more)
        raise InterruptedError

    monkeypatch.setattr(cross_validate, "fit_supervised", watched)
    with pytest.raises(InterruptedError):
        train_variant(cells, None, small(loss="class_weighted", augmented="added"), tmp_path / "w")
    logits, wanted = torch.tensor([[3.0, 0.0, 0.0]]), torch.tensor([1])
    labels = told["train"].targets[told["train"].chosen]
    weight = len(labels) / (3 * (labels == 1).sum())  # equation 1
    plain = float(nn.functional.cross_entropy(logits, wanted))
    assert float(told["loss"](logits, wanted)) == pytest.approx(weight * plain)
    assert float(told["val_loss"](logits, wanted)) == pytest.approx(plain)
    assert len(told["train"]) == 2 * len(told["train"].chosen)


def test_classic_unet_is_ronnebergers() -> None:
    network = ClassicUnet()
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    weights = sum(p.numel() for m in convolutions for p in m.parameters())
    # 31,030,593 with one grey channel, as widely counted for it; colour adds two channels of 64 filters of 3x3.
    assert weights == 31_030_593 + 2 * 9 * 64
    assert sum(isinstance(m, nn.BatchNorm2d) for m in network.modules()) == 10  # two a level, on the way down
    assert network(torch.rand(2, 3, 80, 80)).shape == (2, 1, 80, 80)
    with pytest.raises(ConfigurationError, match="no ImageNet weights"):
        build_segmenter("classic", FirstWeights(kind="imagenet"))


def test_classic_unet_is_saved_served_and_loaded(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from blood_kedro.serving.cell_segmenter import ServedCellSegmenter

    torch.manual_seed(0)
    network, origin = build_segmenter("classic", FirstWeights())
    assert origin == "random weights"
    options = Segmenter(source="toy", encoder="classic").model_dump(mode="json")
    bundle = ModelBundle(network.state_dict(), {"segmenter": options})
    save_bundle(bundle, tmp_path / "model")
    crops = np.random.default_rng(0).integers(0, 255, (2, 40, 40, 3), dtype=np.uint8)  # no multiple of 16
    served = ServedCellSegmenter()
    served.load_context(SimpleNamespace(artifacts={"bundle": str(tmp_path / "model")}))  # type: ignore[arg-type]
    expected = load_segmenter(bundle)(torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255)[:, 0] > 0
    assert (served.predict(None, crops) == expected.numpy()).all()  # type: ignore[arg-type]


def test_classic_unet_learns_discs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same network, narrower, so that it is quick."""
    monkeypatch.setattr("blood_kedro.library.morphology.networks.ClassicUnet", lambda: ClassicUnet(width=8))
    cells = toy_cells(tmp_path / "cells", per_class=36)
    training = Training(epochs=8, batch_size=8, lr=2e-3)
    options = Segmenter(source="toy", encoder="classic", resamples=5, val_share=0.2, test_share=0.33, training=training)
    made = train_segmenter(cells, options, tmp_path / "work")
    assert made.metrics["iou"] > 0.8
    blind = CropSet(cells.table.assign(has_mask=False, mask_origin=None), cells.crops, np.zeros_like(cells.masks))
    assert (complete_masks(made.model, blind) == complete_masks(made.model, cells, "predicted")).all()
