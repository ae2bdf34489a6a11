"""Speed and memory of the models that come with the project: a field to cells, types and shapes; a slide to cells."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from common import Step, glance, parameters, peak_memory_mb, seconds, table
from shipped_engines import report as engines

import blood_kedro
from blood_kedro.library.imaging.read import RgbImage, read_rgb
from blood_kedro.library.shipped.classifiers import TypeClassifier
from blood_kedro.library.smears.options import SmearOptions
from blood_kedro.library.smears.write import write_smears

FIELD_PX, SLIDES_PX = (640, 480), (4000, 8000)
# A red cell of a slide scanned at 0.25 micrometres per px.
SLIDE_CELL_PX = 30.0


def report(raw: Path, work: Path) -> list[str]:
    """Lines of docs/benchmarks.md."""
    rgb, what = _field(raw, work)
    lines = [
        "## Models that come with the project",
        "",
        f"{what}, {FIELD_PX[0]}x{FIELD_PX[1]} px; best of three, warm.",
        "",
    ]
    steps = _steps(rgb)
    lines += table("step | seconds", (f"{name} | {best:.2f}" for name, best in steps))
    memory = [peak_memory_mb(_read_out, count, work) for count in (1, 4)]
    lines += ["Peak memory of a process that does all of it:", ""]
    lines += table("fields | peak MB", (f"{n} | {mb:.0f}" for n, mb in zip((1, 4), memory, strict=True)))
    limit = ("one pass of the detector's network", _bare_pass(rgb))
    took = sum(best for _, best in steps)
    lines += glance([Step("a field of 640x480 px to cells, types and shapes, warm, s", limit, took, None, memory[-1])])
    lines += engines(rgb, work)
    lines += [
        f"A slide of simulated fields, mapped from disk, red cells {SLIDE_CELL_PX:.0f} px wide, model `cells`:",
        "",
    ]
    rows = []
    for side in SLIDES_PX:
        slide = _slide(work / f"{side}.npy", side, work)
        took = seconds(lambda slide=slide: blood_kedro.load("cells").predict(slide, SLIDE_CELL_PX))  # type: ignore[misc]
        megapixels = side**2 / 1e6
        rows.append(f"{side} x {side} | {took:.0f} | {took / megapixels:.2f} | {took / megapixels * 400 / 60:.1f}")
    return lines + table(
        "slide, px | seconds | seconds per megapixel | minutes for 20,000 x 20,000 px at that rate", rows
    )


def _bare_pass(rgb: RgbImage) -> float:
    """Seconds for one pass over a picture of the size that the detector sees of a field."""
    cells = blood_kedro.load("cells")
    zoom = float(cells.config["cell_px"]) / cells.scale(rgb).cell_px
    sides = [32 * -(-round(side * zoom) // 32) for side in rgb.shape[:2]]
    picture = np.zeros((1, 3, *sides), np.float32)
    cells.maps(picture)
    return min(seconds(lambda: cells.maps(picture)) for _ in range(5))


def _field(raw: Path, work: Path) -> tuple[RgbImage, str]:
    real = sorted((raw / "bccd/BCCD/JPEGImages").glob("*.jpg"))
    if real:
        return read_rgb(real[0]), "A field of BCCD"
    return np.asarray(cv2.resize(_simulated(work), FIELD_PX), np.uint8), "A simulated field"


def _simulated(work: Path) -> RgbImage:
    folder = work / "smears"
    if not folder.is_dir():
        settings = parameters()["sources"]["synthetic"]["smears"]
        write_smears(folder, SmearOptions(**{**settings, "slides": 1, "fields_per_slide": 1}), 0)
    return read_rgb(next(iter(sorted((folder / "images").iterdir()))))


def _steps(rgb: RgbImage) -> list[tuple[str, float]]:
    cells, white, red = (blood_kedro.load(name) for name in ("cells", "white_cells", "red_cell_shapes"))
    width = cells.scale(rgb).cell_px
    detected = cells.predict(rgb, width)
    labels = np.array(detected.labels)

    def named(classifier: TypeClassifier, label: str) -> None:
        classifier.predict(rgb, detected.boxes[labels == label], width)

    steps = [
        ("width of a red cell", lambda: cells.scale(rgb)),
        (f"cells at a known width ({len(labels)} found)", lambda: cells.predict(rgb, width)),
        (f"types of {int((labels == 'wbc').sum())} white cells", lambda: named(white, "wbc")),
        (f"shapes of {int((labels == 'rbc').sum())} red cells", lambda: named(red, "rbc")),
    ]
    return [(name, min(seconds(step) for _ in range(3))) for name, step in steps]


def _read_out(count: int, folder: Path) -> None:
    """What a user's process does, for the measure of memory."""
    rgb = cv2.resize(_simulated(folder), FIELD_PX)
    cells, white, red = (blood_kedro.load(name) for name in ("cells", "white_cells", "red_cell_shapes"))
    for _ in range(count):
        detected = cells.predict(rgb)
        labels = np.array(detected.labels)
        for classifier, label in ((white, "wbc"), (red, "rbc")):
            if np.isfinite(detected.cell_px):
                classifier.predict(rgb, detected.boxes[labels == label], detected.cell_px)


def _slide(path: Path, side: int, work: Path) -> RgbImage:
    """A slide of one simulated field, repeated, as a memory map."""
    field = _simulated(work)
    height, width = field.shape[:2]
    slide = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(side, side, 3))
    for y in range(0, side, height):
        for x in range(0, side, width):
            part = field[: side - y, : side - x]
            slide[y : y + part.shape[0], x : x + part.shape[1]] = part
    slide.flush()
    return np.asarray(np.load(path, mmap_mode="r"))
