"""The first screen of the report: what ran, on what, at most three headline figures, one picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from blood_kedro.library.core.records import GENERATED, pictures_of
from blood_kedro.library.reporting import (
    published_elmanna_2024,
    published_gurav_2025,
    published_rao_2024,
    published_sahay_2025,
)
from blood_kedro.library.reporting.headlines import best_of, counted
from blood_kedro.library.reporting.results import Results

MOST_HEADLINES = 3

_BADGES = {
    "none": "No results yet",
    "demo": "Demo: generated smears",
    "real": "Real pictures",
    "mixed": "Real pictures, and generated ones",
}
_CAUTIONS = {
    "none": "Run the pipelines first: make run.",
    "demo": "A simulator drew these smears, and training took minutes: the page shows that every step works, not how "
    "well a method does on blood. For that, give real pictures (make real) and enough training.",
    "real": "",
    "mixed": "Results on generated smears are marked as such; they do not tell how a method does on blood.",
}


@dataclass(frozen=True)
class Headline:
    """One figure as it stands on the first screen: all as text, and the section that has it in full."""

    value: str
    name: str
    detail: str
    published: str
    section: str


@dataclass(frozen=True)
class FirstScreen:
    """What it shows.

    Attributes:
        kind: `none`, `demo`, `real` or `mixed`, by the pictures that results rest on.
        badge: the kind in words.
        what: what ran, in a sentence.
        caution: how the figures are to be read; may be empty.
        headlines: at most `MOST_HEADLINES`.
        picture: PNG, or None.
        picture_says: what it shows.
        picture_section: where the page has it again.
    """

    kind: str
    badge: str
    what: str
    caution: str
    headlines: list[Headline]
    picture: bytes | None
    picture_says: str
    picture_section: str


def first_screen(results: Results, regimens: Mapping[str, dict[str, Any]]) -> FirstScreen:
    """Built of saved results.

    Args:
        results: those that the page shows.
        regimens: those of them that were trained and scored.
    """
    kind = _kind(results)
    builders: tuple[Callable[[], Headline | None], ...] = (
        lambda: _detection(regimens),
        lambda: _cells(results),
        lambda: _counts(results),
        lambda: _overlap(results),
    )
    headlines = [headline for build in builders if (headline := build()) is not None]
    picture, says, section = _picture(results, regimens)
    return FirstScreen(
        kind,
        _BADGES[kind],
        _what(results, regimens),
        _CAUTIONS[kind],
        headlines[:MOST_HEADLINES],
        picture,
        says,
        section,
    )


def _kind(results: Results) -> str:
    """Whether results rest on generated pictures, on real ones, or on both."""
    sources = {name for name, parts in results.sources.items() if parts}
    sources |= {source for record in results.records.values() for source in pictures_of(record)}
    if not sources:
        return "none"
    return "demo" if sources == {GENERATED} else "mixed" if GENERATED in sources else "real"


def _what(results: Results, regimens: Mapping[str, dict[str, Any]]) -> str:
    """In one sentence: `12 pictures with 553 labelled cells; 2 detectors, 1 set of counted smears`."""
    parts = []
    corpus = results.unified.get("unified_summary")
    if corpus is not None:
        sources = ", ".join(sorted(name for name, of_source in results.sources.items() if of_source))
        sources = sources.replace(GENERATED, "the simulator")
        cells = sum(corpus["annotations_per_class"].values()) or corpus["annotations"]
        parts.append(
            f"{corpus['images']:,} pictures{f' of {sources}' if sources else ''} with {cells:,} labelled cells"
        )
    numbers = (
        (len(regimens), "detector"),
        (_with("metrics", results.segmenters), "segmenter of single cells"),
        (_with("metrics", results.classifiers), "classifier of red-cell shapes"),
        (_with("metrics", results.overlap_classifiers), "classifier of overlapping cells"),
        (_with("count_totals", results.smear_inputs), "set of counted smears"),
    )
    models = ", ".join(_several(number, name) for number, name in numbers if number)
    return "; ".join([*parts, *([models] if models else [])]) + "." if parts or models else "Nothing has run yet."


def _several(number: int, name: str) -> str:
    first, *rest = name.split(" ")
    return " ".join([str(number), first + ("s" if number > 1 else ""), *rest])


def _with(part: str, group: Mapping[str, Mapping[str, Any]]) -> int:
    return sum(part in parts for parts in group.values())


def _detection(regimens: Mapping[str, dict[str, Any]]) -> Headline | None:
    name = best_of(dict(regimens), lambda parts: parts["metrics"]["map_50"])
    if name is None:
        return None
    metrics = regimens[name]["metrics"]
    detail = f"{name}, on {metrics['images']:,} images with {metrics['objects']:,} cells"
    low, high = metrics["interval_95"].get("map_50") or (None, None)
    if low is not None:
        detail += f"; 95% interval {low:.2f} to {high:.2f}"
    best = max(published_sahay_2025.METRICS["map_50"])
    return Headline(
        f"{metrics['map_50']:.3f}",
        "AP50 of the best detector, mean over cell classes",
        detail,
        f"published: {best:.3f}, on other data",
        "detection",
    )


def _cells(results: Results) -> Headline | None:
    scored = {name: parts["metrics"] for name, parts in results.classifiers.items() if "metrics" in parts}
    name = best_of(scored, lambda metrics: metrics["accuracy"])
    if name is None:
        return None
    best = max(row[0] for row in published_elmanna_2024.COMPARISON.values())
    return Headline(
        f"{100 * scored[name]['accuracy']:.1f}%",
        "of single red cells named right",
        f"{name}, {scored[name]['test_cells']:,} cells of {len(scored[name]['classes'])} classes",
        f"published: {best:.1f}%, on other data",
        "morphology",
    )


def _counts(results: Results) -> Headline | None:
    facts = {
        name: counted(parts["count_totals"]) for name, parts in results.smear_inputs.items() if "count_totals" in parts
    }
    name = best_of(facts, lambda of_input: of_input["accuracy"])
    if name is None:
        return None
    errors = [(count - by_hand) / by_hand for count, by_hand, _ in published_rao_2024.COUNTS.values()]
    return Headline(
        f"{100 * facts[name]['error']:+.1f}%",
        "error of the count of red cells",
        f"{name}, on {facts[name]['by_hand']:,.0f} red cells ({facts[name]['what']})",
        f"published: {100 * min(errors, key=abs):+.1f}%, on other smears",
        "counting",
    )


def _overlap(results: Results) -> Headline | None:
    judged = {
        name: parts["metrics"]["against_truth"]
        for name, parts in results.overlap_classifiers.items()
        if "against_truth" in parts.get("metrics", {})
    }
    name = best_of(judged, lambda measures: measures["accuracy"])
    if name is None:
        return None
    best = max(model["accuracy"] for model in published_gurav_2025.MODELS.values() if model["accuracy"] is not None)
    return Headline(
        f"{100 * judged[name]['accuracy']:.1f}%",
        "of cells told right: single or overlapping",
        f"{name}, {judged[name]['crops']:,} cells whose truth is known",
        f"published: {100 * best:.0f}% of 10 cells, judged by the rule that labelled them",
        "overlap",
    )


def _picture(results: Results, regimens: Mapping[str, dict[str, Any]]) -> tuple[bytes | None, str, str]:
    """Counted cells of a smear, else predictions of a detector, else segmented cells."""
    for name, parts in results.smear_inputs.items():
        if "count_figure" in parts:
            return parts["count_figure"], f"Counted cells of {name}: the outline that was found of each.", "counting"
    for name, parts in regimens.items():
        if "predictions_figure" in parts:
            return parts["predictions_figure"], f"What {name} predicts (red) and what is labelled (green).", "detection"
    for name, parts in results.segmenters.items():
        if "masks_figure" in parts:
            return parts["masks_figure"], f"Single cells, segmented by {name}.", "morphology"
    return None, "", ""
