"""Save, load, refuse: what the catalog's own datasets promise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from kedro.io import DataCatalog
from kedro.io.core import DatasetError
from kedro.validation import DataValidationError
from matplotlib.figure import Figure

from blood_kedro.datasets.crop_set import CropSetDataset
from blood_kedro.datasets.figure import FigureDataset
from blood_kedro.datasets.folder import FolderDataset, ImageFolderDataset, ModelBundleDataset
from blood_kedro.datasets.json_file import JsonFileDataset
from blood_kedro.library.core.crop_set import Crop, CropSet, gather_crops
from blood_kedro.library.core.errors import DataContractError
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.core.schemas import (
    Composition,
    CountedTiles,
    Rejects,
    SmearCounts,
    Table,
    Votes,
    WeakLabels,
    conform,
)
from blood_kedro.mishaps import as_ours

ROW = {"source": "bccd", "path": "a", "row": 3, "kind": "image", "action": "dropped", "reason": "why"}


def catalog_of(path: Path, schema: str, *, optional: bool = False) -> DataCatalog:
    """A catalog of one table, `table`, as conf/base writes it."""
    entry = {
        "type": "blood_kedro.datasets.table.TableDataset",
        "filepath": str(path),
        "validator": f"blood_kedro.library.core.schemas.{schema}",
        "optional": optional,
    }
    return DataCatalog.from_config({"table": entry})


def test_table_round_trip_keeps_types(tmp_path: Path) -> None:
    table = conform(Rejects, [ROW, {**ROW, "row": None}])
    catalog = catalog_of(tmp_path / "a/t.parquet", "Rejects")
    catalog.save("table", table)
    pd.testing.assert_frame_equal(catalog.load("table"), table)
    empty = conform(Rejects, [])
    catalog.save("table", empty)
    assert catalog.load("table").dtypes.to_dict() == empty.dtypes.to_dict()


def test_a_csv_gets_its_types_from_the_schema(tmp_path: Path) -> None:
    table = conform(Composition, [{"source": "007", "images": 1, "annotations": 2}])
    catalog = catalog_of(tmp_path / "t.csv", "Composition")
    catalog.save("table", table)
    assert catalog.load("table").dtypes.to_dict() == table.dtypes.to_dict()


@pytest.mark.parametrize("when", ["save", "load"])
def test_violation_names_dataset_row_column_got_and_expected(tmp_path: Path, when: str) -> None:
    path = tmp_path / "t.parquet"
    bad = pd.DataFrame([ROW, {**ROW, "kind": "zzz"}])
    catalog = catalog_of(path, "Rejects")
    if when == "load":
        bad.to_parquet(path)
    with pytest.raises(DataValidationError) as caught:
        catalog.save("table", bad) if when == "save" else catalog.load("table")
    told = as_ours(caught.value)
    assert isinstance(told, DataContractError)
    for part in ("schema Rejects", "dataset table", "row 1", "column kind", "'zzz'", "isin", f"on {when}"):
        assert part in str(told)
    assert path.exists() is (when == "load")


def test_unknown_columns_are_refused_and_missing_optional_tables_are_none(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path / "t.parquet", "Rejects", optional=True)
    assert catalog.load("table") is None
    with pytest.raises(DataValidationError, match="colour"):
        catalog.save("table", pd.DataFrame([{**ROW, "colour": "red"}]))


@pytest.mark.parametrize(
    ("schema", "column", "value"),
    [
        (Votes, "my_rule", 2),
        (WeakLabels, "cells_2", 1.5),
        (CountedTiles, "too_small", -1),
        (SmearCounts, "rbc_by_my_rule", -1),
    ],
)
def test_columns_by_rule_or_class_are_checked_too(schema: type[Table], column: str, value: float) -> None:
    rows = {
        Votes: {"my_rule": np.int8(1)},
        WeakLabels: {"overlapping": 0.5, "cells_1": 0.5, "cells_2": 0.5},
        CountedTiles: {
            **dict.fromkeys(("found", "kept", "brightened_by", "seconds", "rbc", "wbc", "platelet"), 0),
            **{"smear": "a", "tile": "0_0", "error": "", "too_small": 3, "overlap_ratio": 0.0},
            "fit_for_counting": True,
        },
        SmearCounts: {
            **{"smear": "a", "rbc": 1, "wbc": 0, "platelet": 0, "rule": "my_rule", "rbc_by_my_rule": 1, "debris": 0},
            **{"single_cell_area_px2": 1.0, "cell_px": 38.0, "overlap_ratio": 0.0, "fit_for_counting": True},
            **{"tiles": 1, "failed_tiles": 0, "counted_px2": 81, "width_px": 9, "height_px": 9, "seconds": 1.0},
            "rbc_interval_95": None,
        },
    }
    table = pd.DataFrame([rows[schema]])
    assert len(schema.validate(table)) == 1
    with pytest.raises(DataContractError, match=column):
        schema.validate(table.assign(**{column: value}))


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
    dataset = CropSetDataset(filepath=str(folder))
    assert CropSetDataset(filepath=str(folder), optional=True).load() is None
    with pytest.raises(DatasetError, match="incomplete"):
        dataset.load()
    mask = np.eye(8, dtype=bool)
    gathered = gather_crops([Crop(np.full((8, 8, 3), 7, np.uint8), mask, facts)], 8)
    assert isinstance(gathered.crops, np.memmap)
    dataset.save(gathered)
    loaded = dataset.load()
    assert loaded is not None
    assert (loaded.masks[0] == mask).all()
    assert loaded.table.loc[0, "mask_origin"] == "sam"
    assert dataset.preview(1)["data"][0][0] == "x/1"
    assert (folder / "crops.bin").read_bytes() == bytes([7]) * 8 * 8 * 3
    dataset.save(loaded)  # onto the folder that it is mapped from
    dataset.save(gather_crops([], 8))
    empty = dataset.load()
    assert empty is not None
    assert (len(empty), empty.side_px) == (0, 8)
    assert (loaded.masks[0] == mask).all()
    more = CropSet(pd.concat([gathered.table] * 2), gathered.crops, gathered.masks)
    with pytest.raises(DatasetError, match="2 rows, 1 crops"):
        dataset.save(more)
    assert len(dataset.load() or ()) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["cells"]


def test_a_folder_shows_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "work/masks").mkdir(parents=True)
    (tmp_path / "work/masks/a.bin").write_bytes(b"0" * 2_000_000)
    (tmp_path / "work/page.html").write_text("x")
    shown = FolderDataset(filepath=str(tmp_path / "work")).preview()
    assert shown["data"] == [["masks", "1", "2.0"], ["page.html", "1", "0.0"]]
    assert FolderDataset(filepath=str(tmp_path / "none"), must_exist=False).preview()["data"] == []
