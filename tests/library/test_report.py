"""The report: only what was measured on its corpus, published tables in full, notes beside their results."""

from __future__ import annotations

import base64
import io
import json
import re
import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go
import pytest
from PIL import Image

from blood_kedro.library.cells.describe import cells_by_class_and_scanner
from blood_kedro.library.core.records import Data, Record
from blood_kedro.library.evaluation.coco_metrics import detection_metrics, metrics_by_source, metrics_otherwise
from blood_kedro.library.evaluation.errors import error_analysis
from blood_kedro.library.reporting import published_elmanna_2024, published_sahay_2025
from blood_kedro.library.reporting.chart import Chart
from blood_kedro.library.reporting.filters import counted, notes_in, picture
from blood_kedro.library.reporting.first_screen import MOST_HEADLINES, first_screen
from blood_kedro.library.reporting.interactive import classes_chart, curves_chart
from blood_kedro.library.reporting.results import Results
from blood_kedro.pipelines.reporting.nodes import draw_losses, summarize, write_report
from tests.fixtures.corpora import tiny_corpus, tiny_regimen

RUN = {
    "env": "laptop",
    "started": time.time(),
    "git_commit": None,
    "mlflow_run_id": None,
    "versions": {},
    "python": "3.11",
    "machine": {"cpus": 2, "gpu": None},
    "parameters": {},
}
UNIFIED = {
    "images": 2571,
    "annotations": 1,
    "train_images": 1,
    "val_images": 1,
    "test_images": 0,
    "annotations_per_class": {},
    "duplicate_groups": 0,
    "groups_crossing_splits": 0,
    "ignore_regions": 0,
    "duplicate_pairs": {},
    "split": "grouped",
    "split_leaks": {},
    "removed_classes": [],
    "data_fingerprint": "now",
    "notes": ["validation holds no cell of PBC"],
}


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Metrics of a detector that finds every other cell, and calls each of them normal."""
    truth = tiny_corpus(tmp_path_factory.mktemp("corpus") / "images")
    found = [
        {"image_id": a["image_id"], "category_id": 1, "bbox": a["bbox"], "score": 0.9}
        for a in truth["annotations"][::2]
    ]
    settings = {"resamples": 5, "seed": 0}
    return {
        **detection_metrics(truth, found, **settings),
        "split": "val",
        "by_source": metrics_by_source(truth, found, **settings),
        "otherwise": metrics_otherwise(truth, found, [], **settings),
        "analysis": error_analysis(truth, found, score=0.5, **settings),
        "predict_images_per_second": 1.0,
        "mlflow_run_id": "none",
        "weights_origin": "random",
        "regimen": tiny_regimen().recipe.model_dump(mode="json"),
        "repeats": "",
        "train_images": 8,
        "trained_in": None,
        "data_fingerprint": "now",
        "notes": ["only one slide was scored on"],
    }


def history() -> pd.DataFrame:
    losses = {f"val_{part}": 0.5 for part in ("loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg")}
    row = {
        "epoch": 1,
        "train_loss": 1.0,
        "val_loss": 1.0,
        "seconds": 1.0,
        "images_per_second": 1.0,
        "lr": 0.1,
        **losses,
    }
    return pd.DataFrame([row])


def record(dataset: str, *fingerprints: str, environment: str = "laptop") -> Record:
    states = [Data(each, {"bccd": 364}) for each in fingerprints]
    return Record(dataset, "node", environment, "2026-11-25T10:00:00+00:00", data={"unified_summary": states})


def saved(metrics: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Record]]:
    """A corpus, a regimen of it, and others that are not: of the demo, of an older corpus, of nobody knows what."""
    totals = {
        "input": {"segmenter": "watershed", "count_rule": "instances"},
        "smears": 1,
        "rbc": 9,
        "wbc": 0,
        "platelet": 0,
        "unfit_smears": 0,
        "megapixels_per_second": 1.0,
    }
    results = {
        "unified__unified_summary": UNIFIED,
        **{f"regimens__{name}__metrics": metrics for name in ("of_now", "of_before", "of_both", "of_demo")},
        **{f"regimens__{name}__history": history() for name in ("of_now", "of_before", "of_both", "of_demo")},
        "smear_inputs__count_old__count_totals": totals,
        "smear_inputs__count_none__count_totals": None,
    }
    known = [
        record("unified_summary", "now"),
        *(record(f"of_now.{part}", "now") for part in ("metrics", "history")),
        *(record(f"of_before.{part}", "before") for part in ("metrics", "history")),
        # Trained on the older corpus and scored on this one: its metrics carry the fingerprint of this one.
        record("of_both.metrics", "before", "now"),
        record("of_both.history", "before"),
        *(record(f"of_demo.{part}", "now", environment="base") for part in ("metrics", "history")),
    ]
    return results, {each.dataset: each for each in known}


def report_of(results: dict[str, Any], records: dict[str, Record]) -> tuple[dict[str, Any], str]:
    summary = summarize(RUN, records, **results)
    page = write_report(summary, b"", RUN, records, **results)
    return summary, re.sub(r"(?s)<(script|style).*?</\1>", "", page)


def test_what_was_not_measured_on_this_corpus_is_left_out_and_listed(metrics: dict[str, Any]) -> None:
    summary, page = report_of(*saved(metrics))
    assert set(summary["regimens"]) == {"of_now"}
    assert "counting" not in summary
    left_out = {each["name"]: each for each in summary["not_of_this_corpus"]}
    assert set(left_out) == {"of_before", "of_both", "of_demo", "count_old"}
    assert left_out["of_before"]["command"] == "kedro run --env=laptop --pipelines=detection_training,reporting"
    assert left_out["count_old"]["command"] == "kedro run --env=laptop --pipelines=sam_counting,reporting"
    assert "environment base" in left_out["of_demo"]["why"]
    listed, _, rest = page.partition('<section id="data">')
    assert "Left out of this page" in listed
    assert {name for name in left_out if name in listed} == set(left_out)
    assert not {name for name in left_out if name in rest}
    assert "of_now" in rest


def test_data_of_their_own_are_named_as_such(metrics: dict[str, Any]) -> None:
    results, records = saved(metrics)
    totals = results["smear_inputs__count_old__count_totals"]
    own = Record(
        "count_own.count_totals",
        "node",
        "laptop",
        "2026-11-25T10:00:00+00:00",
        data={"synthetic.cells": [Data("x", {"synthetic": 6})]},
    )
    made = Record("synthetic.cells", "node", "laptop", "2026-11-25T10:00:00+00:00", data=own.data)
    known = {**records, own.dataset: own, made.dataset: made}
    _, page = report_of({**results, "smear_inputs__count_own__count_totals": totals}, known)
    assert "not on those of section 1: count_own (generated cells)." in page


def test_a_report_of_one_corpus_lists_nothing(metrics: dict[str, Any]) -> None:
    results, records = saved(metrics)
    ours = {key: value for key, value in results.items() if "of_now" in key or key.startswith("unified")}
    summary, page = report_of(ours, records)
    assert "not_of_this_corpus" not in summary
    assert "Left out of this page" not in page


def test_loss_curves_are_of_this_corpus_too(metrics: dict[str, Any]) -> None:
    results, records = saved(metrics)
    histories = {key: value for key, value in results.items() if key.endswith("history")}
    (axes,) = draw_losses(RUN, records, **histories).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["of_now, training", "of_now, validation"]


def test_notes_stand_beside_their_results(metrics: dict[str, Any]) -> None:
    _, page = report_of(*saved(metrics))
    assert page.count('<p class="note">only one slide was scored on</p>') == 1
    assert "validation holds no cell of PBC" in page
    few = {**metrics, "interval_basis": {"unit": "slides", "groups": 3, "few_groups": True}}
    results, records = saved(few)
    assert "Intervals are over slides (3 groups): too few" in report_of(results, records)[1]
    assert notes_in({"notes": ["a"], "coarse": {"notes": ["b", "a"]}, "rows": [{"notes": ["c"]}]}) == ["a", "b", "c"]
    assert notes_in({"missing_from_parts": ["d"], "runs": [{"missing": ["e"]}, {"missing": None}]}) == ["d", "e"]
    assert notes_in(None) == notes_in(3) == []


def test_table_iv_has_both_deltas(metrics: dict[str, Any]) -> None:
    better = {**metrics, "ap_50_per_class": {**metrics["ap_50_per_class"], "normal_rbc": 0.25}}
    worse = {**metrics, "ap_50_per_class": {**metrics["ap_50_per_class"], "normal_rbc": 0.5}}
    results = {"unified__unified_summary": UNIFIED}
    for name, measured in (("regimen_1", worse), ("regimen_2", better)):
        results |= {f"regimens__{name}__metrics": measured, f"regimens__{name}__history": history()}
    names = ["unified_summary", *(f"regimen_{k}.{part}" for k in (1, 2) for part in ("metrics", "history"))]
    _, page = report_of(results, {name: record(name, "now") for name in names})
    row = next(line for line in page.split("<tr>") if line.startswith("<td>normal_rbc</td>"))
    assert '<td class="pub">+0.0746</td>' in row
    assert '<td class="our">-0.2500</td>' in row


def test_published_figures_are_those_of_the_paper() -> None:
    # Table IV prints its deltas; Table 4 of Elmanna et al. 2024 its averages, which are those of its columns.
    printed = {"lymphocyte": 0.0403, "segmented_neutrophil": 0.1898, "macrocyte": -0.0845, "stomatocyte": -0.0161}
    for label, delta in printed.items():
        first, second = published_sahay_2025.AP_50_PER_CLASS[label]
        assert second - first == pytest.approx(delta)
    for loss, averages in enumerate(published_elmanna_2024.AVERAGE):
        columns = zip(*(each[loss] for each in published_elmanna_2024.PER_CLASS.values()), strict=True)
        for printed_average, column in zip(averages, columns, strict=True):
            assert sum(column) / len(column) == pytest.approx(printed_average, abs=0.011)
    assert set(published_elmanna_2024.P_VALUES) == set(published_elmanna_2024.COMPARISON) - {"efficientnet_b0"}


def test_counts_have_their_accuracy_where_a_reference_is_known() -> None:
    error = {
        "counted": 95.0,
        "labelled": 100.0,
        "images": 2,
        "labelled_per_image": [1.0, 2.0],
        "mean_absolute_error": 1.0,
        "bias": 0.0,
        "sum_error_percent": -5.0,
        "interval_95": {"mean_absolute_error": [None, None], "bias": [None, None]},
    }
    totals = {
        "input": {"segmenter": "watershed", "count_rule": "instances"},
        "smears": 2,
        "rbc": 95,
        "wbc": 0,
        "platelet": 0,
        "unfit_smears": 0,
        "megapixels_per_second": 1.0,
        "errors": {"rbc": error},
        "notes": ["few smears"],
    }
    results = {"smear_inputs__count_bccd__count_totals": totals}
    known = {"count_bccd.count_totals": Record("count_bccd.count_totals", "n", "laptop", "2026-11-25T10:00:00")}
    summary, page = report_of(results, known)
    row = next(line for line in page.split("<tr") if "<td>count_bccd</td><td>watershed</td>" in line)
    assert "<td>100" in row
    assert "<td>95.00%</td>" in row
    assert "few smears" in page
    assert summary["counting"]["count_bccd"]["rbc"] == 95


def test_cells_by_class_and_scanner() -> None:
    table = pd.DataFrame(
        {
            "shape": ["ovalocyte", "ovalocyte", None, None],
            "label": [None, None, "teardrop", None],
            "label_raw": ["x", "x", "x", "own word"],
            "scanner": ["scanner_1", "scanner_2", "scanner_1", None],
        }
    )
    found = cells_by_class_and_scanner(table)
    assert found.to_dict("records") == [
        {"class": "ovalocyte", "scanner": "scanner_1", "cells": 1},
        {"class": "ovalocyte", "scanner": "scanner_2", "cells": 1},
        {"class": "own word", "scanner": "no scanner named", "cells": 1},
        {"class": "teardrop", "scanner": "scanner_1", "cells": 1},
    ]


def test_papers_are_named_by_their_titles(metrics: dict[str, Any]) -> None:
    _, page = report_of(*saved(metrics))
    assert "Generalizable Blood Cell Detection via Unified Dataset and Faster R-CNN" in page


def png_of(pixels: npt.NDArray[np.uint8]) -> bytes:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG")
    return written.getvalue()


def test_photographs_are_made_small_and_charts_are_left_as_they_are() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)
    address = picture(png_of(noise))
    assert address.startswith("data:image/webp;base64,")
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as image:
        assert image.size == (80, 60)
    flat = png_of(np.full((60, 80, 3), 200, np.uint8))
    assert picture(flat) == "data:image/png;base64," + base64.b64encode(flat).decode()


def test_the_first_screen_says_what_ran_on_what(metrics: dict[str, Any]) -> None:
    made = Record("x.metrics", "n", "base", "2026-11-25T10:00:00", data={"x.cells": [Data("f", {"synthetic": 6})]})
    real = Record("y.metrics", "n", "base", "2026-11-25T10:00:00", data={"y.cells": [Data("f", {"bccd": 364})]})
    kinds = {
        "none": Results(),
        "demo": Results(records={"x.metrics": made}),
        "real": Results(records={"y.metrics": real}),
        "mixed": Results(records={"x.metrics": made, "y.metrics": real}),
    }
    assert {kind: first_screen(results, {}).kind for kind, results in kinds.items()} == {kind: kind for kind in kinds}
    regimens = {
        "worse": {"metrics": {**metrics, "map_50": 0.125}},
        "better": {"metrics": {**metrics, "map_50": 0.25}, "predictions_figure": b"png"},
    }
    first = first_screen(Results(unified={"unified_summary": UNIFIED}), regimens)
    assert "2,571 pictures" in first.what
    assert "2 detectors" in first.what
    assert [headline.value for headline in first.headlines] == ["0.250"]
    assert "published: 0.448" in first.headlines[0].published
    assert (first.picture, first.picture_section) == (b"png", "detection")


def test_the_first_screen_has_three_figures_at_most(metrics: dict[str, Any]) -> None:
    labelled = {"rbc": {"counted": 150.0, "labelled": 100.0}}
    results = Results(
        classifiers={"a": {"metrics": {"accuracy": 0.5, "test_cells": 8, "classes": ["x", "y"]}}},
        smear_inputs={"b": {"count_totals": {"smears": 1, "errors": labelled}}},
        overlap_classifiers={"c": {"metrics": {"against_truth": {"accuracy": 0.75, "crops": 4}}}},
    )
    everything = first_screen(results, {"r": {"metrics": metrics}}).headlines
    assert [headline.section for headline in everything] == ["detection", "morphology", "counting"]
    assert len(everything) == MOST_HEADLINES
    assert [headline.value for headline in first_screen(results, {}).headlines] == ["50.0%", "+50.0%", "75.0%"]
    assert counted({"errors": labelled})["accuracy"] == pytest.approx(0.5)


def test_classes_of_few_cells_are_folded_away_and_have_no_curve(metrics: dict[str, Any]) -> None:
    label, *_ = metrics["objects_per_class"]
    many = {**metrics, "objects_per_class": {**dict.fromkeys(metrics["objects_per_class"], 29), label: 30}}
    regimens = {"of_now": {"metrics": many, "history": history()}}
    chart = classes_chart(regimens)
    assert chart is not None
    assert set(chart.data["class"]) == {label}
    curves = curves_chart({"of_now": {"metrics": {**many, "coarse": {**many["coarse"], "objects_per_class": {}}}}})
    assert curves is not None
    assert set(curves.data["class"]) == {label}
    results, records = saved(many)
    _, page = report_of(results, records)
    open_table, _, rest = page.partition("AP50 per class")[2].partition("<details>")
    assert [row for row in open_table.split("<tr") if f"<td>{label}</td>" in row]
    assert not [row for row in open_table.split("<tr") if "<td>basophil</td>" in row]
    assert "<td>basophil</td>" in rest.partition("</details>")[0]


def test_a_chart_cannot_end_the_script_that_holds_it() -> None:
    figure = go.Figure(layout={"title": {"text": "</script><b>"}, "height": 300})
    text = Chart("x", figure, pd.DataFrame()).json_of_page
    assert "<" not in text
    assert json.loads(text)["layout"]["title"]["text"] == "</script><b>"


def test_every_section_is_in_the_contents_and_has_a_question(metrics: dict[str, Any]) -> None:
    _, page = report_of(*saved(metrics))
    linked = re.findall(r'<a href="#(\w+)">\d', page)
    assert linked == re.findall(r'<section id="(\w+)">', page) == ["data", "detection", "rejects", "origin"]
    assert len(re.findall(r"<h2>\d [^<]+\?</h2>", page)) == len(linked)
