"""Algorithm 1 end to end on tiny sources, fitted boxes on drawn cells, and continuing after a kill."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.sources.ingest import ingest
from blood_kedro.library.sources.registry import SOURCES
from blood_kedro.library.standardization import journal as run_module
from blood_kedro.library.standardization.options import SourceBoxes, StandardizationOptions
from blood_kedro.library.standardization.standardize import CSV_COLUMNS, Standardized, from_csv, standardize_source
from tests.fixtures.trees import Bccd, chula, pbc

PAPER = StandardizationOptions(
    boxes="paper",
    workers=1,
    sources={"chula": SourceBoxes(class_size_px={"0": 20, "7": 10}), "pbc": SourceBoxes(class_size_px={"BA": 30})},
)


def standardize(
    source: str, folder: Path, out: Path, options: StandardizationOptions = PAPER, seed: int = 1
) -> Standardized:
    tables = ingest(SOURCES[source], folder, strict=False)
    return standardize_source(tables.index, tables.annotations, folder, out, options, seed=seed, strict=False)


def test_annotated_boxes_by_hand(tmp_path: Path) -> None:
    # 64x48 -> scale 8, padded by (512 - 384) / 2 = 64 above; VOC (3, 5, 10, 20) covers [2, 10) x [4, 20)
    Bccd(tmp_path / "raw").add("a", [("RBC", 3, 5, 10, 20)])
    done = standardize("bccd", tmp_path / "raw", tmp_path / "out")
    row = done.annotations.iloc[0]
    assert done.annotations.columns.tolist() == CSV_COLUMNS
    assert row[["x", "y", "w", "h"]].tolist() == [16, 96, 64, 128]
    assert (row["label"], row["box_origin"]) == ("rbc", "annotated")
    assert done.classes == {"rbc": row["class_id"]}
    back = from_csv(done.annotations).iloc[0]
    assert back[["x_min_px", "y_min_px", "x_max_px", "y_max_px"]].tolist() == [16, 96, 80, 224]
    image = cv2.imread(str(tmp_path / "out/images" / row["filename"]))
    assert image.shape == (512, 512, 3)
    assert done.metadata[row["filename"]]["padding_px"] == [0, 64]


def test_point_becomes_a_box_of_class_size(tmp_path: Path) -> None:
    chula(tmp_path / "raw", {"1": "30 20 7\n"})
    row = standardize("chula", tmp_path / "raw", tmp_path / "out").annotations.iloc[0]
    # 10 px around (30, 20): [25, 35) x [15, 25), times 8, 64 down
    assert row[["x", "y", "w", "h"]].tolist() == [200, 184, 80, 80]
    assert row["box_origin"] == "point"


def test_image_label_is_centred_with_seeded_jitter(tmp_path: Path) -> None:
    pbc(tmp_path / "raw", [f"basophil/BA_{n}.jpg" for n in range(40)])
    first = standardize("pbc", tmp_path / "raw", tmp_path / "out").annotations
    again = standardize("pbc", tmp_path / "raw", tmp_path / "out2").annotations
    other = standardize("pbc", tmp_path / "raw", tmp_path / "out3", seed=2).annotations
    pd.testing.assert_frame_equal(first, again)
    offsets = np.abs(first[["x", "y"]].to_numpy() + first[["w", "h"]].to_numpy() / 2 - 256)
    assert offsets.max() <= 20
    assert offsets.max() > 12  # it does use its range
    assert not np.allclose(first["x"], other["x"])


def test_class_without_size_is_a_configuration_error(tmp_path: Path) -> None:
    chula(tmp_path / "raw", {"1": "30 20 3\n"})
    with pytest.raises(ConfigurationError, match="class_size_px") as caught:
        standardize("chula", tmp_path / "raw", tmp_path / "out")
    assert caught.value.got == "3"


def test_image_that_vanished_becomes_a_reject(tmp_path: Path) -> None:
    tree = Bccd(tmp_path / "raw")
    tree.add("a", [("RBC", 3, 5, 10, 20)])
    tree.add("b", [("RBC", 3, 5, 10, 20)], seed=1)
    tables = ingest(SOURCES["bccd"], tmp_path / "raw", strict=False)
    (tmp_path / "raw/BCCD/JPEGImages/a.jpg").unlink()
    done = standardize_source(
        tables.index, tables.annotations, tmp_path / "raw", tmp_path / "out", PAPER, seed=1, strict=False
    )
    assert done.rejects["path"].tolist() == ["BCCD/JPEGImages/a.jpg"]
    assert done.annotations["image_id"].nunique() == 1


def drawn_cells(centres: list[tuple[int, int]], radius: int = 19) -> np.ndarray:
    rgb = np.full((480, 640, 3), (225, 220, 215), np.uint8)
    for x, y in centres:
        cv2.circle(rgb, (x, y), radius, (190, 110, 120), -1)
    noise = np.random.default_rng(0).normal(0, 2, rgb.shape)
    return np.clip(rgb + noise, 0, 255).astype(np.uint8)


def test_fitted_boxes_of_drawn_discs(tmp_path: Path) -> None:
    """Labelled discs get their own box, unlabelled ones become ignore regions, touching ones are split."""
    labelled = [(100, 100), (136, 100), (300, 300)]  # the first two touch
    unlabelled = [(200, 200), (500, 400)]
    chula(tmp_path / "raw", {"1": "".join(f"{x} {y} 0\n" for x, y in labelled)})
    cv2.imwrite(str(tmp_path / "raw/Dataset/1.jpg"), drawn_cells(labelled + unlabelled)[..., ::-1])
    options = StandardizationOptions(
        boxes="fitted", workers=1, sources={"chula": SourceBoxes(cell_px=38, class_size_px={"0": 40})}
    )
    done = standardize("chula", tmp_path / "raw", tmp_path / "out", options)
    fitted = done.annotations[done.annotations["box_origin"].eq("fitted") & ~done.annotations["ignore"]]
    assert len(fitted) == 3
    centres = (fitted[["x", "y"]].to_numpy() + fitted[["w", "h"]].to_numpy() / 2 - [0, 64]) / 0.8
    np.testing.assert_allclose(centres, labelled, atol=3)
    np.testing.assert_allclose(fitted[["w", "h"]].to_numpy() / 0.8, 39, atol=5)
    ignored = done.annotations[done.annotations["ignore"]]
    middles = (ignored[["x", "y"]].to_numpy() + ignored[["w", "h"]].to_numpy() / 2 - [0, 64]) / 0.8
    np.testing.assert_allclose(sorted(middles.tolist()), sorted(map(list, unlabelled)), atol=3)
    assert done.summary["fitted_share"] == 1.0
    assert done.summary["unlabelled_cells"] == 2


def test_point_on_background_falls_back_to_the_class_size(tmp_path: Path) -> None:
    chula(tmp_path / "raw", {"1": "400 100 0\n"})
    cv2.imwrite(str(tmp_path / "raw/Dataset/1.jpg"), drawn_cells([(100, 100)])[..., ::-1])
    options = StandardizationOptions(
        boxes="fitted", workers=1, sources={"chula": SourceBoxes(cell_px=38, class_size_px={"0": 40})}
    )
    done = standardize("chula", tmp_path / "raw", tmp_path / "out", options)
    row = done.annotations[~done.annotations["ignore"]].iloc[0]
    assert (row["box_origin"], row["w"]) == ("point", 32)
    assert done.summary["fitted_share"] == 0.0


def test_continues_after_a_kill_without_redoing_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Bccd(tmp_path / "raw")
    for n in range(6):
        tree.add(f"i{n}", [("RBC", 3, 5, 10, 20)], seed=n)
    whole = standardize("bccd", tmp_path / "raw", tmp_path / "whole")
    real, calls = run_module.run_job, []

    def dies_at_the_fourth(job: object, images: Path) -> dict[str, object]:
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(job)
        return real(job, images)  # type: ignore[arg-type]

    monkeypatch.setattr(run_module, "run_job", dies_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        standardize("bccd", tmp_path / "raw", tmp_path / "cut")
    with (tmp_path / "cut/journal.jsonl").open("a") as journal:
        journal.write('{"key": "half a li')  # what a kill in mid-write leaves
    redone: list[object] = []
    monkeypatch.setattr(run_module, "run_job", lambda job, images: (redone.append(job), real(job, images))[1])
    resumed = standardize("bccd", tmp_path / "raw", tmp_path / "cut")
    assert len(redone) == 3
    pd.testing.assert_frame_equal(resumed.annotations, whole.annotations)
    assert json.dumps(resumed.metadata) == json.dumps(whole.metadata)
    for path in (tmp_path / "whole/images").iterdir():
        assert path.read_bytes() == (tmp_path / "cut/images" / path.name).read_bytes()


def test_changed_input_or_settings_are_redone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Bccd(tmp_path / "raw")
    tree.add("a", [("RBC", 3, 5, 10, 20)])
    tree.add("b", [("RBC", 3, 5, 10, 20)], seed=1)
    standardize("bccd", tmp_path / "raw", tmp_path / "out")
    real, redone = run_module.run_job, []
    monkeypatch.setattr(run_module, "run_job", lambda job, images: (redone.append(job.image_id), real(job, images))[1])
    tree.image("b", seed=9)
    standardize("bccd", tmp_path / "raw", tmp_path / "out")
    assert redone == ["bccd/BCCD/JPEGImages/b"]
    standardize("bccd", tmp_path / "raw", tmp_path / "out", PAPER.model_copy(update={"target_px": 256}))
    assert len(redone) == 3


def test_workers_do_not_change_the_result(tmp_path: Path) -> None:
    tree = Bccd(tmp_path / "raw")
    for n in range(20):
        tree.add(f"i{n:02}", [("RBC", 3, 5, 10, 20)], seed=n)
    one = standardize("bccd", tmp_path / "raw", tmp_path / "one")
    two = standardize("bccd", tmp_path / "raw", tmp_path / "two", PAPER.model_copy(update={"workers": 2}))
    pd.testing.assert_frame_equal(one.annotations, two.annotations)
