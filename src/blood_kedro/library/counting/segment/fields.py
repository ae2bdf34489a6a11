"""Fields instead of single cells for the U-Net: it learns the inside of every cell, so that touching cells stay apart.

A mask of whole cells melts touching ones into one. Their insides, a rim's width smaller, do not touch: connected
insides are cells, and each grows back by the width of the rim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.segmentation import expand_labels

from blood_kedro.library.core.crop_set import Crop
from blood_kedro.library.core.errors import SourceNotFoundError
from blood_kedro.library.core.processes import in_processes
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.open.tiles import grids, groups_of_tiles, tile_name
from blood_kedro.library.counting.options import SegmentationOptions
from blood_kedro.library.counting.pieces import BoolMask, Labels, Piece, pieces_of_labels
from blood_kedro.library.counting.segment.cells_among_masks import cells_among
from blood_kedro.library.counting.segment.filters import single_area
from blood_kedro.library.counting.segment.precomputed import Precomputed
from blood_kedro.library.counting.segment.prepared import prepared
from blood_kedro.library.imaging.read import read_rgb
from blood_kedro.library.imaging.segmentation import split_instances

RgbImage = npt.NDArray[np.uint8]
# Width of the rim that insides leave out, in cells: two pixels of the 36 that a red cell has in Ojaghi's tiles.
RIM = 1 / 18
# What a tile is continued by on each side, px of the network's input.
_BEYOND_PX = 32
# Windows overlap by a third, so that every cell is whole in one of them.
_STEP = 2 / 3


def rim_px(cell_px: float) -> int:
    """Pixels between a cell's outline and its inside."""
    return max(1, round(RIM * cell_px))


def insides(pieces: Sequence[Piece], height_px: int, width_px: int, cell_px: float) -> BoolMask:
    """`(H, W) bool`: pixels of each mask that are farther from its outline than the rim is wide.

    The border of the tile is no outline: a cell that it cuts goes on beyond.
    """
    inside = np.zeros((height_px, width_px), np.bool_)
    for each in pieces:
        x_min, y_min, x_max, y_max = each.box_xyxy_px
        sides = ((y_min == 0, y_max == height_px), (x_min == 0, x_max == width_px))
        wide = np.pad(each.mask, 1)
        for axis, (first, last) in enumerate(sides):
            lines = np.moveaxis(wide, axis, 0)
            if first:
                lines[0] = lines[1]
            if last:
                lines[-1] = lines[-2]
        # What was repeated beyond the border has to be thick enough not to count as outline.
        thick = np.pad(wide, rim_px(cell_px), mode="edge")
        distance = cv2.distanceTransform(thick.astype(np.uint8), cv2.DIST_L2, 5)
        cut = rim_px(cell_px) + 1
        inside[each.window] |= distance[cut:-cut, cut:-cut] > rim_px(cell_px)
    return inside


@dataclass(frozen=True)
class _Tile:
    folder: Path
    options: SegmentationOptions
    groups: Mapping[str, str]
    crop_px: int
    side_px: int

    def __call__(self, path: Path) -> tuple[list[Crop], list[tuple[str, str]]]:
        rejects = RejectLog("fields")
        rgb = read_rgb(path)
        bright, _ = prepared(rgb, self.options)
        masks = Precomputed(self.folder / "Mask_sub_folders")
        if not (masks.folder / path.stem).is_dir():
            return [], [(path.name, "tile without masks")]
        pieces, _ = cells_among(masks(path.stem, rgb, rejects), bright, self.options)
        inside = insides(pieces, rgb.shape[0], rgb.shape[1], self.options.cell_px)
        cells = [self._window(path.stem, bright, inside, x, y) for y, x in _corners(rgb.shape, self.crop_px)]
        return cells, [(str(row["path"]), str(row["reason"])) for row in rejects.rows]

    def _window(self, tile: str, rgb: RgbImage, inside: BoolMask, x: int, y: int) -> Crop:
        part = (slice(y, y + self.crop_px), slice(x, x + self.crop_px))
        size = (self.side_px, self.side_px)
        shown = cv2.resize(rgb[part], size, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(inside[part].astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5
        slide = tile.rpartition("_")[0].rpartition("_")[0] or "HS1"
        facts: dict[str, object] = {
            "cell_id": f"fields/{tile}#{x}_{y}",
            "source": "ojaghi",
            "image_id": f"ojaghi/{tile}",
            "group_id": f"ojaghi/{slide}",
            "tile_group": f"ojaghi/{self.groups[tile]}",
            "slide": slide,
            "scanner": None,
            "label_raw": "field",
            "label": "rbc",
            "shape": None,
            "x_px": x + self.crop_px / 2,
            "y_px": y + self.crop_px / 2,
            "mask_origin": "sam",
        }
        return Crop(np.asarray(shown, np.uint8), np.asarray(mask, np.bool_), facts)


def _corners(shape: tuple[int, ...], crop_px: int) -> Iterator[tuple[int, int]]:
    """Top and left of windows that cover an image, the last ones at its edge."""
    axes = []
    for length in shape[:2]:
        last = max(0, length - crop_px)
        axes.append(np.unique(np.linspace(0, last, 1 + int(np.ceil(last / (crop_px * _STEP)))).round().astype(int)))
    yield from ((int(y), int(x)) for y in axes[0] for x in axes[1])


def field_windows(
    folder: Path, cell_px: float, crop_px: int, side_px: int, workers: int, rejects: RejectLog
) -> Iterator[Crop]:
    """Windows of tiles with stored masks, each with the insides of all its cells as its mask.

    Args:
        folder: holds `grid_images/<tile>.png` and `Mask_sub_folders/<tile>/`.
        cell_px: width of a red cell in a tile.
        crop_px: side of a window in a tile.
        side_px: side it is resized to.
        workers: processes; -1 takes every core.
        rejects: masks that cannot be used, tiles without masks.

    Raises:
        SourceNotFoundError: there is no tile.
    """
    tiles = _tiles(folder)
    work = _Tile(folder, SegmentationOptions(cell_px=cell_px), tile_groups(folder), crop_px, side_px)
    for cells, reasons in in_processes(work, tiles, workers, ordered=True):
        for path, reason in reasons:
            rejects.add(path, "cell", "dropped", reason)
        yield from cells


def tile_groups(folder: Path) -> dict[str, str]:
    """Of each tile in `grid_images`, the first of those that it overlaps; itself if none.

    The last column or row of an export is often anchored to the edge of the smear and shows again what the one before
    it shows: by how much is measured from the pixels (`tiles.grids`). A split within a smear must keep these together.

    Raises:
        SourceNotFoundError: there is no tile.
        BadInputError: a tile cannot be read, has another size, or a name without column and row.
    """
    smears: dict[str, list[Path]] = {}
    for path in _tiles(folder):
        smears.setdefault((tile_name(path.stem) or ("",))[0], []).append(path)
    groups: dict[str, str] = {}
    for paths in smears.values():
        by_name = {path.stem: path for path in paths}
        sizes = {name: _size_hw_px(path) for name, path in by_name.items()}
        for grid in grids(sizes, lambda name, by_name=by_name: read_rgb(by_name[name])):  # type: ignore[misc]
            groups |= groups_of_tiles(grid)
    return groups


def _size_hw_px(path: Path) -> tuple[int, int]:
    height, width = read_rgb(path).shape[:2]
    return height, width


def _tiles(folder: Path) -> list[Path]:
    tiles = sorted((folder / "grid_images").glob("*.png"))
    if not tiles:
        raise SourceNotFoundError(
            "no tiles with masks", where=str(folder / "grid_images"), remedy="see docs/data_sources.md"
        )
    return tiles


@dataclass(frozen=True)
class FieldUnet:
    """Segments whole tiles with a U-Net that learnt insides. Call it with tiles.

    Attributes:
        predict: images `(N, H, W, 3) uint8` to insides `(N, H, W) bool`.
        options: `cell_px` of the tile, `unet_cell_px` of the windows it was trained on.
    """

    predict: Callable[[RgbImage], BoolMask]
    options: SegmentationOptions

    def __call__(self, _name: str, rgb: RgbImage, _rejects: RejectLog) -> list[Piece]:
        """Cells of a tile."""
        if min(rgb.shape[:2]) < self.options.cell_px / 4:
            return []
        scale = self.options.unet_cell_px / self.options.cell_px
        height, width = (max(1, round(side * scale)) for side in rgb.shape[:2])
        shown = rgb if scale == 1 else cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
        # Convolutions fill with black beyond the border, which draws outlines there: the tile is continued instead.
        padded = np.pad(shown, ((_BEYOND_PX, _BEYOND_PX), (_BEYOND_PX, _BEYOND_PX), (0, 0)), mode="edge")
        inside = self.predict(np.asarray(padded[None], np.uint8))[0][_BEYOND_PX:-_BEYOND_PX, _BEYOND_PX:-_BEYOND_PX]
        if scale != 1:
            inside = cv2.resize(inside.astype(np.float32), rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR) > 0.5
        cells = _separate(np.asarray(inside, np.bool_), self.options.cell_px)
        return pieces_of_labels(np.asarray(expand_labels(cells, rim_px(self.options.cell_px)), np.int32))


def _separate(inside: BoolMask, cell_px: float) -> Labels:
    """Connected insides; only those too large for a cell are split where their distance transform has several peaks."""
    labels = np.asarray(ndimage.label(ndimage.binary_fill_holes(inside))[0], np.int32)
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    large = np.isin(labels, np.flatnonzero(areas > 1.3 * single_area(cell_px - 2 * rim_px(cell_px))))
    if not large.any():
        return labels
    parts = split_instances(large, cell_px)
    return np.where(parts > 0, parts + labels.max(), np.where(large, 0, labels)).astype(np.int32)
