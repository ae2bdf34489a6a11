"""Simulated single-cell crops as cells: the eight shapes of Elmanna et al. 2024, or the nine of its published data."""

from __future__ import annotations

from collections.abc import Iterator

from blood_kedro.library.core.crop_set import Crop
from blood_kedro.library.core.elmanna_2024 import SHAPE_TO_LABEL
from blood_kedro.library.core.processes import in_processes
from blood_kedro.library.smears.crops import ELMANNA_2024_KINDS, simulate_crop

_NINE_KINDS = {
    **{shape: kinds for shape, kinds in ELMANNA_2024_KINDS.items() if shape != "other"},
    "borderline_ovalocyte": ("borderline_ovalocyte",),
    "angled_rbc": ("angled_rbc",),
}


def simulated_cells(
    per_class: int, slides: int, shapes: str, side_px: int, seed: int, workers: int = -1
) -> Iterator[Crop]:
    """`per_class` crops of each shape, spread evenly over the slides.

    Args:
        per_class: crops of each shape.
        slides: numbered from 1; scanners follow Elmanna et al. 2024, Table 2.
        shapes: `eight` or `nine`.
        side_px: side of a crop.
        seed: global seed.
        workers: processes; -1 takes every core. The cells do not depend on it.
    """
    table = ELMANNA_2024_KINDS if shapes == "eight" else _NINE_KINDS
    tasks = [
        (shape, kinds[number // slides % len(kinds)], seed, number % slides + 1, number, side_px)
        for shape, kinds in table.items()
        for number in range(per_class)
    ]
    yield from in_processes(_cell, tasks, workers, ordered=True)


def _cell(task: tuple[str, str, int, int, int, int]) -> Crop:
    shape, kind, seed, slide, number, side_px = task
    crop = simulate_crop(kind, seed, slide, number, side_px, 6.0 * side_px / 80)
    name = f"synthetic/{crop.slide}"
    return Crop(
        crop.rgb,
        crop.mask,
        {
            "cell_id": f"{name}/{shape}_{number}",
            "source": "synthetic",
            "image_id": name,
            "group_id": name,
            "slide": crop.slide,
            "scanner": crop.scanner,
            "label_raw": kind,
            "label": SHAPE_TO_LABEL.get(shape, "rbc"),
            "shape": shape,
            "x_px": None,
            "y_px": None,
            "mask_origin": "simulated",
        },
    )
