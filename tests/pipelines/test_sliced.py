"""Pipelines sliced and run in memory: ingestion to COCO on a broken source and a generated one."""

from __future__ import annotations

from pathlib import Path

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner

from blood_kedro.datasets.folder import ImageFolderDataset
from blood_kedro.library.download.options import DownloadOptions
from blood_kedro.library.merging.options import MergingOptions
from blood_kedro.library.standardization.options import StandardizationOptions
from blood_kedro.pipelines import ingestion, merging, standardization
from blood_kedro.plan import build, written_out
from tests.fixtures.trees import Bccd

SMEARS = {
    "slides": 4,
    "fields_per_slide": 2,
    "width_px": 160,
    "height_px": 120,
    "cells_per_field": {"normal_rbc": 6, "platelet": 2},
}

PARAMETERS = {
    "seed": 1,
    "on_bad_input": "reject",
    "sources": {
        "synthetic": {"enabled": True, "adapter": "synthetic", "smears": SMEARS},
        "bccd": {"enabled": True, "adapter": "bccd"},
        "pbc": {"enabled": False, "adapter": "pbc"},
    },
}


@pytest.fixture
def catalog(tmp_path: Path) -> DataCatalog:
    parameters = written_out(PARAMETERS)
    sources = build(PARAMETERS).sources
    tree = Bccd(tmp_path / "raw")
    for n in range(4):
        tree.add(f"i{n}", [("RBC", 2, 3, 20, 30), ("Blob", 1, 1, 9, 9)], seed=n)
    folders = {
        "bccd.target_folder": tmp_path / "raw",
        "synthetic.target_folder": tmp_path / "smears",
        "synthetic.standardized_folder": tmp_path / "std/synthetic",
        "bccd.standardized_folder": tmp_path / "std/bccd",
        "unified_folder": tmp_path / "unified",
    }
    return DataCatalog(
        {name: ImageFolderDataset(filepath=str(path), must_exist=False) for name, path in folders.items()}
        | {
            "params:seed": MemoryDataset(1),
            "params:on_bad_input": MemoryDataset("reject"),
            "params:download": MemoryDataset(DownloadOptions()),
            "params:sources": MemoryDataset(parameters["sources"]),
            "params:sources.synthetic": MemoryDataset(sources["synthetic"]),
            "params:sources.synthetic.smears": MemoryDataset(SMEARS),
            "params:sources.bccd": MemoryDataset(sources["bccd"]),
            "params:sources.bccd.name": MemoryDataset("bccd"),
            "params:standardization": MemoryDataset(StandardizationOptions(workers=1, boxes="paper")),
            "params:standardization.target_px": MemoryDataset(512),
            "params:merging": MemoryDataset(MergingOptions(view="full", min_class_count=2, val_fraction=0.25)),
        }
    )


def test_from_files_to_coco(catalog: DataCatalog) -> None:
    plan = build(PARAMETERS)
    whole = sum((part.create_pipeline(plan) for part in (ingestion, standardization, merging)), Pipeline([]))
    wanted = {
        "coco_train",
        "coco_val",
        "unified_summary",
        "bccd.rejects",
        "bccd.ingestion_summary",
        "composition_table",
        "synthetic.simulated_truth",
    }
    for name in wanted:
        catalog[name] = MemoryDataset()
    SequentialRunner().run(whole, catalog)
    found = {name: catalog.load(name) for name in wanted}
    assert len(found["bccd.rejects"]) == 4
    summary = found["bccd.ingestion_summary"]
    assert (summary["annotations_found"], summary["annotations"], summary["rejected"]) == (8, 4, 4)
    assert found["unified_summary"]["images"] == 12
    assert found["unified_summary"]["groups_crossing_splits"] == 0
    table = found["composition_table"].set_index("source")
    assert table.loc["bccd"].tolist() == [4, 4]
    sides = [{i["image_id"] for i in found[f"coco_{split}"]["images"]} for split in ("train", "val")]
    assert not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == 12
    slides = [{i.split("_field")[0] for i in side if i.startswith("synthetic")} for side in sides]
    assert not slides[0] & slides[1]
    # what shows only as a sliver is an ignore region all the way
    slivers = (found["synthetic.simulated_truth"]["visible_share"] < 0.15).sum()
    crowd = [a for split in ("train", "val") for a in found[f"coco_{split}"]["annotations"] if a["iscrowd"]]
    assert len(crowd) == slivers > 0
