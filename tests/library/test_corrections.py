"""Corrections: what a person says is kept, read as a source, and shown in a useful order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from blood_kedro.library.core.boxes import BOX_COLUMNS
from blood_kedro.library.core.errors import BadInputError, DataContractError, SourceNotFoundError
from blood_kedro.library.core.taxonomy import PARENT
from blood_kedro.library.corrections.journal import Box, Correction, corrections_of
from blood_kedro.library.corrections.order import uncertain_first
from blood_kedro.library.corrections.store import COCO, JOURNAL, Corrections, fingerprint_of
from blood_kedro.library.sources.ingest import SourceTables, ingest
from blood_kedro.library.sources.options import SourceOptions
from blood_kedro.library.sources.registry import adapter
from tests.conftest import PROJECT

_ENTRIES = yaml.safe_load((PROJECT / "conf/base/parameters_ingestion.yml").read_text(encoding="utf-8"))["sources"]
ENTRY = SourceOptions.model_validate({**_ENTRIES["corrections"], "name": "corrections"})
BOX: Box = (10, 10, 30, 31.5)


def picture(path: Path, seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (80, 100, 3), np.uint8)
    cv2.imwrite(str(path), pixels)
    return path


def cells() -> pd.DataFrame:
    """Four cells of one picture, as a read-out has them."""
    boxes = [BOX, (40, 10, 60, 30), (10, 40, 30, 60), (70, 50, 90, 70)]
    table = pd.DataFrame(boxes, columns=BOX_COLUMNS).astype(float)
    table.insert(0, "cell", [1, 2, 3, 4])
    return table.assign(
        label=["rbc", "wbc", "wbc", "rbc"],
        type=["other", "neutrophil", "monocyte", "not named"],
        sureness=[0.4, 0.9, 0.8, np.nan],
    )


def ingested(folder: Path) -> SourceTables:
    return ingest(adapter(ENTRY), folder, strict=True)


def save(store: Corrections, name: str, corrections: Sequence[Correction], by: str = "ann") -> None:
    store.save(name, corrections, by=by, models="white_cells 12ab")


def test_corrections_are_a_source_with_the_boxes_and_types_that_were_said(tmp_path: Path) -> None:
    store = Corrections(tmp_path / "corrections")
    name = store.add_picture(picture(tmp_path / "a field.png"))
    save(
        store,
        name,
        corrections_of(
            cells(), 20, changed={1: "teardrop", 3: None}, confirmed=[2], drawn=[((60, 10, 68.5, 18), "platelet")]
        ),
    )
    tables = ingested(store.folder)
    found = tables.annotations.set_index("label")
    named = found[~found["ignore"]]
    assert sorted(named.index) == ["neutrophil", "platelet", "teardrop"]
    assert named.loc["teardrop", BOX_COLUMNS].tolist() == list(BOX)
    assert named.loc["neutrophil", BOX_COLUMNS].tolist() == [40, 10, 60, 30]
    assert named.loc["platelet", BOX_COLUMNS].tolist() == [60, 10, 68.5, 18]
    # Nobody looked at the fourth cell: it is neither asked for nor wrong. The third is no cell.
    assert found.loc[found["ignore"], BOX_COLUMNS].to_numpy().tolist() == [[70, 50, 90, 70]]
    assert len(tables.rejects) == 0
    assert tables.index["width_px"].tolist() == [100]
    assert ENTRY.labelled_classes() == ()
    assert ENTRY.labels == {name: name for name in PARENT}


def test_the_journal_says_what_was_before_and_after_and_who_said_it(tmp_path: Path) -> None:
    store = Corrections(tmp_path)
    name = store.add_field(np.zeros((80, 100, 3), np.uint8), "slide 3, field 7", smear="slide 3")
    save(store, name, corrections_of(cells(), 20, changed={1: "teardrop", 2: "neutrophil"}, confirmed=[4]))
    rows = store.cells()
    assert rows["action"].tolist() == ["changed", "confirmed", "unseen", "confirmed"]
    first = rows.iloc[0]
    assert (first["label_before"], first["type_before"], first["sureness"]) == ("rbc", "other", 0.4)
    assert (first["label_after"], first["type_after"]) == ("rbc", "teardrop")
    # The fourth was confirmed as what it is, a red cell: no shape of it was ever named.
    assert rows["type_after"].tolist()[3] == "rbc"
    assert (first["by"], first["models"], first["cell_px"], first["smear"]) == (
        "ann",
        "white_cells 12ab",
        20,
        "slide 3",
    )
    assert Path(first["file"]).read_bytes().startswith(b"\x89PNG")


def test_the_last_word_on_a_cell_counts(tmp_path: Path) -> None:
    store = Corrections(tmp_path)
    name = store.add_picture(picture(tmp_path / "field.png"))
    save(store, name, corrections_of(cells(), 20, changed={1: "teardrop", 2: "monocyte"}))
    again = cells()
    again[BOX_COLUMNS] += 1.0  # counted a second time: nearly the same boxes
    save(store, name, corrections_of(again, 20, changed={1: "ovalocyte", 3: None}), by="bob")
    stands = store.cells()
    assert len(store.journal()) == 8
    assert stands[["action", "type_after", "by"]].fillna("").to_numpy().tolist() == [
        ["changed", "monocyte", "ann"],  # bob did not look at it
        ["changed", "ovalocyte", "bob"],
        ["not_a_cell", "", "bob"],
        ["unseen", "", "bob"],
    ]


def test_cells_that_overlap_and_were_saved_together_stay_two(tmp_path: Path) -> None:
    store = Corrections(tmp_path)
    name = store.add_picture(picture(tmp_path / "field.png"))
    pair = [Correction((x, 10, x + 20, 30), 20, "drawn", type_after="rbc") for x in (10.0, 15.0)]
    for _ in range(2):
        save(store, name, pair)
    assert store.cells()["x_min_px"].tolist() == [10, 15]


def _write_four(folder: Path, name: str, writer: int) -> None:
    store = Corrections(folder)
    for k in range(4):
        box = (10.0 * k, 20.0 * writer, 10.0 * k + 9, 20.0 * writer + 15)
        store.save(name, [Correction(box, 20, "drawn", type_after="rbc")], by=f"writer {writer}")


def test_several_who_save_at_once_lose_nothing(tmp_path: Path) -> None:
    store = Corrections(tmp_path)
    name = store.add_picture(picture(tmp_path / "field.png"))
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        for job in [pool.submit(_write_four, tmp_path, name, writer) for writer in range(2)]:
            job.result()
    rows = store.cells()
    assert rows["by"].value_counts().to_dict() == {f"writer {k}": 4 for k in range(2)}
    assert len(json.loads((tmp_path / COCO).read_text())["annotations"]) == 8
    assert not list(tmp_path.glob(".part-*"))


def test_a_picture_is_kept_once_whatever_it_is_called(tmp_path: Path) -> None:
    store = Corrections(tmp_path / "corrections")
    one, two = picture(tmp_path / "one.png"), picture(tmp_path / "two.png")
    assert store.add_picture(one) == store.add_picture(two)
    assert store.pictures()["name"].tolist() == ["one.png"]
    assert store.add_picture(picture(tmp_path / "three.png", seed=1)) != store.add_picture(one)


def test_the_same_said_again_has_the_same_fingerprint(tmp_path: Path) -> None:
    store = Corrections(tmp_path)
    name = store.add_picture(picture(tmp_path / "field.png"))
    prints = []
    for after in ("teardrop", "teardrop", "ovalocyte"):
        save(store, name, corrections_of(cells(), 20, changed={1: after}), by=f"said {len(prints)}")
        prints.append(fingerprint_of(store.cells()))
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    ("correction", "reason"),
    [
        (Correction((10, 10, 10, 30), 20, "drawn", type_after="rbc"), "holds nothing"),
        (Correction((10, 10, np.nan, 30), 20, "drawn", type_after="rbc"), "holds nothing"),
        (Correction(BOX, 0, "drawn", type_after="rbc"), "width of a red cell"),
        (Correction(BOX, 20, "drawn", type_after="red one"), "class that there is not"),
        (Correction(BOX, 20, "drawn"), "none where it needs one"),
        (Correction(BOX, 20, "not_a_cell", type_after="rbc"), "none where it needs one"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_leaves_no_row(tmp_path: Path, correction: Correction, reason: str) -> None:
    store = Corrections(tmp_path)
    name = store.add_picture(picture(tmp_path / "field.png"))
    with pytest.raises(BadInputError, match=reason):
        save(store, name, [Correction(BOX, 20, "unseen"), correction])
    assert len(store.journal()) == 0


def test_errors_say_what_is_missing(tmp_path: Path) -> None:
    store = Corrections(tmp_path)
    with pytest.raises(SourceNotFoundError, match="no corrections"):
        store.cells()
    with pytest.raises(BadInputError, match="not kept with them"):
        save(store, "0123456789abcdef", [])
    with pytest.raises(BadInputError, match="not in the table"):
        corrections_of(cells(), 20, changed={9: "rbc"})
    with pytest.raises(BadInputError, match="at once"):
        corrections_of(cells(), 20, changed={1: "rbc"}, confirmed=[1])
    (tmp_path / "no picture.png").write_bytes(b"text")
    with pytest.raises(BadInputError):
        store.add_picture(tmp_path / "no picture.png")
    (tmp_path / JOURNAL).write_text("picture,box\na,b\n")
    with pytest.raises(DataContractError):
        store.journal()


def test_least_sure_cells_of_every_type_come_first() -> None:
    table = pd.DataFrame(
        {
            "label": ["wbc"] * 4 + ["rbc"] * 3,
            "type": ["monocyte", "monocyte", "monocyte", "basophil", "teardrop", "not named", "teardrop"],
            "sureness": [0.5, 0.4, 0.6, 0.9, 0.7, np.nan, 0.45],
        },
        index=[10, 11, 12, 13, 14, 15, 16],
    )
    assert uncertain_first(table).index.tolist() == [11, 16, 13, 10, 14, 12, 15]
    assert len(uncertain_first(table[:0])) == 0


def test_the_margin_says_more_than_the_likeliest_type_alone() -> None:
    table = pd.DataFrame({"p_a": [0.5, 0.6, 0.1], "p_b": [0.26, 0.39, 0.8], "p_c": [0.24, 0.01, 0.1]})
    assert uncertain_first(table).index.tolist() == [1, 2, 0]
