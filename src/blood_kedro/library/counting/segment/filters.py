"""Which masks of a tile are cells, one mask for each: every rule a parameter, and counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from blood_kedro.library.counting.pieces import EIGHT, Piece, overlaps, piece
from blood_kedro.library.counting.segment.options import FilterOptions

# Why a mask is dropped, as the log of tiles has it.
REASONS = ("too_small", "too_large", "unstained", "repeated", "clump", "part")


def single_area(cell_px: float) -> float:
    """Area of a round red cell, px^2."""
    return float(np.pi / 4 * cell_px**2)


def filter_pieces(
    pieces: Sequence[Piece],
    options: FilterOptions,
    height_px: int,
    width_px: int,
    absorbance: npt.NDArray[np.float32] | None = None,
    cell_px: float = 36.0,
) -> tuple[list[Piece], dict[str, int]]:
    """One mask for each cell, and how many each rule dropped.

    Args:
        pieces: of one tile.
        options: the rules.
        height_px: of the tile; `width_px` likewise.
        width_px: see `height_px`.
        absorbance: of green, `(H, W)`, natural logarithm; None leaves `min_stain` out.
        cell_px: usual diameter of a red cell.
    """
    single = single_area(cell_px)
    dropped = dict.fromkeys(REASONS, 0)
    remaining = []
    for each in pieces:
        reason = _alone(each, options, height_px, width_px, absorbance, single)
        if reason:
            dropped[reason] += 1
        else:
            remaining.append(each)
    remaining = _without(remaining, _repeated(remaining, options), dropped, "repeated")
    remaining = _without(remaining, _clumps(remaining, options, single), dropped, "clump")
    return _without(remaining, _parts(remaining, options), dropped, "part"), dropped


def _alone(
    each: Piece,
    options: FilterOptions,
    height: int,
    width: int,
    absorbance: npt.NDArray[np.float32] | None,
    single: float,
) -> str | None:
    """What speaks against a mask whatever the others are."""
    x_min, y_min, x_max, y_max = each.box_xyxy_px
    at_border = x_min == 0 or y_min == 0 or x_max == width or y_max == height
    if each.area_px2 < single * (options.min_border if at_border else options.min_area):
        return "too_small"
    if each.area_px2 > single * options.max_area:
        return "too_large"
    if absorbance is not None and float(absorbance[each.window][each.mask].mean()) < options.min_stain:
        return "unstained"
    return None


def _without(pieces: list[Piece], gone: set[int], dropped: dict[str, int], reason: str) -> list[Piece]:
    dropped[reason] += len(gone)
    return [each for k, each in enumerate(pieces) if k not in gone]


def _repeated(pieces: list[Piece], options: FilterOptions) -> set[int]:
    """Of two masks of one cell the one with the lower score goes, or the smaller one."""
    areas = [each.area_px2 for each in pieces]
    order = sorted(range(len(pieces)), key=lambda k: (-np.nan_to_num(pieces[k].score), -areas[k], k))
    twins: dict[int, set[int]] = {}
    for (i, j), shared in overlaps(pieces).items():
        if shared / (areas[i] + areas[j] - shared) > options.same_iou:
            twins.setdefault(i, set()).add(j)
            twins.setdefault(j, set()).add(i)
    gone: set[int] = set()
    for k in order:
        if k not in gone:
            gone |= twins.get(k, set())
    return gone


def _holders(pieces: list[Piece], options: FilterOptions) -> dict[int, list[int]]:
    """Of each mask, the smaller ones that lie in it."""
    areas = [each.area_px2 for each in pieces]
    holds: dict[int, list[int]] = {}
    for (i, j), shared in overlaps(pieces).items():
        small, large = (i, j) if areas[i] <= areas[j] else (j, i)
        if shared >= options.inside_share * areas[small]:
            holds.setdefault(large, []).append(small)
    return holds


def _clumps(pieces: list[Piece], options: FilterOptions, single: float) -> set[int]:
    gone = set()
    for large, inside in _holders(pieces, options).items():
        whole = [k for k in inside if pieces[k].area_px2 >= single * options.min_area]
        if len(whole) < 2:
            continue
        covered = np.zeros_like(pieces[large].mask)
        frame = pieces[large].moved(-pieces[large].left, -pieces[large].top)
        for k in whole:
            inner = pieces[k].moved(-pieces[large].left, -pieces[large].top).clipped(frame.box_xyxy_px)
            if inner is not None:
                covered[inner.window] |= inner.mask
        if (covered & pieces[large].mask).sum() >= options.explained_share * pieces[large].area_px2:
            gone.add(large)
    return gone


def _parts(pieces: list[Piece], options: FilterOptions) -> set[int]:
    return {small for inside in _holders(pieces, options).values() for small in inside}


def filter_as_published(
    pieces: Sequence[Piece], height_px: int, width_px: int, min_area_px2: int = 300, max_area_px2: int = 9000
) -> list[Piece]:
    """The filter of Rao et al. 2024's own code (docs/facts/peer.md#mask-filter), on boxes, not whole frames.

    Largest first, masks outside of the limits and masks that add no new pixel go. Then, smallest first, each mask keeps
    the pixels that no smaller one has, and every connected piece of more than `min_area_px2` of what is left is a cell.
    """
    seen = np.zeros((height_px, width_px), np.bool_)
    candidates = []
    for each in sorted(pieces, key=lambda p: -p.area_px2):
        if not min_area_px2 <= each.area_px2 <= max_area_px2:
            continue
        window = seen[each.window]
        if (each.mask & ~window).any():
            candidates.append(each)
            window |= each.mask
    seen[:] = False
    cells: list[Piece] = []
    for each in reversed(candidates):
        window = seen[each.window]
        labels, count = ndimage.label(each.mask & ~window, EIGHT)
        window |= each.mask
        for number in range(1, count + 1):
            part = labels == number
            if part.sum() > min_area_px2:
                cut = piece(part, each.left, each.top, each.score)
                cells += [cut] if cut is not None else []
    return cells
