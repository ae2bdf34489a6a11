"""Records are written with results, and follow what rests on what through runs of single nodes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner

from blood_kedro.datasets.folder import ImageFolderDataset, ModelBundleDataset
from blood_kedro.datasets.json_file import JsonFileDataset
from blood_kedro.datasets.records import RecordsDataset
from blood_kedro.datasets.table import TableDataset
from blood_kedro.library.core.model_bundle import ModelBundle, load_bundle
from blood_kedro.library.core.records import Record, why_not
from blood_kedro.records import ResultRecords


def merge(raw: Path, pictures: int) -> tuple[pd.DataFrame, dict[str, Any]]:
    index = pd.DataFrame({"source": ["bccd"] * pictures, "image_id": [f"bccd/{k}" for k in range(pictures)]})
    return index, {"data_fingerprint": f"corpus of {pictures}"}


def train(index: pd.DataFrame, options: dict[str, Any]) -> ModelBundle:
    return ModelBundle({"weight": torch.full((2,), float(len(index)) + options["seed"])}, {})


def score(model: ModelBundle, index: pd.DataFrame, summary: dict[str, Any]) -> dict[str, Any]:
    return {"map": 0.5, **summary}


PIPELINE = Pipeline(
    [
        Node(merge, ["raw", "params:pictures"], ["unified_index", "unified_summary"], name="merge"),
        Node(train, ["unified_index", "params:options"], "regimen_1.model", name="train"),
        Node(score, ["regimen_1.model", "unified_index", "unified_summary"], "regimen_1.metrics", name="score"),
    ]
)


class Project:
    """A folder of results in which single nodes are run."""

    def __init__(self, folder: Path, environment: str = "base") -> None:
        self.folder, self.environment = folder, environment

    def run(self, *nodes: str, pictures: int = 3, **options: Any) -> None:
        root = self.folder / "data"
        catalog = DataCatalog(
            {
                "raw": ImageFolderDataset(filepath=str(self.folder), must_exist=False),
                "unified_index": TableDataset(filepath=str(root / "05_model_input/unified/index.parquet")),
                "unified_summary": JsonFileDataset(filepath=str(root / "05_model_input/unified/summary.json")),
                "regimen_1.model": ModelBundleDataset(filepath=str(root / "06_models/regimen_1")),
                "regimen_1.metrics": JsonFileDataset(filepath=str(root / "08_reporting/regimen_1/metrics.json")),
            }
        )
        catalog["params:pictures"], catalog["params:options"] = pictures, {"seed": 0, **options}
        hooks = _create_hook_manager()
        follower = ResultRecords()
        loader = {"globals": {"results_root": "data"}}
        follower.after_context_created(
            SimpleNamespace(project_path=self.folder, env=self.environment, config_loader=loader)
        )
        hooks.register(follower)
        SequentialRunner().run(PIPELINE.only_nodes(*nodes) if nodes else PIPELINE, catalog, hooks)

    @property
    def records(self) -> dict[str, Record]:
        return RecordsDataset(filepath=str(self.folder / "data")).load()

    def why_not(self, dataset: str = "regimen_1.metrics") -> str | None:
        return why_not(self.records.get(dataset), self.records, self.environment)


@pytest.fixture
def results(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_whole_run_belongs_together_and_says_what_it_rests_on(results: Project) -> None:
    results.run()
    assert set(results.records) == {"unified_index", "unified_summary", "regimen_1.model", "regimen_1.metrics"}
    assert results.why_not() is None
    record = results.records["regimen_1.metrics"]
    assert (record.node, record.environment, record.unknown) == ("score", "base", [])
    assert set(record.data) == {"unified_summary", "regimen_1.model"}
    assert record.data["unified_summary"][0].pictures == {"bccd": 3}


def test_making_the_same_again_changes_nothing(results: Project) -> None:
    results.run()
    results.run("merge")
    results.run("train")
    assert results.why_not() is None


def test_another_corpus_leaves_behind_what_was_measured_on_the_old_one(results: Project) -> None:
    results.run()
    results.run("merge", pictures=4)
    assert "the unified corpus" in str(results.why_not())
    assert "the unified corpus" in str(results.why_not("regimen_1.model"))


def test_a_model_of_the_old_corpus_that_is_scored_on_the_new_one_is_of_neither(results: Project) -> None:
    results.run()
    results.run("merge", pictures=4)
    results.run("score")
    assert "the unified corpus" in str(results.why_not())
    results.run("train")
    results.run("score")
    assert results.why_not() is None


def test_metrics_of_a_model_that_was_trained_again_are_not_its(results: Project) -> None:
    results.run()
    results.run("train", seed=1)
    assert "model regimen_1" in str(results.why_not())


def test_what_was_made_before_there_were_records_is_not_trusted(results: Project) -> None:
    results.run()
    for file in (results.folder / "data/05_model_input").rglob("*.json.json"):
        file.unlink()
    results.run("score")
    assert "unified_summary" in str(results.why_not())


def test_a_model_carries_its_record_into_another_environment(results: Project, tmp_path: Path) -> None:
    results.run()
    bundle = load_bundle(tmp_path / "data/06_models/regimen_1")
    assert bundle.record is not None
    assert bundle.record.environment == "base"
    results.environment = "laptop"
    results.run("score")
    assert results.records["regimen_1.metrics"].environment == "laptop"
    assert "environment base" in str(results.why_not("regimen_1.model"))


def test_a_start_from_a_model_folder_counts_as_data(results: Project, tmp_path: Path) -> None:
    results.run()
    results.run("train", weights={"path": str(tmp_path / "data/06_models/regimen_1")})
    assert set(results.records["regimen_1.model"].data) == {"unified_summary", "regimen_1.model"}
