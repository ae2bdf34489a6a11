"""The whole of `kedro run` in `base`: results, tracking, models."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from blood_kedro.library.core.crop_set import read_crops
from blood_kedro.library.core.model_bundle import load_bundle
from blood_kedro.library.morphology.networks import load_segmenter
from blood_kedro.library.morphology.segment import predict_masks
from tests.conftest import PROJECT, copy_project
from tests.pipelines.runs import environment, kedro_run, runs_of, summary_of

pytestmark = pytest.mark.slow


def test_results_are_complete_and_agree(demo: Path) -> None:
    summary = summary_of(demo)
    assert set(summary) == {"run", "sources", "unified", "regimens", "morphology", "overlap", "counting"}
    morphology = summary["morphology"]
    assert set(morphology) == {"segmentation", "classification", "comparison", "per_slide"}
    assert 0 <= morphology["segmentation"]["unet"]["iou"] <= 1
    assert set(morphology["comparison"]) == {"efficientnet_lite0", "mobilenet_v3_small"}
    assert morphology["comparison"]["mobilenet_v3_small"]["parameters_m"] == pytest.approx(0.932, abs=0.001)
    overlap = summary["overlap"]
    assert set(overlap) == {"labels", "overlap_base", "overlap_improved", "overlap_counting"}
    assert overlap["labels"]["overlap_cells"]["single"] > overlap["labels"]["overlap_cells"]["overlapping"] > 0
    assert overlap["overlap_base"]["against_labels"]["crops"] == 6
    assert overlap["overlap_counting"]["against_truth"]["beats_labels"] in {"yes", "no", "undecided"}
    counting = summary["counting"]
    assert set(counting) == {"classification", "count_synthetic"}
    assert counting["count_synthetic"]["smears"] == 12
    held_out = counting["count_synthetic"]["held_out"]
    assert held_out["images"] + held_out["left_out"] == 12
    assert set(held_out["parts"]) == {"test"}
    assert counting["count_synthetic"]["errors"]["rbc"]["images"] == held_out["images"]
    assert abs(counting["count_synthetic"]["errors"]["rbc"]["sum_error_percent"]) < 15
    assert summary["run"]["env"] == "base"
    assert summary["sources"]["synthetic"]["images"] == 12
    assert set(summary["regimens"]) == {"regimen_1", "regimen_2"}
    for name, regimen in summary["regimens"].items():
        assert regimen["epochs"] == len(regimen["train_loss"]) == len(regimen["val_loss"]) == 1
        assert regimen["seconds_per_epoch"] > 0
        saved = json.loads((demo / f"data/08_reporting/{name}/metrics.json").read_text())
        assert saved["map_50"] == regimen["map_50"]
        errors, objects = regimen["analysis"]["errors"], saved["analysis"]["objects"]
        assert errors["missed"] + errors["correct"] == objects == saved["objects"]
    assert "ImageNet" in summary["regimens"]["regimen_2"]["weights_origin"]
    assert summary["unified"]["groups_crossing_splits"] == 0


def test_saved_metrics_are_those_of_the_saved_predictions(demo: Path) -> None:
    from blood_kedro.library.evaluation.coco_metrics import detection_metrics

    truth = json.loads((demo / "data/05_model_input/unified/coco_val.json").read_text())
    results = json.loads((demo / "data/07_model_output/regimen_1/coco_results.json").read_text())
    again = detection_metrics(truth, results, resamples=0, seed=0)
    assert again["map"] == summary_of(demo)["regimens"]["regimen_1"]["map"]


def test_report_is_self_contained_and_keeps_published_and_measured_apart(demo: Path) -> None:
    page = (demo / "data/08_reporting/report.html").read_text()
    without_scripts = re.sub(r"(?s)<script.*?</script>", "", page)
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", without_scripts)
    assert "<script src" not in page and 'src="http' not in without_scripts
    for title in (
        "Table I",
        "Table III",
        "Table IV",
        "Table V",
        "Tables VI and VII",
        "Figure 1",
        "Figure 2",
        "Figure 3",
        "Precision over recall",
        "Segmentation (Table 3",
        "Classification per class (Table 4",
        "Cells by class and scanner (Figure 3",
        "Tables 5 and 7",
        "P-values (Tables 6 and 7",
        "Table 8",
        "By source",
        "Rules that label without a person: overlap_cells",
        "Classifiers (Tables 1 to 3",
        "Settings tried, and the best ones (Tables 1 and 2",
        "Tables 3 and 4",
        "count_synthetic: counted cells, and their areas (as Figures 5 and 6",
    ):
        assert title in page
    assert '<td class="pub">0.2618</td>' in page
    assert len(re.findall("data:image/(?:png|webp);base64", without_scripts)) == 17  # one of them on the first screen
    assert page.count("data:text/csv;base64") == 6 + 2 + 2 + 1  # charts; confusions of detectors, shapes, kinds
    assert "as measured here" in page


def test_one_parent_and_one_child_per_regimen(demo: Path) -> None:
    runs = {run.info.run_name: run for run in runs_of(demo) if "mlflow.parentRunId" in run.data.tags}
    parents = [run for run in runs_of(demo) if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 1
    assert set(runs) == {
        *("regimen_1", "regimen_2", "unet", "efficientnet_lite0", "mobilenet_v3_small"),
        *("overlap_base", "overlap_improved", "overlap_counting"),
        *("cell_kinds", "count_synthetic"),
    }
    assert {run.info.status for run in runs_of(demo)} == {"FINISHED"}
    child = runs["regimen_1"]
    assert child.data.tags["mlflow.parentRunId"] == parents[0].info.run_id
    assert child.info.run_id == summary_of(demo)["regimens"]["regimen_1"]["mlflow_run_id"]
    assert child.data.params["optimizer.lr"] == "0.01"
    assert {"train_loss", "val_loss", "val_loss_classifier", "lr", "val_map", "val_coarse.map_50"} <= set(
        child.data.metrics
    )


def test_logged_model_is_pickle_free_and_predicts(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.chdir(demo)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    mlflow.set_tracking_uri(f"sqlite:///{demo / 'mlruns.db'}")
    run_id = summary_of(demo)["regimens"]["regimen_1"]["mlflow_run_id"]
    model = mlflow.pyfunc.load_model(f"runs:/{run_id}/model")
    assert model.metadata.signature is not None
    files = [path for path in demo.rglob("artifacts/**/*") if path.suffix in {".pkl", ".pickle", ".pt", ".pth", ".bin"}]
    assert not files
    table = model.predict(np.full((1, 64, 80, 3), 200, np.uint8))
    assert table.columns.tolist() == ["image", "label", "score", "x_min_px", "y_min_px", "x_max_px", "y_max_px"]
    large = model.predict(np.full((1, 2100, 80, 3), 200, np.uint8), params={"tile_px": 700})
    assert large.columns.tolist() == table.columns.tolist()
    with pytest.raises(mlflow.exceptions.MlflowException):
        model.predict(np.zeros((1, 64, 80, 3)))


def test_logged_models_of_single_cells_predict(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.chdir(demo)
    mlflow.set_tracking_uri(f"sqlite:///{demo / 'mlruns.db'}")
    runs = {run.info.run_name: run.info.run_id for run in runs_of(demo)}
    cells = read_crops(demo / "data/05_model_input/cells/synthetic")
    classifier = mlflow.pyfunc.load_model(f"runs:/{runs['efficientnet_lite0']}/model")
    table = classifier.predict(np.array(cells.crops[:5]))
    assert table.columns[:2].tolist() == ["label", "confidence"]
    shares = table.filter(like="p_")
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-4)
    assert table["label"].tolist() == [name.removeprefix("p_") for name in shares.idxmax(axis=1)]
    windows = read_crops(demo / "data/05_model_input/cells/overlap_cells")
    overlap = mlflow.pyfunc.load_model(f"runs:/{runs['overlap_counting']}/model").predict(np.array(windows.crops[:5]))
    assert overlap.columns.tolist() == ["overlapping", "p_cells_1", "p_cells_2", "p_cells_3", "p_cells_4"]
    assert np.allclose(overlap["overlapping"], 1 - overlap["p_cells_1"])
    segmenter = mlflow.pyfunc.load_model(f"runs:/{runs['unet']}/model")
    found = segmenter.predict(np.array(cells.crops[:5]))
    again = load_segmenter(load_bundle(demo / "data/06_models/unet"))
    assert (found == predict_masks(again, cells.crops, np.arange(5))).all()


def test_a_smear_of_ones_own_is_counted_with_the_trained_classifier(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    folder = copy_project(tmp_path / "project")
    field = next((demo / "data/01_raw/synthetic/images").glob("*.png"))
    settings = ("cell_px=38", "measure_scale=false", "segmenter=watershed", "classifier=cell_kinds")
    values = ",".join(f"sam_counting.inputs.own.{setting}" for setting in settings)
    own = ("--pipeline=sam_counting", f"--params=sam_counting.input={field},{values}")
    failed = kedro_run(folder, *own, check=False)
    assert failed.returncode != 0
    assert "there is no trained model" in failed.stderr + failed.stdout
    shutil.copytree(demo / "data/06_models/cell_kinds", folder / "data/06_models/cell_kinds")
    done = kedro_run(folder, *own)
    said = "Model cell_kinds, trained in environment base"
    page = (folder / "data/08_reporting/own_count/index.html").read_text()
    for text in (done.stdout, page):
        assert said in text
        assert "on generated smears only" in text
    (count,) = pd.read_csv(folder / "data/08_reporting/own_count/counts.csv").to_dict("records")
    known = pd.read_csv(demo / "data/08_reporting/count_synthetic/counts.csv").set_index("smear").loc[field.stem]
    assert (count["image"], count["rbc"], count["wbc"]) == (field.stem, known["rbc"], known["wbc"])
    assert (folder / f"data/08_reporting/own_count/masks/{field.stem}_labels.tif").is_file()
    assert not (folder / "data/02_intermediate/synthetic").exists()
    monkeypatch.chdir(demo)
    mlflow.set_tracking_uri(f"sqlite:///{demo / 'mlruns.db'}")
    runs = {run.info.run_name: run.info.run_id for run in runs_of(demo)}
    cutouts = read_crops(demo / "data/05_model_input/cells/cutouts_synthetic")
    table = mlflow.pyfunc.load_model(f"runs:/{runs['cell_kinds']}/model").predict(np.array(cutouts.crops[:5]))
    assert table.columns.tolist() == ["kind", "p_rbc", "p_wbc", "p_platelet"]


def test_a_study_repeats_continues_and_takes_over_what_was_trained_elsewhere(demo: Path, tmp_path: Path) -> None:
    """In one run on the demo's corpus: two seeds, a start from an MLflow run, and a folder from another machine."""
    from blood_kedro.library.detection import train_pack

    folder = tmp_path / "project"
    shutil.copytree(demo, folder)
    first = summary_of(demo)["regimens"]["regimen_1"]["mlflow_run_id"]
    recipe: dict[str, Any] = {
        "enabled": True,
        "epochs": 1,
        "batch_size": 2,
        "seed": 5,
        "augmentation": ["flip", "zoom"],
        "network": {
            "backbone": "resnet18_fpn",
            "norm": "group",
            "input_px": 192,
            "anchor_sizes_px": [8, 16, 32, 64, 128],
            "proposals_train": 300,
            "proposals_test": 200,
            "roi_samples": 64,
            "representation": 256,
            "fpn_channels": 128,
        },
    }
    # It goes on from the demo's detector, so it has the demo's network; the other machine's is smaller.
    same = {**recipe["network"], "backbone": "efficientnet_lite0_fpn", "norm": "batch"}
    start = {"kind": "run", "run": first}
    overlay: dict[str, Any] = {
        "evaluation": {"resamples": 5},
        "regimens": {
            "regimen_1": {"epochs": 1, "seeds": [1, 2]},
            "regimen_2": {"enabled": False},
            "continued": {**recipe, "name": "continued", "network": same, "first_weights": start},
            "elsewhere": {**recipe, "name": "elsewhere"},
        },
    }
    write = (folder / "conf/local/parameters.yml").write_text
    write(json.dumps(overlay))
    script = [sys.executable, str(PROJECT / "scripts/pack_detector.py"), str(tmp_path / "pack"), "elsewhere"]
    packed = subprocess.run(
        [*script, "--env=local"], cwd=folder, capture_output=True, text=True, env=environment(), check=False
    )
    assert packed.returncode == 0, packed.stderr[-2000:]
    assert train_pack.main([str(tmp_path / "pack"), "elsewhere", str(tmp_path / "out")]) == 0
    overlay["regimens"]["elsewhere"]["trained_in"] = str(tmp_path / "out")
    write(json.dumps(overlay))
    kedro_run(folder, "--pipelines=detection_training,reporting")
    regimens = summary_of(folder)["regimens"]
    assert set(regimens) == {"regimen_1_seed_1", "regimen_1_seed_2", "continued", "elsewhere"}
    one, two = (regimens[f"regimen_1_seed_{seed}"] for seed in (1, 2))
    assert one["repeats"] == two["repeats"] == "regimen_1"
    assert one["train_loss"] != two["train_loss"]
    assert first in regimens["continued"]["weights_origin"]
    saved = json.loads((folder / "data/07_model_output/elsewhere/coco_results.json").read_text())
    assert saved == json.loads((tmp_path / "out/coco_results_val.json").read_text())
    assert set(one["by_source"]) == {"synthetic"}
    children = {run.info.run_name: run for run in runs_of(folder)}
    assert children["elsewhere"].data.metrics["train_loss"] == pytest.approx(regimens["elsewhere"]["train_loss"][0])
    page = (folder / "data/08_reporting/report.html").read_text()
    assert "Repetitions" in page
    assert "flip, zoom" in page
    refused = kedro_run(
        folder, "--pipelines=detection_training", "--params=evaluation.split=test", "--tags=inference", check=False
    )
    assert "the split to score has no image" in refused.stdout + refused.stderr
