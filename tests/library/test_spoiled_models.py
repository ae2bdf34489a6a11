"""Models and weights that are cut, damaged, foreign or changed: an error of ours each, and nothing is unpickled."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from blood_kedro.library.core.errors import BloodKedroError, DataContractError, UnsafeFileError, WeightsNotFoundError
from blood_kedro.library.core.hashing import sha256_of_file
from blood_kedro.library.core.model_bundle import (
    CONFIG,
    DIGEST,
    WEIGHTS,
    ModelBundle,
    load_bundle,
    load_config,
    save_bundle,
    signed,
)
from blood_kedro.library.core.weights import read_weights
from blood_kedro.library.counting.name.cell_types import build_network, load_network
from blood_kedro.library.detection.initialization import file_weights
from blood_kedro.library.detection.predict import load_detector
from blood_kedro.library.morphology.networks import load_classifier, load_segmenter
from blood_kedro.library.overlap.networks import load_network as load_overlap
from blood_kedro.library.shipped.bundle import load_shipped, models_folder
from blood_kedro.library.shipped.load import load
from blood_kedro.library.training.foundation import load_backbone

RAN: list[str] = []


class Bomb:
    """What runs when it is unpickled."""

    def __reduce__(self) -> Any:
        return RAN.append, ("ran",)


KINDS = {"kinds": ["rbc", "wbc", "platelet"], "side_px": 16, "cutout_cell_px": 10.0, "normalised": False}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_bundle(ModelBundle(build_network(3, 16, 0.0).state_dict(), dict(KINDS)), tmp_path / "model")
    return tmp_path / "model"


def use(folder: Path) -> torch.nn.Module:
    return load_network(load_bundle(folder))


def test_a_whole_model_is_loaded_and_others_may_read_it(model: Path) -> None:
    made = load_bundle(model)
    assert made.config == KINDS
    assert use(model)(torch.zeros(2, 3, 16, 16)).shape == (2, 3)
    assert {stat.S_IMODE(path.stat().st_mode) for path in model.iterdir()} == {0o666 & ~umask()}


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def rewritten(change: Callable[[dict[str, Any]], Any], *, keep_digest: bool = False) -> Callable[[Path], None]:
    """A config that somebody has edited; with `keep_digest` as somebody does who knows of the digest."""

    def spoil(folder: Path) -> None:
        config = json.loads((folder / CONFIG).read_text())
        change(config)
        (folder / CONFIG).write_text(json.dumps(signed(config) if keep_digest else config))

    return spoil


def reweighed(change: Callable[[dict[str, torch.Tensor]], Any], *, keep_digest: bool = True) -> Callable[[Path], None]:
    """Other weights, with the digests that fit them, so that what comes after the digest is tried."""

    def spoil(folder: Path) -> None:
        weights = load_file(folder / WEIGHTS)
        change(weights)
        save_file(weights, folder / WEIGHTS)
        if keep_digest:
            rewritten(lambda c: c.update({DIGEST: sha256_of_file(folder / WEIGHTS)}), keep_digest=True)(folder)

    return spoil


def cut(name: str, share: float) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * share)])

    return spoil


def put(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def instead(name: str, make: Callable[[Path], Any]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return spoil


def signed_pickle(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(pickle.dumps({"0.weight": Bomb()}))
    rewritten(lambda c: c.update({DIGEST: sha256_of_file(folder / WEIGHTS)}), keep_digest=True)(folder)


def first(weights: dict[str, torch.Tensor]) -> str:
    return sorted(weights)[0]


SPOILED: dict[str, tuple[Callable[[Path], None], type[BloodKedroError], str]] = {
    "no folder": (shutil.rmtree, DataContractError, "no trained model"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), DataContractError, "incomplete"),
    "no config": (lambda f: (f / CONFIG).unlink(), DataContractError, "incomplete"),
    "folder for weights": (instead(WEIGHTS, Path.mkdir), DataContractError, "incomplete"),
    "folder for config": (instead(CONFIG, Path.mkdir), DataContractError, "incomplete"),
    "pipe for weights": (instead(WEIGHTS, os.mkfifo), DataContractError, "incomplete"),
    "pipe for config": (instead(CONFIG, os.mkfifo), DataContractError, "incomplete"),
    "device for config": (instead(CONFIG, lambda p: p.symlink_to("/dev/zero")), DataContractError, "incomplete"),
    "empty weights": (put(WEIGHTS, b""), UnsafeFileError, "0 bytes"),
    "cut weights": (cut(WEIGHTS, 0.6), UnsafeFileError, "other ones than its config"),
    "cut header of weights": (cut(WEIGHTS, 0.001), UnsafeFileError, "other ones"),
    "zeros for weights": (put(WEIGHTS, bytes(1000)), UnsafeFileError, "other ones"),
    "pickle for weights": (put(WEIGHTS, pickle.dumps(Bomb())), UnsafeFileError, "other ones"),
    "pickle with its digest": (signed_pickle, DataContractError, "cannot be read"),
    "one weight changed": (
        reweighed(lambda w: w[first(w)].view(-1)[0].add_(1), keep_digest=False),
        UnsafeFileError,
        "other ones",
    ),
    "nan weights": (reweighed(lambda w: w[first(w)].view(-1)[0].fill_(float("nan"))), DataContractError, "no numbers"),
    "infinite weights": (reweighed(lambda w: w[first(w)].fill_(float("inf"))), DataContractError, "no numbers"),
    "layer missing": (reweighed(lambda w: w.pop(first(w))), DataContractError, "do not fit"),
    "layer unknown": (reweighed(lambda w: w.update({"more": torch.ones(1)})), DataContractError, "unknown more"),
    "layer renamed": (reweighed(lambda w: w.update({"x": w.pop(first(w))})), DataContractError, "do not fit"),
    "layer of another shape": (reweighed(lambda w: w.update({first(w): torch.ones(7)})), DataContractError, "(7,)"),
    "no layer": (reweighed(dict.clear), DataContractError, "tensors by name"),
    "empty config": (put(CONFIG, b""), DataContractError, "cannot be used"),
    "cut config": (cut(CONFIG, 0.5), DataContractError, "cannot be used"),
    "config is a list": (put(CONFIG, b"[1]"), DataContractError, "JSON object"),
    "config is no text": (put(CONFIG, b"\xff\xfe\x00"), DataContractError, "cannot be used"),
    "deep config": (put(CONFIG, b'{"a":' * 100_000), DataContractError, "cannot be used"),
    "long number": (put(CONFIG, b'{"a": ' + b"9" * 10_000 + b"}"), DataContractError, "cannot be used"),
    "no digest": (rewritten(lambda c: c.pop(DIGEST)), DataContractError, f"no {DIGEST}"),
    "digest of another type": (rewritten(lambda c: c.update({DIGEST: 3})), DataContractError, f"no {DIGEST}"),
    "classes in another order": (rewritten(lambda c: c["kinds"].reverse()), DataContractError, "than was saved"),
    "another option": (rewritten(lambda c: c.update(cutout_cell_px=20.0)), DataContractError, "than was saved"),
    "fewer classes": (rewritten(lambda c: c["kinds"].pop(), keep_digest=True), DataContractError, "do not fit"),
    "a class twice": (
        rewritten(lambda c: c.update(kinds=["rbc", "rbc", "wbc"]), keep_digest=True),
        DataContractError,
        "each once",
    ),
    "classes are a word": (rewritten(lambda c: c.update(kinds="rbc"), keep_digest=True), DataContractError, "names"),
    "unknown class": (
        rewritten(lambda c: c.update(kinds=["rbc", "wbc", "horse"]), keep_digest=True),
        DataContractError,
        "horse",
    ),
    "no classes": (rewritten(lambda c: c.pop("kinds"), keep_digest=True), DataContractError, "KeyError"),
    "side of another type": (
        rewritten(lambda c: c.update(side_px=[16]), keep_digest=True),
        DataContractError,
        "TypeError",
    ),
    "side below zero": (rewritten(lambda c: c.update(side_px=-8), keep_digest=True), DataContractError, "config.json"),
}


@pytest.mark.parametrize("kind", SPOILED)
def test_a_spoiled_model_is_refused_by_name(model: Path, kind: str) -> None:
    spoil, error, said = SPOILED[kind]
    spoil(model)
    with pytest.raises(error) as caught:
        use(model)
    assert said in str(caught.value)
    assert str(model) in caught.value.where
    assert caught.value.remedy
    assert RAN == []


def wrong_config(load: Callable[[ModelBundle], Any], config: dict[str, Any]) -> None:
    with pytest.raises(DataContractError, match=r"config\.json|says of itself"):
        load(ModelBundle({"a": torch.ones(1)}, config))


@pytest.mark.parametrize("load", [load_detector, load_classifier, load_segmenter, load_network, load_overlap])
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"classes": ["rbc"], "regimen": 3, "classifier": [], "segmenter": None, "kinds": ["rbc"], "study": "x"},
        {
            "classes": ["rbc"],
            "classifier": {"model": "nobody"},
            "segmenter": {"encoder": "resnet18"},
            "regimen": {"network": {"backbone": "nobody"}, "augmentation": "sahay_2025"},
            "study": {"network": "base"},
            "kinds": ["rbc"],
            "side_px": 16,
            "cutout_cell_px": 1.0,
            "normalised": True,
        },
    ],
    ids=["nothing", "other types", "unknown network or other weights"],
)
def test_what_describes_no_network_is_refused_by_every_loader(load: Callable[..., Any], config: dict[str, Any]) -> None:
    wrong_config(load, config)


@pytest.mark.parametrize("name", ["cells", "white_cells", "red_cell_shapes"])
def test_shipped_models_are_whole_and_refused_where_they_are_not(name: str, tmp_path: Path) -> None:
    shutil.copytree(models_folder() / name, tmp_path / name)
    assert load(name, tmp_path) is not None
    rewritten(lambda config: config["classes"].reverse())(tmp_path / name)
    with pytest.raises(DataContractError, match="than was saved"):
        load(name, tmp_path)
    rewritten(lambda config: config.pop("recipe"), keep_digest=True)(tmp_path / name)
    with pytest.raises(DataContractError):
        load(name, tmp_path)
    (tmp_path / name / WEIGHTS).write_bytes((tmp_path / name / WEIGHTS).read_bytes()[:-1])
    with pytest.raises(UnsafeFileError, match="other ones"):
        load_shipped(name, tmp_path)
    assert load_config(models_folder() / name)[DIGEST] == sha256_of_file(models_folder() / name / WEIGHTS)


def file_of(path: Path, state: Any) -> Path:
    torch.save(state, path)
    return path


FILES: dict[str, tuple[Callable[[Path], Any], type[BloodKedroError]]] = {
    "none": (lambda _: None, WeightsNotFoundError),
    "folder": (Path.mkdir, DataContractError),
    "pipe": (os.mkfifo, DataContractError),
    "empty": (Path.touch, DataContractError),
    "zeros": (lambda p: p.write_bytes(bytes(5000)), DataContractError),
    "text": (lambda p: p.write_bytes(b"hello there, this is a page"), DataContractError),
    "cut": (lambda p: p.write_bytes(file_of(p, {"a": torch.ones(99)}).read_bytes()[:400]), DataContractError),
    "pickle": (lambda p: p.write_bytes(pickle.dumps({"a": Bomb()})), UnsafeFileError),
    "torch pickle": (lambda p: file_of(p, {"a": Bomb()}), UnsafeFileError),
    "list": (lambda p: file_of(p, [torch.ones(1)]), DataContractError),
    "nested": (lambda p: file_of(p, {"state_dict": {"a": torch.ones(1)}}), DataContractError),
    "numbers": (lambda p: file_of(p, {"a": 3}), DataContractError),
    "nothing in it": (lambda p: file_of(p, {}), DataContractError),
    "nan": (lambda p: file_of(p, {"a": torch.full((3,), torch.nan)}), DataContractError),
}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_spoiled_file_of_weights_is_refused_wherever_it_is_read(tmp_path: Path, kind: str, suffix: str) -> None:
    make, error = FILES[kind]
    path = tmp_path / f"w{suffix}"
    make(path)
    with pytest.raises(error if suffix == ".pt" else BloodKedroError) as caught:
        file_weights(path)
    assert str(path) in caught.value.where
    assert caught.value.remedy
    assert RAN == []


def test_foundation_models_are_read_with_the_same_care(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"a": Bomb()}))
    with pytest.raises(UnsafeFileError):
        load_backbone("reddino_small", tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(DataContractError, match=r"model\.safetensors"):
        load_backbone("reddino_small", tmp_path)
    assert RAN == []


def test_good_files_of_both_kinds_are_read(tmp_path: Path) -> None:
    state = {"a": torch.arange(3.0), "n": torch.tensor(2)}
    save_file(state, tmp_path / "w.safetensors")
    for path in (tmp_path / "w.safetensors", file_of(tmp_path / "w.pt", state)):
        read = read_weights(path)
        assert {name: value.tolist() for name, value in read.items()} == {"a": [0.0, 1.0, 2.0], "n": 2}
