"""Kept work that is cut, damaged or of another training is noticed, reported and done again, with the same result."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from blood_kedro.datasets.json_file import JsonFileDataset
from blood_kedro.datasets.table import TableDataset
from blood_kedro.library.core.crop_set import Crop, read_crops, write_crops
from blood_kedro.library.core.errors import DataContractError
from blood_kedro.library.core.records import Data, Record, read_all, read_record, write_record
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.chain import Counted
from blood_kedro.library.counting.pieces import Piece, pieces_of_labels
from blood_kedro.library.standardization import journal as run_module
from blood_kedro.library.training.crops import CropData
from blood_kedro.library.training.options import Training
from blood_kedro.library.training.resume import saved_state
from blood_kedro.library.training.supervised import Trained, fit_supervised
from tests.fixtures.counting import count as count_pictures
from tests.fixtures.trees import Bccd
from tests.library.test_standardization import standardize


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path) -> None:
    """One bit of the pixels of a tile's masks: the file has its length, and can be opened."""
    content = bytearray(path.read_bytes())
    content[60] ^= 4
    path.write_bytes(bytes(content))


def other_table(path: Path) -> None:
    pd.DataFrame({"a": [1]}).to_parquet(path)


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


class Counter:
    """A segmenter of dark squares that remembers the tiles that it was shown."""

    def __init__(self) -> None:
        self.tiles: list[str] = []

    def __call__(self, name: str, rgb: np.ndarray, _rejects: RejectLog) -> list[Piece]:
        self.tiles.append(name)
        _, labels = cv2.connectedComponents((rgb[..., 1] < 150).astype(np.uint8))
        return pieces_of_labels(np.asarray(labels, np.int32))


def field(path: Path, cells: int) -> Path:
    rgb = np.full((64, 128, 3), 220, np.uint8)
    for k in range(cells):
        cv2.circle(rgb, (16 + 32 * k, 32), 10, (130, 90, 200), -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), rgb)
    return path


def count(path: Path, work: Path, segment: Counter, **options: Any) -> Counted:
    return count_pictures(
        path, work, segment, **{"resamples": 20, "cell_px": 20, "tile_px": 64, "overlap_px": 0, **options}
    )


@pytest.mark.parametrize(
    "spoil", [half, flipped, other_table, Path.touch, folder_instead, lambda p: p.write_bytes(b"")]
)
def test_a_spoiled_tile_is_segmented_again(
    spoil: Callable[[Path], Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = field(tmp_path / "a.png", 4)
    first = count(image, tmp_path / "work", Counter())
    tile = next((tmp_path / "work").rglob("1_0.parquet"))
    spoil(tile)
    segment = Counter()
    again = count(image, tmp_path / "work", segment)
    spoiled = spoil is not Path.touch  # what is whole stays
    assert segment.tiles == (["1_0"] if spoiled else [])
    assert ("1_0.parquet is damaged and done again" in caplog.text) is spoiled
    pd.testing.assert_frame_equal(again.cells, first.cells)
    assert count(image, tmp_path / "work", segment).totals["rbc"] == first.totals["rbc"]
    assert len(segment.tiles) == spoiled


def test_masks_of_an_earlier_count_are_gone(tmp_path: Path) -> None:
    def names() -> list[str]:
        return sorted(path.name for path in (tmp_path / "work/masks").iterdir())

    many = [field(tmp_path / f"many/p{k}.png", 2) for k in "abc"]
    count(many[0].parent, tmp_path / "work", Counter(), layout="pictures")
    assert names() == sorted(f"p{k}{end}" for k in "abc" for end in ("_labels.tif", "_kinds.tif", ".geojson"))
    count(field(tmp_path / "one/z.png", 3), tmp_path / "work", Counter())
    assert names() == ["z.geojson", "z_kinds.tif", "z_labels.tif"]

    def dies(*_: Any) -> list[Piece]:
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        count(field(tmp_path / "two/y.png", 1), tmp_path / "work", dies)  # type: ignore[arg-type]
    assert names() == ["z.geojson", "z_kinds.tif", "z_labels.tif"]
    count(field(tmp_path / "one/z.png", 3), tmp_path / "work", Counter(), write_masks=False)
    assert names() == []


def lines(journal: Path) -> list[str]:
    return journal.read_text().splitlines()


def changed(name: str, value: Any) -> Callable[[Path], None]:
    """The first line of a journal says something else of its picture."""

    def spoil(out: Path) -> None:
        first, *rest = lines(out / run_module.JOURNAL)
        record = json.loads(first)
        record[name] = value
        (out / run_module.JOURNAL).write_text("\n".join([json.dumps(record), *rest, ""]))

    return spoil


def first_line(text: str) -> Callable[[Path], None]:
    def spoil(out: Path) -> None:
        (out / run_module.JOURNAL).write_text("\n".join([text, *lines(out / run_module.JOURNAL)[1:], ""]))

    return spoil


def picture(spoil: Callable[[Path], Any]) -> Callable[[Path], None]:
    return lambda out: spoil(out / "images" / json.loads(lines(out / run_module.JOURNAL)[0])["file_name"])


@pytest.mark.parametrize(
    "spoil",
    [
        first_line("[1, 2]"),
        first_line("3"),
        first_line("null"),
        first_line('"text"'),
        first_line("{}"),
        first_line('{"image_id": [], "key": 1}'),
        first_line('{"image_id": "a'),
        first_line("[" * 100_000),
        first_line("\x00\x01\x85\u2028"),
        changed("boxes", []),
        changed("boxes", 3),
        changed("padding_px", None),
        changed("bytes", "many"),
        changed("file_name", "../../raw"),
        changed("line", None),
        picture(half),
        picture(Path.unlink),
        picture(folder_instead),
        picture(lambda p: p.write_bytes(b"")),
    ],
)
def test_a_spoiled_journal_or_picture_is_made_again(
    spoil: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tree = Bccd(tmp_path / "raw")
    for n in range(3):
        tree.add(f"i{n}", [("RBC", 3, 5, 10, 20)], seed=n)
    whole = standardize("bccd", tmp_path / "raw", tmp_path / "out")
    pictures = {path.name: path.read_bytes() for path in (tmp_path / "out/images").iterdir()}
    spoil(tmp_path / "out")
    real, calls = run_module.run_job, []

    def watched(job: Any, images: Path) -> dict[str, Any]:
        calls.append(job.image_id)
        return real(job, images)

    monkeypatch.setattr(run_module, "run_job", watched)
    again = standardize("bccd", tmp_path / "raw", tmp_path / "out")
    assert len(calls) == 1
    assert "1 entries are spoiled and done again" in caplog.text
    pd.testing.assert_frame_equal(again.annotations, whole.annotations)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out/images").iterdir()} == pictures
    assert standardize("bccd", tmp_path / "raw", tmp_path / "out").metadata == whole.metadata
    assert len(calls) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"dataset": "a"',
        b"[]",
        b"3",
        b"\xff\xfe",
        b'{"data": []}',
        b'{"data": {"a": [3]}}',
        b"[" * 100_000,
        b'{"dataset": 1, "node": "n", "environment": "e", "made": "m", "data": {}}',
        b'{"dataset": "d", "node": "n", "environment": "e", "made": "m", "data": {}, "more": 1}',
        b'{"dataset": "d", "node": "n", "environment": "e", "made": "m", "data": {"a": [{"fingerprint": 3}]}}',
    ],
)
def test_a_spoiled_record_counts_as_none_and_is_said(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = tmp_path / "02_intermediate/.records/a.json"
    write_record(good, Record("a", "n", "base", "2026", data={"a": [Data("f", {"bccd": 3})]}))
    spoiled = good.with_name("b.json")
    spoiled.write_bytes(content)
    assert read_record(spoiled) is None
    assert f"the record {spoiled} is damaged and counts as none" in caplog.text
    assert set(read_all(tmp_path)) == {"a"}


class PowerCutError(Exception):
    """What ends a training early."""


def fit(work: Path, *, dies: bool = False) -> Trained:
    data = CropData(
        np.random.default_rng(0).integers(0, 255, (8, 4, 4, 3), np.uint8), np.arange(8), np.arange(8) % 2, 0
    )

    def on_epoch(row: dict[str, float]) -> None:
        if dies and row["epoch"] == 2:
            raise PowerCutError

    torch.manual_seed(3)
    return fit_supervised(
        nn.Sequential(nn.Flatten(), nn.Linear(48, 2)),
        nn.functional.cross_entropy,
        data,
        data,
        Training(epochs=3, batch_size=8, lr=0.01),
        seed=0,
        identity="known",
        work_folder=work,
        on_epoch=on_epoch,
    )


def of_another_training(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    torch.save({**state, "made_of": "another"}, path)


@pytest.mark.parametrize("name", ["resume.ckpt", "best.ckpt"])
@pytest.mark.parametrize("spoil", [half, lambda p: p.write_bytes(b""), of_another_training])
def test_a_spoiled_checkpoint_begins_anew(
    name: str, spoil: Callable[[Path], Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = fit(tmp_path / "whole")
    with pytest.raises(PowerCutError):
        fit(tmp_path / "cut", dies=True)
    spoil(next((tmp_path / "cut").rglob(name)))
    caplog.set_level(logging.INFO)
    again = fit(tmp_path / "cut")
    assert "training begins anew" in caplog.text
    assert "training continues" not in caplog.text
    assert len(again.history) == len(whole.history) == 3
    assert all(torch.equal(again.weights[key], value) for key, value in whole.weights.items())


def test_a_checkpoint_that_can_be_used_is_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(PowerCutError):
        fit(tmp_path / "cut", dies=True)
    caplog.set_level(logging.INFO)
    fit(tmp_path / "cut")
    assert "training continues" in caplog.text


def test_saved_state_takes_nothing_but_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "work.pt"
    assert saved_state(path, "a", ()) is None
    assert caplog.text == ""
    torch.save({"made_of": "a", "step": 3}, path)
    assert saved_state(path, "a", ("step",)) == {"made_of": "a", "step": 3}
    for state, names in (
        ({"made_of": "b"}, ()),
        ({"made_of": "a"}, ("step",)),
        ([1], ()),
        ({"made_of": os.getcwd}, ()),
    ):
        torch.save(state, path)
        caplog.clear()
        assert saved_state(path, "a", names) is None
        assert f"checkpoint {path} cannot be used" in caplog.text


def test_saved_results_that_are_damaged_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'{"a": ')
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    for dataset in (
        JsonFileDataset(filepath=str(tmp_path / "a.json")),
        *(TableDataset(filepath=str(tmp_path / f"a.{suffix}")) for suffix in ("parquet", "csv")),
    ):
        with pytest.raises(Exception, match=r"saved result cannot be read(.|\n)*run the pipeline"):
            dataset.load()


@pytest.mark.parametrize("name", ["cells.parquet", "crops.bin", "masks.bin", "meta.json"])
def test_a_spoiled_folder_of_cells_is_refused_by_name(name: str, tmp_path: Path) -> None:
    facts = {
        "cell_id": "a",
        "source": "s",
        "image_id": "i",
        "group_id": "g",
        "slide": None,
        "scanner": None,
        "label_raw": "r",
        "label": "rbc",
        "shape": None,
        "x_px": 1.0,
        "y_px": 1.0,
        "mask_origin": "sam",
    }
    write_crops(tmp_path / "cells", [Crop(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), bool), facts)], 8)
    assert len(read_crops(tmp_path / "cells")) == 1
    half(tmp_path / "cells" / name)
    with pytest.raises(DataContractError, match="make the crops again") as caught:
        read_crops(tmp_path / "cells")
    assert str(tmp_path / "cells") in caught.value.where
