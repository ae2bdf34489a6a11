"""What can be measured about the red cell in each box of a field, without knowing whether it overlaps another."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.stats import gaussian_kde

from blood_kedro.library.core.boxes import iou
from blood_kedro.library.imaging.segmentation import BoolMask, Labels, RgbImage, foreground, split_instances

Boxes = npt.NDArray[np.float64]

# Cells are measured at this diameter: finer detail costs time and says nothing about overlap.
_WORKING_PX = 40.0


@dataclass(frozen=True)
class Region:
    """The connected component of foreground under a box.

    Attributes:
        component: its number in the image, from 1; 0 where there is no cell in the box.
        at_border: whether the border of the image cuts it; its size and shape are then not known.
        relative_area: its area in single cells of the same image.
        neighbour_iou: largest IoU of the box with another.
        concavity: depth of its second deepest concavity, in cell diameters (two cells meet in two notches).
        peaks: its cells by distance-transform watershed.
        ellipse_residual: 1 - IoU with the ellipse of the same moments.
        solidity: area over that of the convex hull.
    """

    component: int
    at_border: bool
    relative_area: float
    neighbour_iou: float
    concavity: float
    peaks: int
    ellipse_residual: float
    solidity: float


@dataclass(frozen=True)
class SegmentedField:
    """A field that was segmented.

    Attributes:
        components: `(H, W) int32`, at the scale of `instances`.
        instances: `(H, W) int32`, cells by watershed.
        scale: px of this field per px of the image.
        single_area_px2: usual area of a single cell, px^2 of this field.
    """

    components: Labels
    instances: Labels
    scale: float
    single_area_px2: float

    @property
    def cell_px(self) -> float:
        """Usual diameter of a single cell, px of this field."""
        return float(np.sqrt(4 / np.pi * self.single_area_px2))


def segment_field(rgb: RgbImage, cell_px: float) -> SegmentedField:
    """Foreground, its components and cells, at about 40 px per cell.

    Args:
        rgb: `(H, W, 3) uint8`.
        cell_px: usual diameter of a red cell.
    """
    scale = min(1.0, _WORKING_PX / cell_px)
    small = rgb if scale == 1 else cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    mask = foreground(np.asarray(small, np.uint8), cell_px * scale)
    components = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[1]
    cells = split_instances(mask, cell_px * scale)
    return SegmentedField(np.asarray(components, np.int32), cells, scale, _single_area(cells, cell_px * scale))


def _single_area(instances: Labels, cell_px: float) -> float:
    """Mode of the areas of whole cells; the usual area where there are too few to tell."""
    usual = np.pi / 4 * cell_px**2
    areas = np.bincount(instances.ravel())[1:]
    edge = np.unique(np.concatenate([instances[0], instances[-1], instances[:, 0], instances[:, -1]]))
    areas = np.delete(areas, edge[edge > 0] - 1)
    whole = areas[(areas > 0.3 * usual) & (areas < 2.5 * usual)].astype(float)
    if len(whole) < 5 or whole.std() == 0:
        return float(np.median(whole)) if len(whole) else float(usual)
    grid = np.linspace(0.3 * usual, 2.5 * usual, 221)
    return float(grid[gaussian_kde(whole)(grid).argmax()])


def measure_regions(field: SegmentedField, boxes: Boxes) -> list[Region]:
    """What lies under each box.

    Args:
        field: of the image.
        boxes: `(N, 4)`, px of the image, `x_min, y_min, x_max, y_max`.
    """
    under = [_component_under(field, box) for box in boxes]
    shapes = {k: _Shape.of(field, k) for k in sorted(set(under) - {0})}
    shapes[0] = _Shape(False, float("nan"), float("nan"), 0, float("nan"), float("nan"))
    overlaps = iou(boxes, boxes)
    np.fill_diagonal(overlaps, 0)
    nearest = overlaps.max(axis=1, initial=0)
    return [
        Region(
            k,
            shapes[k].at_border,
            shapes[k].relative_area,
            float(nearby),
            shapes[k].concavity,
            shapes[k].peaks,
            shapes[k].ellipse_residual,
            shapes[k].solidity,
        )
        for k, nearby in zip(under, nearest, strict=True)
    ]


def _component_under(field: SegmentedField, box: npt.NDArray[np.float64]) -> int:
    """The component with most pixels in the inner half of a box; 0 if none covers a tenth of it."""
    x_min, y_min, x_max, y_max = box * field.scale
    x_pad, y_pad = (x_max - x_min) / 4, (y_max - y_min) / 4
    rows = slice(max(0, round(y_min + y_pad)), max(0, round(y_max - y_pad)) + 1)
    columns = slice(max(0, round(x_min + x_pad)), max(0, round(x_max - x_pad)) + 1)
    inner = field.components[rows, columns]
    counts = np.bincount(inner.ravel(), minlength=1)
    if len(counts) < 2 or counts[1:].max() < 0.1 * inner.size:
        return 0
    return int(counts[1:].argmax()) + 1


@dataclass(frozen=True)
class _Shape:
    at_border: bool
    relative_area: float
    concavity: float
    peaks: int
    ellipse_residual: float
    solidity: float

    @classmethod
    def of(cls, field: SegmentedField, component: int) -> _Shape:
        rows, columns = (
            np.flatnonzero((field.components == component).any(1)),
            np.flatnonzero((field.components == component).any(0)),
        )
        window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        mask = field.components[window] == component
        height, width = field.components.shape
        at_border = rows[0] == 0 or columns[0] == 0 or rows[-1] == height - 1 or columns[-1] == width - 1
        inside = field.instances[window][mask]
        sizes = np.bincount(inside)[1:] if len(inside) else np.zeros(0, np.int64)
        peaks = int((sizes > 0.15 * field.single_area_px2).sum())
        concavity, solidity = _hull(mask, field.cell_px)
        area = float(mask.sum())
        return cls(
            bool(at_border), area / field.single_area_px2, concavity, max(peaks, 1), _ellipse_residual(mask), solidity
        )


def _hull(mask: BoolMask, cell_px: float) -> tuple[float, float]:
    """Depth of the second deepest concavity in cell diameters, and solidity."""
    padded = np.pad(mask, 1).astype(np.uint8)
    outline = max(cv2.findContours(padded, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=len)
    hull = cv2.convexHull(outline)
    area = float(cv2.contourArea(outline))
    solidity = area / max(float(cv2.contourArea(hull)), area, 1.0)
    if len(outline) < 4:
        return 0.0, solidity
    defects = cv2.convexityDefects(outline, cv2.convexHull(outline, returnPoints=False))
    depths = np.zeros(0) if defects is None else np.sort(defects.reshape(-1, 4)[:, 3] / 256.0)[::-1]
    return (float(depths[1]) / cell_px if len(depths) > 1 else 0.0), solidity


def _ellipse_residual(mask: BoolMask) -> float:
    """1 - IoU of a mask with the ellipse of the same centre and second moments."""
    rows, columns = np.nonzero(mask)
    if len(rows) < 5:
        return 0.0
    points = np.stack([columns, rows]).astype(np.float64)
    centre = points.mean(axis=1, keepdims=True)
    spread = np.cov(points - centre, bias=True) + np.eye(2) / 12  # a pixel is a square, not a point
    height, width = mask.shape
    pad = max(height, width) // 4 + 2  # an ellipse may reach beyond the box of the mask
    yy, xx = np.mgrid[-pad : height + pad, -pad : width + pad]
    away = np.stack([xx.ravel(), yy.ravel()]) - centre
    # A uniform ellipse with semi-axes a has variance a^2 / 4 along each.
    ellipse = (np.einsum("in,in->n", away, np.linalg.solve(spread, away)) <= 4).reshape(xx.shape)
    whole = np.pad(mask, pad)
    return 1 - float((whole & ellipse).sum() / (whole | ellipse).sum())


def otsu_area(crop: RgbImage) -> float:
    """Foreground pixels of a crop after Otsu's threshold on grey (Gurav et al. 2025, section 5 C); NaN if constant."""
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    if grey.min() == grey.max():
        return float("nan")
    threshold, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    return float((grey <= threshold).sum())
