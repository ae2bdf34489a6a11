"""How the report's pages say things: filters of its templates."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import pandas as pd
from PIL import Image

from blood_kedro.library.reporting.chart import data_address
from blood_kedro.library.reporting.headlines import counted


def departures(regimen: dict[str, Any], repeats: str) -> str:
    """What a regimen does that plain Faster R-CNN does not, in words; `repeats`: which one it repeats, if anything."""
    parts = {
        f"without {regimen['leave_out']}": regimen["leave_out"],
        f"{regimen['sampler']} sampling": regimen["sampler"] != "uniform",
        f"{regimen['head_loss']} loss": regimen["head_loss"] != "cross_entropy",
        "ignore regions": regimen["ignore_regions"],
        regimen["label_space"]: regimen["label_space"] != "merged",
        "copy-paste": regimen["copy_paste"],
        "fitted anchors": regimen["network"]["anchors"] == "fitted",
        f"seed {regimen['seed']}": repeats,
    }
    return ", ".join(text.replace("_", " ") for text, applies in parts.items() if applies) or "–"


# What parts of a split lack is told as notes are.
_NOTES = ("notes", "missing", "missing_from_parts")


def notes_in(result: Any) -> list[str]:  # noqa: ANN401 - JSON-like
    """Every note that a result holds under one of `_NOTES`, at any depth, each once."""
    parts = result.values() if isinstance(result, dict) else result if isinstance(result, list) else ()
    noted = [note for key in _NOTES for note in result.get(key) or ()] if isinstance(result, dict) else []
    notes = [note for note in noted if isinstance(note, str)]
    return list(dict.fromkeys([*notes, *(note for part in parts for note in notes_in(part))]))


def basis(metrics: dict[str, Any], unit: str) -> str:
    """What intervals were drawn over, and how many of it where the result says so."""
    facts = metrics.get("interval_basis") or {}
    number = facts.get("groups")
    return str(facts.get("unit", unit)) + (f" ({number:,} groups)" if number is not None else "")


def signed(value: float | None) -> str:
    """A difference with its sign, or a dash where it is undefined."""
    return "–" if value is None else f"{value:+.4f}"


def p_value(value: float | None) -> str:
    """A p-value, or a dash where there is none."""
    return "–" if value is None or math.isnan(value) else f"{value:.2E}"


def number(value: float | None, digits: int = 4) -> str:
    """A figure, or a dash where it is undefined."""
    return "–" if value is None else f"{value:.{digits}f}"


def percent(value: float | None, digits: int = 2) -> str:
    """A share in per cent, or a dash where it is undefined."""
    return "–" if value is None or math.isnan(value) else f"{100 * value:.{digits}f}"


def confusion_csv(matrix: list[list[float]], classes: list[str]) -> str:
    """Address of a confusion matrix as CSV: rows are labelled, columns found."""
    table = pd.DataFrame(matrix, columns=classes)
    table.insert(0, "labelled", classes)
    return data_address(table)


# PNG writes charts in less than this, photographs in more: bytes for each pixel.
_PHOTOGRAPH_BYTES = 0.1
_QUALITY = 80


def picture(content: bytes) -> str:
    """Address of a picture that holds the picture itself; photographs as WebP, a tenth of the size, the rest as it is.

    Args:
        content: of a PNG file.
    """
    if content:
        with Image.open(io.BytesIO(content)) as image:
            if len(content) > _PHOTOGRAPH_BYTES * image.width * image.height:
                written = io.BytesIO()
                image.convert("RGB").save(written, "WEBP", quality=_QUALITY)
                return "data:image/webp;base64," + base64.b64encode(written.getvalue()).decode("ascii")
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


FILTERS = {
    "signed": signed,
    "p_value": p_value,
    "notes": notes_in,
    "basis": basis,
    "counted": counted,
    "number": number,
    "picture": picture,
    "departures": departures,
    "percent": percent,
    "confusion_csv": confusion_csv,
}
