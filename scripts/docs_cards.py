"""Tables that pages ask for by a comment: data and figures of the shipped models, licences of the data sets.

mkdocs calls this when it builds the site, after `docs_pages.py`. A model's card (`docs/models/<model>.md`) says in
words what it is for and where it fails; its figures are read from what the model carries beside its weights, and
licences from `library/download/published.yml`, so that none is typed a second time.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

MODELS = Path(__file__).parents[1] / "src/blood_kedro/models"
CELL_NAMES = {"rbc": "red cells", "wbc": "white cells", "platelet": "platelets"}
LABORATORIES = {
    "bccd": "BCCD", "pbc": "PBC", "raabin": "Raabin", "chula": "Chula", "ojaghi": "Ojaghi",
    "bccd_own": "BCCD, official test list",
}  # fmt: skip

LEAST_CELLS = 10  # with fewer labelled cells, an error of their count says nothing
# What a licence allows, by how it begins in `published.yml`. A summary, no legal advice: the licence itself decides.
ALLOWED = {
    "MIT": "using, changing and sharing, also for money; the notice of copyright and licence stays with every copy",
    "CC BY 4.0": "using, changing and sharing, also for money; name the authors and the licence, say what was changed",
    "none stated": "nothing beyond what the law allows everybody: ask the authors before you share pictures or train "
    "a model that you share",
    "research use": "research; read the terms on its page before you download",
}
_READ_IT = "read the terms on its page before you download"

_ASKED_FOR = re.compile(r"<!-- (data|figures) of (\w+) -->")


def on_page_markdown(markdown: str, **_: Any) -> str:  # noqa: ANN401 - mkdocs' own signature
    """Put tables where a page asks for them: `<!-- data of cells -->`, `<!-- figures of cells -->`, licences."""
    if "<!-- licences of data sets -->" in markdown:
        markdown = markdown.replace("<!-- licences of data sets -->", licence_table())
    return _ASKED_FOR.sub(lambda asked: _table(asked[1], asked[2]), markdown)


def _table(kind: str, model: str) -> str:
    config = json.loads((MODELS / model / "config.json").read_text(encoding="utf-8"))
    if kind == "data":
        return data_table(config)
    return detector_table(config) if "scores" in config["figures"] else classifier_table(config)


def data_table(config: dict[str, Any]) -> str:
    """What a model learnt from, and under which licence, from its `config.json`; each set leads to its homes."""
    rows = ["| learnt from | what of it | licence |", "|---|---|---|"]
    for entry in config["data"]:
        first, *others = (f"https://{home.strip()}" for home in entry["home"].split(";"))
        more = "".join(f", <{home}>" for home in others)
        rows.append(f"| [{entry['set']}]({first}){more} | {entry['holds']} | {entry['licence']} |")
    return "\n".join(rows)


def licence_table() -> str:
    """Every public set: its licence, what that allows, and the words to name it by."""
    from blood_kedro.library.download.published import published

    rows = ["| set | licence | allows | name it as |", "|---|---|---|---|"]
    for name, entry in published().items():
        allowed = next((text for start, text in ALLOWED.items() if entry.licence.startswith(start)), _READ_IT)
        rows.append(f"| [{name}](cards/{name}.md) | {entry.licence} | {allowed} | {entry.citation} |")
    return "\n".join(rows)


def detector_table(config: dict[str, Any]) -> str:
    """A row for each laboratory and class with no hint of scale: those that a training left out, then the others."""
    scores = [score for score in config["figures"]["scores"] if score["scale"] == "none"]
    lines = []
    for title, unseen in (("Laboratories never seen", True), ("Laboratories of its training sets", False)):
        lines += [f"### {title}", ""]
        lines += ["| laboratory | cells | pictures / groups | labelled | AP50 | error of a count | count exact |"]
        lines += ["|---|---|---|---|---|---|---|"]
        lines += [_detector_row(score) for score in scores if score["unseen"] == unseen] + [""]
    return "\n".join(lines)


def _detector_row(score: dict[str, Any]) -> str:
    error = "" if score["cells"] < LEAST_CELLS else f"{score['count_error']:.1%}"
    return (
        f"| {LABORATORIES[score['laboratory']]} | {CELL_NAMES[score['class']]} "
        f"| {score['pictures']} / {score['groups']} | {score['cells']:,} "
        f"| {_interval(score['ap_50'], score['ap_50_low'], score['ap_50_high'])} | {error} | {score['exact']:.0%} |"
    )


def classifier_table(config: dict[str, Any]) -> str:
    """A row for each laboratory: left out of the training where that was measured, and at home; then F1 by class."""
    rows = ["| laboratory | cells / groups | accuracy | macro F1 | calibration error |", "|---|---|---|---|---|"]
    for laboratory, part in config["left_out"].items():
        if "intervals" in part:
            rows.append(_classifier_row(f"{LABORATORIES[laboratory]}, never seen", part))
    at_home = config["figures"]["test"]
    rows += [_classifier_row(f"{LABORATORIES[name]}, of its training sets", part) for name, part in at_home.items()]
    for laboratory, part in at_home.items():
        rows += ["", f"F1 by class, {LABORATORIES[laboratory]} (cells that it did not learn from):", ""]
        rows += ["| class | cells | F1 |", "|---|---|---|"]
        for name, figures in part["per_class"].items():
            rows.append(f"| {name.replace('_', ' ')} | {figures['cells']} | {_share(figures['f1'])} |")
    answered = config["figures"]["answered_at_threshold"]
    rows += [
        "",
        f"Where it is surer than {answered['threshold']:.3f} it answers, else it says `other`: it answers "
        f"{answered['share_answered']:.0%} of these cells, and {answered['accuracy']:.3f} of the answers are right.",
    ]
    return "\n".join(rows)


def _classifier_row(place: str, part: dict[str, Any]) -> str:
    accuracy = _interval(part["accuracy"], *part["intervals"]["accuracy"])
    f1 = _interval(part["f1"], *part["intervals"]["f1"])
    return f"| {place} | {part['cells']:,} / {part['groups']:,} | {accuracy} | {f1} | {_share(part['ece'])} |"


def _interval(value: float, low: float, high: float) -> str:
    return f"{_share(value)}&nbsp;[{_share(low)},&nbsp;{_share(high)}]"  # on one line


def _share(value: float) -> str:
    """Three digits without the leading zero, as the pages of results print shares."""
    return f"{value:.3f}".removeprefix("0")
