"""Save, load, refuse: what the catalog's own datasets promise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from kedro.io.core import DatasetError
from matplotlib.figure import Figure

from blood_kedro.datasets.cells import CellsDataset
from blood_kedro.datasets.figure import FigureDataset
from blood_kedro.datasets.folder import ImageFolderDataset, ModelBundleDataset
from blood_kedro.datasets.json_file import JsonFileDataset
from blood_kedro.datasets.table import TableDataset
from blood_kedro.library.core.cells import Cell, Cells, write_cells
from blood_kedro.library.core.errors import DataContractError
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.core.schemas import Rejects, conform

ROW = {"source": "bccd", "path": "a", "row": 3, "kind": "image", "action": "dropped", "reason": "why"}


def test_table_round_trip_keeps_types(tmp_path: Path) -> None:
    table = conform(Rejects, [ROW, {**ROW, "row": None}])
    dataset = TableDataset(filepath=str(tmp_path / "a/t.parquet"), schema="Rejects")
    dataset.save(table)
    loaded = dataset.load()
    pd.testing.assert_frame_equal(loaded, table)
    empty = conform(Rejects, [])
    dataset.save(empty)
    assert dataset.load().dtypes.to_dict() == empty.dtypes.to_dict()


@pytest.mark.parametrize("when", ["save", "load"])
def test_violation_names_file_row_column_got_and_expected(tmp_path: Path, when: str) -> None:
    path = tmp_path / "t.parquet"
    bad = pd.DataFrame([ROW, {**ROW, "kind": "zzz"}])
    dataset = TableDataset(filepath=str(path), schema="Rejects")
    if when == "load":
        bad.to_parquet(path)
    with pytest.raises((DataContractError, DatasetError)) as caught:
        dataset.save(bad) if when == "save" else dataset.load()
    message = str(caught.value)
    for part in (str(path), "row 1", "column kind", "'zzz'", "isin", f"on {when}"):
        assert part in message
    assert path.exists() is (when == "load")


def test_failed_save_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    dataset = JsonFileDataset(filepath=str(tmp_path / "a.json"))
    dataset.save({"a": 1})
    with pytest.raises(DatasetError):
        dataset.save({"a": float("nan")})
    assert dataset.load() == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_missing_file_is_none_only_where_optional(tmp_path: Path) -> None:
    assert JsonFileDataset(filepath=str(tmp_path / "no.json"), optional=True).load() is None
    with pytest.raises(DatasetError, match="run the pipeline"):
        JsonFileDataset(filepath=str(tmp_path / "no.json")).load()


def test_figure_is_saved_as_png_and_loaded_as_bytes(tmp_path: Path) -> None:
    figure = Figure(figsize=(1, 1))
    figure.subplots().plot([0, 1])
    dataset = FigureDataset(filepath=str(tmp_path / "f.png"))
    dataset.save(figure)
    assert dataset.load()[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(dataset.preview()) > 100


def test_model_bundle_round_trip_and_partial_folder(tmp_path: Path) -> None:
    dataset = ModelBundleDataset(filepath=str(tmp_path / "m"))
    dataset.save(ModelBundle({"a": torch.arange(3.0)}, {"classes": ["rbc"]}))
    loaded = dataset.load()
    assert torch.equal(loaded.weights["a"], torch.arange(3.0))
    assert loaded.config == {"classes": ["rbc"]}
    assert not list((tmp_path / "m").glob("*.p*kl"))
    (tmp_path / "m/config.json").unlink()
    with pytest.raises((DataContractError, DatasetError), match="incomplete"):
        dataset.load()


def test_image_folder_refuses_another_path_and_emptiness(tmp_path: Path) -> None:
    dataset = ImageFolderDataset(filepath=str(tmp_path / "images"))
    with pytest.raises(DatasetError, match="missing or empty"):
        dataset.load()
    with pytest.raises(DatasetError, match="make them agree"):
        dataset.save(tmp_path / "elsewhere")
    assert ImageFolderDataset(filepath=str(tmp_path / "x"), must_exist=False).load() == tmp_path / "x"


def test_cells_are_mapped_and_half_a_folder_is_refused(tmp_path: Path) -> None:
    facts = {
        "cell_id": "x/1",
        "source": "x",
        "image_id": "x/1",
        "group_id": "x",
        "slide": None,
        "scanner": None,
        "label_raw": "a",
        "label": "rbc",
        "shape": None,
        "x_px": None,
        "y_px": None,
        "mask_origin": "sam",
    }
    folder = tmp_path / "cells"
    dataset = CellsDataset(filepath=str(folder))
    assert CellsDataset(filepath=str(folder), optional=True).load() is None
    with pytest.raises(DatasetError, match="incomplete"):
        dataset.load()
    mask = np.eye(8, dtype=bool)
    written = write_cells(folder, [Cell(np.full((8, 8, 3), 7, np.uint8), mask, facts)], 8)
    dataset.save(written)
    loaded = dataset.load()
    assert loaded is not None
    assert (loaded.masks[0] == mask).all()
    assert loaded.table.loc[0, "mask_origin"] == "sam"
    assert dataset.preview(1)["data"][0][0] == "x/1"
    more = Cells(pd.concat([written.table] * 2), written.crops, written.masks)
    with pytest.raises(DatasetError, match="the node says 2"):
        dataset.save(more)
