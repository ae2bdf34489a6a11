"""Simulated fields and whole smears: cells placed on a slide, seen through a scanner, with exact truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.smears.artefacts import burn_in
from blood_kedro.library.smears.cell import CellStyle, DrawnCell, FloatImage
from blood_kedro.library.smears.kinds import PRECIPITATE, draw, role
from blood_kedro.library.smears.options import SmearOptions
from blood_kedro.library.smears.placement import Arrangement, Ground, place
from blood_kedro.library.smears.scan import scan
from blood_kedro.library.smears.stack import Stack
from blood_kedro.library.smears.styles import GLARE_UM, Style, slide_style
from blood_kedro.library.smears.truth import PlacedCell, Stamp, clumps, cut, overlap_shares

# Raise this whenever the pixels or the truth of a given seed change.
SIMULATOR_VERSION = 2

# Cells are placed this far beyond the border too, so that the border cuts as many as it would on a slide.
_MARGIN_UM = 10.0
# A smear of more cells than this draws each again where it is needed instead of keeping it in memory.
_KEPT_CELLS = 2000


@dataclass(frozen=True)
class SimulatedField:
    """One field, or one tile of a smear.

    Attributes:
        rgb: `(H, W, 3) uint8`.
        cells: truth of every cell of which at least one pixel lies inside.
        marks: burnt-in marks with their half-open boxes, px.
        slide: name of the slide, `slide_001` and on.
        style: the slide's look.
        px_per_um: pixels per micrometre of this image, magnification included.
        seed: the seed of this field.
    """

    rgb: npt.NDArray[np.uint8]
    cells: tuple[PlacedCell, ...]
    marks: tuple[tuple[str, tuple[int, int, int, int]], ...]
    slide: str
    style: Style
    px_per_um: float
    seed: int


@dataclass(frozen=True)
class PlannedCell:
    """A cell that will be drawn with its middle pixel at `x`, `y`."""

    kind: str
    seed: int
    half_px: int
    x: int = 0
    y: int = 0
    drawn: DrawnCell | None = field(default=None, compare=False, repr=False)

    def draw(self, style: CellStyle) -> DrawnCell:
        """The same cell at every call."""
        return self.drawn if self.drawn is not None else draw(self.kind, style, np.random.default_rng(self.seed))


@dataclass(frozen=True)
class FieldPlan:
    """Every cell of a field or smear, before any pixel is made: tiles of it can be rendered one at a time."""

    options: SmearOptions
    slide: int
    style: Style
    seed: int
    width_px: int
    height_px: int
    cells: tuple[PlannedCell, ...]

    @property
    def cell_style(self) -> CellStyle:
        """What all its cells share."""
        return self.style.cells(self.options.px_per_um)


def simulate_field(options: SmearOptions, seed: int, slide: int, number: int) -> SimulatedField:
    """Simulate field `number` of slide `slide` (from 1).

    Equal arguments and `SIMULATOR_VERSION` give equal bytes, in any order of calls.
    """
    where = plan(options, seed, slide, number, options.width_px, options.height_px)
    return render(where, (0, 0, options.width_px, options.height_px))


def plan(options: SmearOptions, seed: int, slide: int, number: int, width_px: int, height_px: int) -> FieldPlan:
    """Choose and place the cells of a field, or of a smear of any size (`cells_per_field` is taken per area)."""
    style = slide_style(seed, slide, options.styles)
    field_seed = seed_for(seed, SIMULATOR_VERSION, "field", slide, number)
    rng = np.random.default_rng(field_seed)
    cell_style = style.cells(options.px_per_um)
    margin = _MARGIN_UM * cell_style.px_per_um
    area = (-margin, -margin, width_px + margin, height_px + margin)
    fields = (width_px + 2 * margin) * (height_px + 2 * margin) / (options.width_px * options.height_px)
    crowd = fields * style.density * np.exp(rng.normal(0, options.density_spread))
    means = {
        **{k: mean * crowd for k, mean in options.cells_per_field.items()},
        PRECIPITATE: options.precipitate * fields,
    }
    kinds = [kind for kind, mean in means.items() for _ in range(int(rng.poisson(mean)))]
    keep = len(kinds) <= _KEPT_CELLS
    drawn = [_planned(kind, seed_for(field_seed, n), cell_style, keep) for n, kind in enumerate(kinds)]
    is_cell = np.array([kind != PRECIPITATE for kind in kinds], np.bool_)
    centres = rng.uniform(area[:2], area[2:], (len(kinds), 2))
    arrangement = Arrangement(options.overlap_share, options.rouleaux_share, options.platelet_clumps)
    centres[is_cell] = place(
        np.array([radius for _, radius in drawn])[is_cell],
        np.array([role(kind) for kind in kinds if kind != PRECIPITATE]),
        Ground(area),
        arrangement,
        rng,
    )
    cells = tuple(
        PlannedCell(cell.kind, cell.seed, cell.half_px, int(x), int(y), cell.drawn)
        for (cell, _), (x, y) in zip(drawn, np.floor(centres), strict=True)
    )
    return FieldPlan(options, slide, style, field_seed, width_px, height_px, cells)


def render(where: FieldPlan, window: tuple[int, int, int, int]) -> SimulatedField:
    """The picture and truth of a window `x_min, y_min, x_max, y_max` (px of the plan) of a planned smear."""
    x_min, y_min, x_max, y_max = window
    # Blur, defocus and glare reach over the window's border: render that much more and cut it off.
    scattered = 3 * GLARE_UM if where.style.glare else 1.0
    reach = int(np.ceil(4 * where.style.blur_px + scattered * where.cell_style.px_per_um))
    layers, drawn = _stack(where, (x_min - reach, y_min - reach, x_max + reach, y_max + reach))
    seed = seed_for(where.seed, "window", *window)
    rng = np.random.default_rng(seed)
    rgb = scan(layers, where.style, where.cell_style.px_per_um, rng, reach)
    marks = tuple(
        (mark, burn_in(rgb, mark, where.cell_style.px_per_um, rng))
        for mark, probability in where.options.marks.items()
        if rng.random() < probability
    )
    cells = _truth(drawn, window)
    px_per_um = where.cell_style.px_per_um
    return SimulatedField(rgb, cells, marks, f"slide_{where.slide:03d}", where.style, px_per_um, where.seed)


def tiles(where: FieldPlan, tile_px: int) -> Iterator[tuple[int, int, SimulatedField]]:
    """Column, row and picture of every tile of a smear; the last column and row hold what remains.

    Cells across a border between tiles show on both sides and carry the same `number` there.
    """
    for row, top in enumerate(range(0, where.height_px, tile_px)):
        for column, left in enumerate(range(0, where.width_px, tile_px)):
            right, bottom = min(left + tile_px, where.width_px), min(top + tile_px, where.height_px)
            yield column, row, render(where, (left, top, right, bottom))


def _planned(kind: str, seed: int, style: CellStyle, keep: bool) -> tuple[PlannedCell, float]:
    """A cell without a place, and its radius in px."""
    cell = draw(kind, style, np.random.default_rng(seed))
    radius = float(np.sqrt(max(cell.mask.sum(), 1) / np.pi))
    return PlannedCell(kind, seed, cell.mask.shape[0] // 2, drawn=cell if keep else None), radius


def _stack(
    where: FieldPlan, window: tuple[int, int, int, int]
) -> tuple[FloatImage, list[tuple[int, PlannedCell, DrawnCell]]]:
    """Amounts of stain in a window `(H, W, 6) float32`, and the cells that may reach into it."""
    x_min, y_min, x_max, y_max = window
    stack = Stack(y_max - y_min, x_max - x_min)
    drawn = []
    for number, planned in enumerate(where.cells):
        reach = planned.half_px + 1
        if not (x_min - reach < planned.x < x_max + reach and y_min - reach < planned.y < y_max + reach):
            continue
        cell = planned.draw(where.cell_style)
        stack.add(cell, planned.x - planned.half_px - x_min, planned.y - planned.half_px - y_min)
        drawn.append((number, planned, cell))
    return stack.layers(where.style.overlap_gain), drawn


def _truth(
    drawn: list[tuple[int, PlannedCell, DrawnCell]], window: tuple[int, int, int, int]
) -> tuple[PlacedCell, ...]:
    x_min, y_min, x_max, y_max = window
    width, height = x_max - x_min, y_max - y_min
    visible: list[tuple[int, PlannedCell, DrawnCell, str, Stamp]] = []
    for number, planned, cell in drawn:
        left, top = planned.x - planned.half_px - x_min, planned.y - planned.half_px - y_min
        stamp = cut(cell.mask, left, top, width, height)
        if cell.label is not None and stamp is not None:
            visible.append((number, planned, cell, cell.label, stamp))
    stamps = [stamp for *_, stamp in visible]
    overlaps = overlap_shares(stamps, height, width)
    clump = clumps(stamps, height, width) if stamps else np.zeros(0, np.int64)
    sizes = Counter(clump.tolist())
    return tuple(
        PlacedCell(
            kind=cell.kind,
            label=label,
            stamp=stamp,
            centre_xy_px=(planned.x - x_min + 0.5, planned.y - y_min + 0.5),
            visible_share=float(stamp.mask.sum() / cell.mask.sum()),
            overlap_share=overlaps[k],
            clump=int(clump[k]),
            clump_cells=sizes[int(clump[k])],
            number=number,
        )
        for k, (number, planned, cell, label, stamp) in enumerate(visible)
    )
