"""The page of a read-out: verdict and three numbers first, outlines that can be toggled, then each part."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from blood_kedro.library.core.colours import TEXT
from blood_kedro.library.reporting.picture_pages import CELLS, COCO, COUNTS, OVERLAYS, PAGE, coco_of, overlay
from blood_kedro.library.reporting.viewer import OutlinedPicture, as_json, script, shown_picture, style, viewer_data

FIGURES, PICTURES, MASKS = "read_out.json", "pictures", "masks"
# Which fields of a slide were read: begins the name of that picture.
MAPS = "fields_"
# Below the pictures: sheets of close-ups of their cells.
_CLOSE_UPS = "close_ups"
# A browser draws so many outlines without effort; of pictures with more cells, boxes are drawn.
MOST_OUTLINES = 4000
# So many pictures that are not fit are named above the numbers; all of them stand in the table.
_MOST_REASONS = 6
_KINDS = (("rbc", "Red cells"), ("wbc", "White cells"), ("platelet", "Platelets"))
_FILES = (
    (CELLS, "one row per cell"),
    (COUNTS, "one row per picture"),
    (FIGURES, "all numbers of this page"),
    (COCO, "for annotation tools"),
    (MASKS, "label images for napari and ImageJ, contours for QuPath"),
    (OVERLAYS, "pictures with boxes and names"),
)


def write_page(
    folder: Path,
    figures: dict[str, Any],
    pictures: Iterable[OutlinedPicture],
    cells: pd.DataFrame,
    notes: Sequence[str],
    rejects: pd.DataFrame,
    types: Mapping[str, Sequence[str]],
    maps: Sequence[tuple[str, str]] = (),
    *,
    whole: bool,
) -> Path:
    """Write pictures, overlays, tables and the page into a folder that nobody reads yet; the path of the page.

    Args:
        folder: empty, but for `masks`.
        figures: of `readout.read_out.ReadOut`, as a dictionary.
        pictures: in the order of `figures["pictures"]`; taken one at a time.
        cells: one row per cell of all pictures, as they go into `cells.csv`.
        notes: sentences above the picture.
        rejects: what could not be used.
        types: that a cell of each kind may be corrected to.
        maps: name of a slide and the picture of which of its fields were read, a file in `folder`.
        whole: whether differential, shapes, sizes and platelets are shown, too.
    """
    for name in (PICTURES, OVERLAYS):
        (folder / name).mkdir()
    shown = [_shown(folder, each) for each in pictures]
    cells.to_csv(folder / CELLS, index=False)
    (folder / FIGURES).write_text(json.dumps(figures, indent=1, allow_nan=False), encoding="utf-8")
    rows = figures["pictures"]
    pd.DataFrame(map(_counted, rows)).to_csv(folder / COUNTS, index=False)
    sizes = pd.DataFrame([{"image": row["name"], **{k: row[k] for k in ("width_px", "height_px")}} for row in rows])
    names = {row["name"]: row["file"] or row["name"] for row in rows}
    shown_cells = cells.rename(columns={"smear": "image", "confidence": "score"})
    (folder / COCO).write_text(json.dumps(coco_of(shown_cells, sizes, names)), encoding="utf-8")
    html = Html(figures, rejects, notes, maps, whole=whole)
    files = [(name, what) for name, what in _FILES if (folder / name).exists()]
    data = as_json(viewer_data(shown, types, "save corrections as a file"))
    page = html.of("read_out.html.j2", viewer=data, script=script(), files=files)
    (folder / PAGE).write_text(page, encoding="utf-8")
    return folder / PAGE


class Html:
    """A read-out as HTML, whole or in parts.

    Args:
        figures: of `readout.read_out.ReadOut`, as a dictionary.
        rejects: what could not be used.
        notes: sentences above the picture.
        maps: see `write_page`.
        whole: likewise.
    """

    def __init__(
        self,
        figures: dict[str, Any],
        rejects: pd.DataFrame,
        notes: Sequence[str] = (),
        maps: Sequence[tuple[str, str]] = (),
        *,
        whole: bool,
    ) -> None:
        rows = figures["pictures"]
        self._context = {
            "title": "Read-out" if whole else "Cells counted",
            "whole": whole,
            "figures": figures["together"],
            "verdict": _verdict(rows),
            "rows": rows,
            "kinds": _KINDS,
            "colours": TEXT,
            "style": style(),
            "scale_line": _scale_line(rows),
            "notes": notes,
            "maps": maps,
            "rejects": rejects.to_dict("records"),
            "made_with": _made_with(figures["made_with"]),
        }

    def first(self) -> str:
        """Verdict, three numbers, notes."""
        return self.of("read_out_first.html.j2")

    def parts(self) -> str:
        """Differential, shapes, sizes, platelets, pictures, and what was not used."""
        return self.of("read_out_parts.html.j2")

    def of(self, template: str, **more: Any) -> str:  # noqa: ANN401 - of the template
        """A template filled."""
        return _templates().get_template(template).render(**self._context, **more)


def styles() -> str:
    """CSS of the parts, and of the viewer."""
    return _templates().get_template("read_out_parts.css.j2").render(colours=TEXT, style=style())


def _templates() -> Environment:
    loader = PackageLoader("blood_kedro.library.reporting")
    return Environment(loader=loader, undefined=StrictUndefined, autoescape=True)


def _shown(folder: Path, each: OutlinedPicture) -> dict[str, Any]:
    """Writes a picture and its overlay; what the viewer shows of it."""
    name = each.picture.name
    _write_jpeg(folder / PICTURES / f"{name}.jpg", each.picture.rgb)
    _write_jpeg(folder / OVERLAYS / f"{name}.jpg", overlay(each.picture, each.cells))
    if each.close_ups is not None:
        (folder / PICTURES / _CLOSE_UPS).mkdir(exist_ok=True)
        _write_jpeg(folder / PICTURES / _CLOSE_UPS / f"{name}.jpg", each.close_ups.rgb)
    return shown_picture(each, f"{PICTURES}/{quote(name)}.jpg", f"{PICTURES}/{_CLOSE_UPS}/{quote(name)}.jpg")


def _counted(row: dict[str, Any]) -> dict[str, Any]:
    """The row of a picture in the table of counts."""
    counts = {kind: row["cells"][kind] for kind, _ in _KINDS}
    limits = {f"{kind}_{end}_95": number[end] for kind, number in counts.items() for end in ("low", "high")}
    return {
        "picture": row["name"],
        "verdict": row["verdict"]["line"],
        **{kind: round(number["value"]) for kind, number in counts.items()},
        **limits,
        **{name: row["scale"][name] for name in ("cell_px", "origin", "confidence", "um_per_px")},
        **{name: row[name] for name in ("width_px", "height_px")},
    }


def _verdict(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """On all pictures together."""
    if len(rows) == 1:
        return dict(rows[0]["verdict"])
    unfit = [row for row in rows if not row["verdict"]["fit"]]
    line = f"{len(rows) - len(unfit)} of {len(rows)} pictures are fit for counting"
    reasons = [f"{row['name']}: {row['verdict']['line'].partition(': ')[2]}" for row in unfit]
    more = len(reasons) - _MOST_REASONS
    said = [*reasons[:_MOST_REASONS], f"and {more} more, in the table of pictures"] if more > 0 else reasons
    return {"fit": not unfit, "line": line, "reasons": said}


def _made_with(made_with: dict[str, Any]) -> str:
    models = ", ".join(f"{name} {digest[:12]}" for name, digest in made_with["models"].items())
    return f"Made with blood-kedro {made_with['version']}; weights: {models}."


def _scale_line(rows: Sequence[dict[str, Any]]) -> str:
    """At which width of a red cell the pictures were read, and how that is known."""
    how = {"measured": "measured on", "given": "given for", "metadata": "from the resolution that is stated in"}
    if len(rows) > 1:
        widths = [row["scale"]["cell_px"] for row in rows]
        return f"Red cells are {min(widths):.0f} to {max(widths):.0f} px wide; how that is known stands in the table."
    scale = rows[0]["scale"]
    um = f"; {scale['um_per_px']:.3g} µm per px ({scale['um_origin']})" if scale["um_per_px"] else ""
    sure = f", confidence {scale['confidence']:.2f} of 1" if scale["origin"] == "measured" else ""
    return f"A red cell is {scale['cell_px']:.0f} px wide, {how[scale['origin']]} this picture{sure}{um}."


def _write_jpeg(path: Path, rgb: npt.NDArray[np.uint8]) -> None:
    done, data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    if not done:
        raise OSError(f"{path.name} cannot be encoded")
    path.write_bytes(data.tobytes())
