"""Elmanna et al. 2024 and Gurav et al. 2025 in configuration: what the papers say is what is set."""

from __future__ import annotations

from typing import Any

import pytest

from blood_kedro.environments import config_loader
from blood_kedro.library.core.elmanna_2024 import SCANNER_OF_SLIDE
from blood_kedro.library.morphology.options import Classifier, Segmenter
from blood_kedro.library.overlap.options import OverlapClassifier
from blood_kedro.library.reporting import published_elmanna_2024
from blood_kedro.plan import build
from tests.conftest import PROJECT

ENVIRONMENTS = ("base", "laptop", "paper", "bccd")
TEST_SLIDES = tuple(f"slide_{slide:03d}" for slide in published_elmanna_2024.PER_SLIDE)


def load(environment: str) -> dict[str, Any]:
    return config_loader(PROJECT, environment)["parameters"]


def enabled(section: dict[str, Any]) -> dict[str, Any]:
    return {name: entry for name, entry in section.items() if entry.get("enabled", True)}


def test_both_stages_are_tested_on_the_slides_of_table_8() -> None:
    assert TEST_SLIDES == ("slide_004", "slide_005", "slide_006", "slide_013", "slide_016")
    assert {int(name[-3:]) for name in TEST_SLIDES} < set(SCANNER_OF_SLIDE)
    section = load("paper")["morphology"]
    unet = Segmenter(**section["segmenters"]["unet"])
    assert (unet.test_groups, unet.encoder, unet.first_weights.kind) == (TEST_SLIDES, "classic", "random")
    classifiers = {name: Classifier(**entry) for name, entry in enabled(section["classifiers"]).items()}
    assert {made.test_groups for made in classifiers.values() if made.split_by == "group"} == {TEST_SLIDES}
    alone = [made for made in classifiers.values() if made.split_by != "group"]
    assert [(made.name, made.masks_from) for made in alone] == [("efficientnet_b0_unseen_scanner", None)]


def test_training_is_that_of_section_4() -> None:
    section = load("paper")["morphology"]
    classifiers = [Classifier(**entry) for entry in enabled(section["classifiers"]).values()]
    for made in (Segmenter(**section["segmenters"]["unet"]), *classifiers):
        training = made.training
        assert (training.lr, training.batch_size, training.schedule) == (4e-4, 32, "plateau")
        assert (training.lr_factor, training.lr_patience, training.min_delta) == (0.1, 4, 1e-4)
        assert (training.stop_patience, training.cells_per_epoch) == (10, None)
    for made in classifiers:
        assert (made.augmented, made.rotation_deg, made.repeats, made.folds) == ("added", 36, 5, 2)
        assert made.first_weights.kind == "imagenet"
    assert {made.model for made in classifiers} == set(published_elmanna_2024.COMPARISON)
    variants = {(made.segmented, made.loss, made.masks) for made in classifiers if made.model == "efficientnet_b0"}
    assert {
        (False, "unweighted", "given"),
        (True, "class_weighted", "given"),
        (True, "unweighted", "predicted"),
    } < variants


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_segmenter_and_classifier_has_its_inputs(environment: str) -> None:
    """What the pipeline reads without making it are folders: of the published set, and those it writes into."""
    from blood_kedro.pipelines.rbc_morphology import create_pipeline

    parameters = load(environment)
    section = parameters["morphology"]
    cells, segmenters = enabled(section["cells"]), enabled(section["segmenters"])
    classifiers = enabled(section["classifiers"])
    for entry in (*segmenters.values(), *classifiers.values()):
        assert entry["source"] in cells
        assert (entry.get("masks_from") or "unet") in {*segmenters, "unet"}
    assert not classifiers or section["reference"] in classifiers
    free = {name for name in create_pipeline(build(parameters)).inputs() if not name.startswith("params:")}
    allowed = {f"{name}.work_folder" for name in (*segmenters, *classifiers)}
    allowed |= {f"{name}.raw_folder" for name, entry in cells.items() if entry["reader"] != "synthetic"}
    if any(entry["reader"] == "points" for entry in cells.values()):  # images with boxes: made by ingestion and merging
        allowed |= {"image_groups"}
        allowed |= {f"{name}.{part}" for name in cells for part in ("image_index", "raw_annotations")}
    assert free <= allowed


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_networks_of_gurav_2025_see_no_mirrored_crops(environment: str) -> None:
    for entry in load(environment)["overlap"]["classifiers"].values():
        study = OverlapClassifier(**entry)
        assert study.flips == (study.network == "counting"), study.name
