"""Training away from home: packs, folders that resume, several processes, and taking the result over."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from blood_kedro.library.core.errors import ConfigurationError, DataContractError, UnsafeFileError
from blood_kedro.library.detection import train_pack
from blood_kedro.library.detection.fit import fit
from blood_kedro.library.detection.launch import fit_in_processes
from blood_kedro.library.detection.options import CopyPaste
from blood_kedro.library.detection.pack import pack_data, pack_regimen, read_pack
from blood_kedro.library.detection.taken_over import take_over, taken_predictions
from blood_kedro.library.smears.patches import simulated_patches
from blood_kedro.library.training.first_weights import FirstWeights
from tests.fixtures.corpora import TINY, tiny_corpus, tiny_regimen

ROOT = Path(__file__).parents[2]

# What a node of a cluster need not have.
ABSENT = (
    "kedro",
    "kedro_mlflow",
    "mlflow",
    "pydantic",
    "cv2",
    "skimage",
    "sklearn",
    "safetensors",
    "pandera",
    "imagehash",
    "joblib",
)


@pytest.fixture
def packed(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A pack of the tiny corpus with the regimen `tiny`, and the corpus."""
    coco = tiny_corpus(tmp_path / "images")
    pack_data(tmp_path / "pack", {"train": coco, "val": coco, "test": {**coco, "images": []}}, tmp_path / "images")
    pack_regimen(tmp_path / "pack", tiny_regimen())
    return tmp_path / "pack", coco


def test_a_node_without_kedro_trains_to_the_same_weights_and_is_taken_over(packed: Any, tmp_path: Path) -> None:
    """Another process that cannot import what a bare node has not: rare cells are pasted, weights loaded, all alike."""
    pack, coco = packed
    start = fit(tiny_regimen(epochs=1), coco, coco, tmp_path / "images", tmp_path / "w0").bundle
    recipe = tiny_regimen(
        name="rich",
        first_weights=FirstWeights(kind="simulated"),
        head_loss="focal",
        ignore_regions=True,
        copy_paste=CopyPaste(classes=("spherocyte",)),
        sampler="repeat_factor",
        augmentation=("flip", "zoom"),
    )
    cells = simulated_patches(["spherocyte"], 2, 6.0, seed=1)
    pack_regimen(pack, recipe, start, cells)
    cells = read_pack(pack, "rich").cutouts  # their absorbance is kept to 16 bits
    hide = f"import sys; sys.modules.update(dict.fromkeys({ABSENT!r}))"
    run = "import runpy; runpy.run_path(sys.argv[0], run_name='__main__')"
    arguments = [str(ROOT / "scripts/train_detector.py"), str(pack), "rich", str(tmp_path / "out")]
    script = f"{hide}; sys.argv = {arguments!r}; {run}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    taken = take_over(tmp_path / "out", recipe, coco, coco)
    direct = fit(recipe, coco, coco, tmp_path / "images", tmp_path / "w1", pretrained=start, cutouts=cells)
    for name, value in direct.bundle.weights.items():
        assert torch.equal(value, taken.bundle.weights[name]), name
    assert [row["val_loss"] for row in taken.history] == pytest.approx([row["val_loss"] for row in direct.history])
    results, speed = taken_predictions(tmp_path / "out", "val", taken.bundle.config)
    assert {r["image_id"] for r in results} <= {image["id"] for image in coco["images"]}
    assert speed > 0
    with pytest.raises(DataContractError, match="did not predict on test"):
        taken_predictions(tmp_path / "out", "test", taken.bundle.config)


def test_time_limit_leaves_a_checkpoint_and_the_next_call_goes_on(packed: Any, tmp_path: Path) -> None:
    pack, coco = packed
    whole = fit(tiny_regimen(epochs=3), coco, coco, tmp_path / "images", tmp_path / "w").bundle
    command = [str(pack), "tiny", str(tmp_path / "out"), "--set", "epochs=3", "--minutes", "0"]
    assert train_pack.main(command) == train_pack.UNFINISHED
    assert len(pd.read_csv(tmp_path / "out/history.csv")) == 1
    with pytest.raises(DataContractError, match="no finished training"):
        take_over(tmp_path / "out", tiny_regimen(epochs=3), coco, coco)
    assert train_pack.main(command) == train_pack.UNFINISHED
    assert train_pack.main(command[:-2]) == 0
    taken = take_over(tmp_path / "out", tiny_regimen(epochs=3), coco, coco)
    assert [row["epoch"] for row in taken.history] == [1, 2, 3]
    assert all(torch.equal(value, taken.bundle.weights[name]) for name, value in whole.weights.items())


def test_what_was_trained_otherwise_is_not_taken_over(packed: Any, tmp_path: Path) -> None:
    pack, coco = packed
    assert train_pack.main([str(pack), "tiny", str(tmp_path / "out"), "--set", "epochs=1", "optimizer.lr=0.002"]) == 0
    with pytest.raises(DataContractError, match="other options") as caught:
        take_over(tmp_path / "out", tiny_regimen(epochs=1), coco, coco)
    assert "'lr': 0.002" in caught.value.got
    # where it ran does not matter
    recipe = tiny_regimen(epochs=1, optimizer={"lr": 0.002}, compute={"workers": 3, "devices": 2})
    fewer = {**coco, "images": coco["images"][:4]}
    with pytest.raises(DataContractError, match="other data"):
        take_over(tmp_path / "out", recipe, fewer, coco)
    assert take_over(tmp_path / "out", recipe, coco, coco).bundle.config["trained_in"]["processes"] == 1
    (tmp_path / "out/weights.pt").write_bytes(pickle.dumps({"x": Path("x")}))
    with pytest.raises(UnsafeFileError):
        take_over(tmp_path / "out", recipe, coco, coco)


def test_mistakes_at_the_command_line(packed: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack, _ = packed
    for arguments, message in (
        ([str(pack), "nobody"], "no regimen 'nobody' in this pack"),
        ([str(tmp_path), "tiny"], "no tiny/regimen.json"),
        ([str(pack), "tiny", "--set", "optimizer.rate=1"], "optimizer.rate"),
    ):
        with pytest.raises(SystemExit) as caught:
            train_pack.main([*arguments[:2], str(tmp_path / "out"), *arguments[2:]])
        assert caught.value.code == 2
        assert message in capsys.readouterr().err


def test_two_processes_learn_as_one_with_the_same_global_batch(packed: Any, tmp_path: Path) -> None:
    """Anchors are sampled by chance in each process, so the losses agree to 2% and not to the bit."""
    _, coco = packed
    usual: dict[str, Any] = {
        "epochs": 3,
        "optimizer": {"lr": 0.001},
        "network": TINY.model_copy(update={"roi_samples": 256}),
    }
    one = fit(tiny_regimen(**usual), coco, coco, tmp_path / "images", tmp_path / "one")
    told: list[float] = []
    recipe = tiny_regimen(**usual, compute={"devices": 2, "strategy": "ddp"})
    two = fit_in_processes(
        recipe, coco, coco, tmp_path / "images", tmp_path / "two", on_epoch=lambda row: told.append(row["epoch"])
    )
    assert told == [1, 2, 3]
    assert two.bundle.config["trained_in"]["processes"] == 2
    for a, b in zip(one.history, two.history, strict=True):
        assert b["val_loss"] == pytest.approx(a["val_loss"], rel=0.02)
        assert b["train_loss"] == pytest.approx(a["train_loss"], rel=0.02)


def test_global_batch_must_divide_and_several_machines_are_started_by_hand(packed: Any, tmp_path: Path) -> None:
    _, coco = packed
    with pytest.raises(ValueError, match="multiple of 3"):
        tiny_regimen(compute={"devices": 3})
    with pytest.raises(ConfigurationError, match="several machines"):
        fit_in_processes(tiny_regimen(compute={"num_nodes": 2}), coco, coco, tmp_path / "images", tmp_path / "w")


def test_a_pack_is_complete_and_half_of_one_is_named(packed: Any) -> None:
    pack, coco = packed
    whole = read_pack(pack, "tiny")
    assert whole.coco["train"] == coco
    assert whole.regimen.recipe.network.input_px == 64
    assert sorted(path.name for path in (pack / "images").iterdir()) == sorted(i["file_name"] for i in coco["images"])
    assert json.loads((pack / "tiny/regimen.json").read_text()) == {
        "name": "tiny",
        "recipe": tiny_regimen().recipe.model_dump(mode="json"),
        "compute": tiny_regimen().compute.model_dump(mode="json"),
    }
    (pack / "coco_val.json").unlink()
    with pytest.raises(DataContractError, match=r"no coco_val\.json"):
        read_pack(pack, "tiny")
