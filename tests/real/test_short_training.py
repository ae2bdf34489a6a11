"""Every pipeline on every real source, cut to a few images each: a file of its own, since it takes minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import copy_project
from tests.pipelines.runs import QUICK, kedro_run, summary_of

pytestmark = pytest.mark.slow


@pytest.mark.timeout(1600)  # every pipeline on every source: minutes on two quiet cores, more on busy ones
def test_short_training_on_every_real_source(shared_data: Path, tmp_path: Path) -> None:
    """All pipelines with all sources, cut to a few images each."""
    folder = copy_project(tmp_path / "project")
    cut = ",".join(
        [
            QUICK,
            *(f"sources.{name}.limit=24" for name in ("bccd", "chula", "pbc")),
            *(f"regimens.{r}.images_per_epoch=8,regimens.{r}.val_loss_images=4" for r in ("regimen_1", "regimen_2")),
            "morphology.cells.chula.per_class=40",
            "morphology.classifiers.chula_by_group.training.epochs=1",
            "morphology.classifiers.chula_by_group.folds=3",
            "morphology.cells.ojaghi.enabled=true",
            "morphology.cells.ojaghi.per_class=400",
            "morphology.segmenters.unet_sam.enabled=true",
            "morphology.segmenters.unet_sam.training.epochs=1",
            "morphology.segmenters.unet_sam.training.cells_per_epoch=320",
            # A cosine over one epoch ends before it has begun.
            "morphology.segmenters.unet_sam.training.lr=0.0004,morphology.segmenters.unet_sam.training.schedule=plateau",
            "overlap.classifiers.overlap_improved_all.training.epochs=1",
            *(
                f"overlap.classifiers.overlap_counting_{name}.training.{few}"
                for name in ("bccd", "chula")
                for few in ("epochs=1", "cells_per_epoch=400")
            ),
            *(f"sam_counting.cutouts.cutouts_{name}.red_cells=300" for name in ("bccd", "pbc")),
            "sam_counting.classifiers.cell_kinds.search.epochs=[1]",
        ]
    )
    kedro_run(folder, "--env=laptop", "--params", cut, raw=shared_data)
    summary = summary_of(folder, "data/laptop")
    assert set(summary["sources"]) == {"bccd", "chula", "pbc"}
    assert summary["unified"]["images"] >= 70
    assert {"map", "map_50", "ap_50_per_class", "map_50_coarse"} <= set(summary["regimens"]["regimen_2"])
    segmented = summary["morphology"]["segmentation"]["unet_sam"]
    assert segmented["test_cells"] > 80  # of the second smear
    assert segmented["iou"] > 0.5  # after ten steps
    assert summary["morphology"]["classification"]["chula_by_group"]["test_cells"] > 20
    overlap = summary["overlap"]
    assert {"overlap_bccd_boxes", "overlap_bccd", "overlap_chula"} <= set(overlap["labels"])
    assert overlap["overlap_improved"]["against_labels"]["crops"] == 10
    assert overlap["overlap_counting_chula"]["against_truth"]["crops"] > 100
