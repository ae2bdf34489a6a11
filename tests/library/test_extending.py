"""What docs/extending.md tells a stranger to write is run here, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from blood_kedro.assembly.crop_readers import CROP_READERS, crop_reader
from blood_kedro.assembly.localizers import LOCALIZERS, localizer
from blood_kedro.library.cells.options import CellOptions
from blood_kedro.library.cells.reader import SetToRead
from blood_kedro.library.core.crop_set import write_crops
from blood_kedro.library.core.errors import ConfigurationError, WeightsNotFoundError
from blood_kedro.library.core.groups import Groups
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.detection.backbones import DETECTOR_BACKBONES
from blood_kedro.library.detection.network import build_network
from blood_kedro.library.detection.options import Network
from blood_kedro.library.morphology.backbones import CLASSIFIER_BACKBONES
from blood_kedro.library.morphology.networks import build_classifier, load_classifier
from blood_kedro.library.morphology.options import Classifier
from blood_kedro.library.overlap.localizer import SourceImages
from blood_kedro.library.overlap.options import CropOptions
from blood_kedro.pipelines.overlap_weak_supervision.pipeline import create_pipeline as overlap
from blood_kedro.pipelines.rbc_morphology.pipeline import create_pipeline as morphology
from blood_kedro.plan import Plan

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


def example(title: str, names: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the block of this title defines, run after `names` were defined; a line of a registry is `line`."""
    (code,) = re.findall(rf'^```python title="{title}[^"]*"\n(.*?)^```', PAGE.read_text(), re.MULTILINE | re.DOTALL)
    # Annotations of an example stay text, as in the files that it is meant for.
    names = {"__name__": "example", **(names or {})}
    if code.startswith("{"):
        return {"line": eval(code, names)}
    exec(compile(code, str(PAGE), "exec"), names)
    return names


def test_a_crop_reader(tmp_path: Path) -> None:
    line = example("its line in CROP_READERS", example("a crop reader"))["line"]
    for shape, level in (("round", 90), ("long", 160)):
        (tmp_path / "raw" / shape).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "raw" / shape / "1.jpg"), np.full((40, 40, 3), level, np.uint8))
    (tmp_path / "raw/round/2.jpg").write_bytes(b"no picture")
    options = CellOptions(name="my_lab", reader="class_folders", reader_options={"pattern": "*.jpg"})
    rejects = RejectLog("my_lab")
    reader = crop_reader(options, {**CROP_READERS, **line})
    cells = write_crops(tmp_path / "cells", reader.read(SetToRead(tmp_path / "raw"), 32, 0, rejects), 32)
    assert cells.table["cell_id"].tolist() == ["my_lab/long/1", "my_lab/round/1"]
    assert cells.crops.shape == (2, 32, 32, 3)
    assert cells.crops[:, 16, 16, 0].tolist() == pytest.approx([160, 90], abs=2)
    assert [row["path"] for row in rejects.rows] == ["2.jpg"]
    wrong = options.model_copy(update={"reader_options": {"patern": "*.jpg"}})
    with pytest.raises(ConfigurationError, match="patern: Extra inputs are not permitted"):
        crop_reader(wrong, {**CROP_READERS, **line})


def test_pipelines_wire_what_a_new_choice_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CROP_READERS, "class_folders", example("a crop reader")["ClassFolders"])
    monkeypatch.setitem(LOCALIZERS, "dark_regions", example("a localizer")["DarkRegions"])
    source = {"my_lab": {"name": "my_lab", "adapter": "coco", "labels": {"cell": "rbc"}}}
    cells = {"my_lab": {"name": "my_lab", "reader": "class_folders"}}
    crops = {"name": "my_crops", "source": "my_lab", "cell_px": 30, "localizer": "dark_regions"}
    plan = Plan.model_validate({"sources": source, "morphology": {"cells": cells}, "overlap": {"crops": {"c": crops}}})
    assert "my_lab.raw_folder" in morphology(plan).inputs()
    assert "c.cells" in overlap(plan).outputs() | {each for node in overlap(plan).nodes for each in node.outputs}
    assert plan.needed_sets == []
    for name, value in (("localizer", "drak_regions"), ("localizer_options", {"levle": 3})):
        wrong = plan.model_copy(update={"overlap": plan.overlap.model_copy(
            update={"crops": {"c": CropOptions.model_validate({**crops, name: value})}})})  # fmt: skip
        with pytest.raises(ConfigurationError, match=r"dark_regions|levle"):
            overlap(wrong)


def test_a_localizer(tmp_path: Path) -> None:
    line = example("its line in LOCALIZERS", example("a localizer"))["line"]
    field = np.full((100, 120, 3), 230, np.uint8)
    cv2.rectangle(field, (20, 30), (49, 59), (150, 120, 140), -1)
    cv2.imwrite(str(tmp_path / "field.png"), field)
    index = pd.DataFrame({"image_id": ["s/field"], "source": "s", "path": ["field.png"]})
    images = SourceImages(tmp_path, index, index, Groups({"s/field": "s/field"}, {"s/field": "train"}))
    options = CropOptions(
        name="my_crops", source="s", cell_px=30, localizer="dark_regions", localizer_options={"level": 200}
    )
    (found,) = localizer(options, {**LOCALIZERS, **line}).locate(images, RejectLog("s"))
    assert found.boxes.tolist() == [[20, 30, 50, 60]]


def test_a_network_of_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    for registry, name in ((CLASSIFIER_BACKBONES, "resnet10"), (DETECTOR_BACKBONES, "resnet10_fpn")):
        monkeypatch.setitem(registry, name, None)  # removed again after the test
    example("a network of timm")
    options = Classifier(source="s", model="resnet10")
    network = build_classifier(options.model, 3)
    bundle = ModelBundle(
        network.state_dict(), {"classifier": options.model_dump(mode="json"), "classes": ["a", "b", "c"]}
    )
    images = torch.rand(2, 3, 40, 40)
    assert torch.equal(load_classifier(bundle)(images), network.eval()(images))
    detector = build_network(Network(backbone="resnet10_fpn", input_px=64, fpn_channels=16, representation=16), 3)
    assert len(detector.eval()(list(images))) == 2

    def unreachable(*_: object, **given: object) -> None:
        raise OSError(f"no route, pretrained={given['pretrained']}")

    monkeypatch.setattr("timm.create_model", unreachable)
    with pytest.raises(WeightsNotFoundError, match=r"(?s)weights of resnet10t cannot.*pretrained=True"):
        DETECTOR_BACKBONES["resnet10_fpn"].imagenet(lambda _: {})


def test_a_name_that_stands_for_nothing_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)morphology.cells.c.reader.*elsaftyy.*write elsafty"):
        crop_reader(CellOptions(name="c", reader="elsaftyy"))
    with pytest.raises(ValueError, match="no backbone resnet9_fpn"):
        Network(backbone="resnet9_fpn")
    with pytest.raises(ValueError, match="no resnet9"):
        Classifier(source="s", model="resnet9")
