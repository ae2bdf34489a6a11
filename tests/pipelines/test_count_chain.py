"""A count as its pipeline runs it: every node, with what each hands on written to files and read again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from blood_kedro import tracking
from blood_kedro.datasets.folder import FolderDataset
from blood_kedro.datasets.json_file import JsonFileDataset
from blood_kedro.datasets.table import TableDataset
from blood_kedro.datasets.text_file import TextFileDataset
from blood_kedro.pipelines import sam_counting
from blood_kedro.plan import build
from tests.library.test_count_smears import PAIR, SPREAD, VIOLET, save, smear

TABLES = ("tiles", "open_rejects", "segmented", "count_rejects", "mask_kinds", "smear_counts", "counted_cells")
TABLES += ("cell_masks", "fields", "field_choice")


class Tracked:
    """Stands in for MLflow: what was logged to which run, and how each run ended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.metrics: dict[str, Any] = {}
        self.figures: list[str] = []
        self.ended: list[str] = []
        monkeypatch.setattr(tracking, "child_run", lambda *_: self._run("begun"))
        monkeypatch.setattr(tracking, "reopened", self._run)
        monkeypatch.setattr(tracking, "log_parameters", lambda _: None)
        monkeypatch.setattr(tracking, "log_metrics", self.metrics.update)
        monkeypatch.setattr(tracking, "log_figure", lambda _, name: self.figures.append(name))

    @contextmanager
    def _run(self, name: str) -> Iterator[str]:
        try:
            yield "run-1"
        except Exception:
            self.ended.append("FAILED")
            raise
        self.ended.append(name)


def catalog(folder: Path, name: str, further: dict[str, Any]) -> DataCatalog:
    place = folder / name
    made: dict[str, Any] = {f"{name}.{each}": TableDataset(filepath=str(place / f"{each}.parquet")) for each in TABLES}
    made |= {
        f"{name}.{each}": JsonFileDataset(filepath=str(place / f"{each}.json")) for each in ("judges", "count_totals")
    }
    made[f"{name}.count_run_id"] = TextFileDataset(filepath=str(place / "run_id.txt"))
    made[f"{name}.counts"] = TableDataset(filepath=str(place / "counts.csv"))
    made[f"{name}.counting_work"] = FolderDataset(filepath=str(folder / "work"), must_exist=False)
    for each in ("counting_masks", "count_masks"):
        made[f"{name}.{each}"] = FolderDataset(filepath=str(place / "masks"), must_exist=False)
    for each in ("own_count_folder", "own_count_report"):
        made[each] = FolderDataset(filepath=str(folder / "own_count"), must_exist=each == "own_count_report")
    return DataCatalog(made | {key: MemoryDataset(value) for key, value in further.items()})


def test_pictures_of_a_source_are_counted_beside_their_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracked = Tracked(monkeypatch)
    cells = {"001": SPREAD + PAIR, "002": SPREAD, "003": SPREAD[:9]}  # names that a csv would take for numbers
    annotations = []
    for name, red in cells.items():
        save(tmp_path / f"raw/{name}.png", smear(540, 300, red, VIOLET))
        kinds = [(x, y, 18, "normal_rbc") for x, y in red] + [
            (x, y, radius, "platelet" if radius < 10 else "lymphocyte") for x, y, radius in VIOLET
        ]
        annotations += [
            {"image_id": f"s/{name}", "label": label, "ignore": False, "x_min_px": x - r, "y_min_px": y - r,
             "x_max_px": x + r, "y_max_px": y + r} for x, y, r, label in kinds
        ]  # fmt: skip
    index = pd.DataFrame({"image_id": [f"s/{n}" for n in cells], "path": [f"{n}.png" for n in cells], "source": "s"})
    groups = index[["image_id"]].assign(group_id=index["image_id"], part="test")
    options = {"source": "s", "tile_px": 256, "workers": 1, "resamples": 20, "cell_px": 36}
    plan = build(
        {"sources": {"s": {"adapter": "bccd"}}, "sam_counting": {"inputs": {"field": {"name": "field", **options}}}}
    )
    pipeline = sam_counting.create_pipeline(plan)
    assert [node.name for node in pipeline.nodes] == [
        f"field.{step}" for step in ("open", "segment", "name", "count", "score", "draw")
    ]
    given = {
        "params:sam_counting.inputs.field": plan.counted_inputs["field"],
        "s.raw_folder": tmp_path / "raw",
        "s.image_index": index,
        "s.raw_annotations": pd.DataFrame(annotations),
        "image_groups": groups,
    }
    known = catalog(tmp_path, "field", given | {"field.count_figure": None})
    known["field.count_figure"] = MemoryDataset()
    SequentialRunner().run(pipeline, known)
    counts = pd.read_parquet(tmp_path / "field/smear_counts.parquet").set_index("smear")
    assert counts["rbc"].to_dict() == {name: len(red) for name, red in cells.items()}
    assert (counts[["wbc", "platelet"]] == [1, 2]).all(axis=None)
    totals = known.load("field.count_totals")
    assert totals["errors"]["rbc"]["mean_absolute_error"] == 0
    assert totals["held_out"] == {"images": 3, "left_out": 0, "parts": {"test": 3}}
    assert totals["mlflow_run_id"] == "run-1"
    table = known.load("field.counts")
    assert table["held_out"].all()
    assert table["reference_rbc"].tolist() == [26, 24, 9]
    assert all(str(limits).startswith("[") and "," in str(limits) for limits in table["rbc_interval_95"])
    assert tracked.metrics["errors"]["rbc"]["bias"] == 0
    assert tracked.figures == ["reference.png", "smear.png"]
    assert "FAILED" not in tracked.ended
    assert len(list((tmp_path / "field/masks").iterdir())) == 9
    # What comes after naming can be run again alone.
    rest = pipeline.from_nodes("field.count")
    SequentialRunner().run(rest, known)
    assert known.load("field.count_totals") == totals
    # A step that fails ends the run as failed.
    monkeypatch.setattr("blood_kedro.library.counting.segment.tiles.segment_smears", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        SequentialRunner().run(pipeline.only_nodes("field.segment"), known)
    assert tracked.ended[-1] == "FAILED"


def test_a_users_smear_is_in_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Tracked(monkeypatch)
    image = save(tmp_path / "007.png", smear(540, 300, SPREAD + PAIR, VIOLET))
    own = {"segmenter": "watershed", "workers": 1, "resamples": 20, "tile_px": 256}
    plan = build({"sam_counting": {"input": str(image), "inputs": {"own": {"name": "own", "path": "own", **own}}}})
    known = catalog(tmp_path, "own", {"params:sam_counting.inputs.own": plan.counted_inputs["own"]})
    known["own.count_figure"] = MemoryDataset()
    SequentialRunner().run(sam_counting.create_pipeline(plan), known)
    page = tmp_path / "own_count"
    assert {path.name for path in page.iterdir()} == {
        *("cells.csv", "counts.csv", "coco.json", "index.html", "masks", "overlays")
    }
    assert pd.read_csv(page / "counts.csv").loc[0, ["rbc", "wbc", "platelet"]].tolist() == [26, 1, 2]
    for path in (tmp_path / "own/masks").iterdir():  # the same files, not a second copy
        assert path.stat().st_ino == (page / "masks" / path.name).stat().st_ino
    assert {path.name for path in (page / "masks").iterdir()} == {"007_labels.tif", "007_kinds.tif", "007.geojson"}
