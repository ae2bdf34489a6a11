"""The square that a network sees of a cell: cut at one width of a red cell, turned and shifted in training."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from blood_kedro.library.shipped.augment import jittered
from blood_kedro.library.shipped.stains import veiled
from blood_kedro.library.shipped.type_options import TypeRecipe, View

RgbImage = npt.NDArray[np.uint8]

_BEYOND = {"repeat": cv2.BORDER_REPLICATE, "ground": cv2.BORDER_CONSTANT}
_GROUND_PERCENTILE = 80  # of each channel: the ground is light and fills a good part of any field


def cut_view(
    rgb: RgbImage, centre_xy_px: tuple[float, float], cell_px: float, view: View, *, margin: bool = False
) -> RgbImage:
    """A square around a point at the scale of the view; what lies beyond the picture is as the view says.

    Args:
        rgb: `(H, W, 3) uint8`.
        centre_xy_px: middle of the square, px of `rgb`.
        cell_px: width of a usual red cell in `rgb`.
        view: side and scale of the result.
        margin: with the view's margin on all sides.

    Returns:
        `(S, S, 3) uint8`.
    """
    side = view.side_px + 2 * view.margin_px * margin
    zoom = view.cell_px / cell_px
    ground = ground_colour(rgb) if view.beyond == "ground" else (0.0, 0.0, 0.0)
    if zoom < 1:  # a plain warp would skip pixels
        rgb, centre_xy_px, zoom = _smaller(rgb, centre_xy_px, side, zoom)
    x, y = centre_xy_px
    middle = (side - 1) / 2
    place = np.array([[zoom, 0, middle - zoom * (x - 0.5)], [0, zoom, middle - zoom * (y - 0.5)]])
    square = cv2.warpAffine(
        rgb, place, (side, side), flags=cv2.INTER_LINEAR, borderMode=_BEYOND[view.beyond], borderValue=ground
    )
    return np.asarray(square, np.uint8)


def ground_colour(rgb: RgbImage) -> tuple[float, float, float]:
    """About the colour of the ground between the cells of a picture `(H, W, 3) uint8`."""
    few = rgb[:: max(1, rgb.shape[0] // 64), :: max(1, rgb.shape[1] // 64)].reshape(-1, 3)
    red, green, blue = np.percentile(few, _GROUND_PERCENTILE, axis=0)
    return float(red), float(green), float(blue)


def _smaller(
    rgb: RgbImage, centre_xy_px: tuple[float, float], side: int, zoom: float
) -> tuple[RgbImage, tuple[float, float], float]:
    """The part around a point, made smaller by averaging; the point in it, and the zoom that is left (about 1)."""
    reach = int(np.ceil(side / zoom / 2)) + 2
    x, y = (round(c) for c in centre_xy_px)
    left, top = max(0, x - reach), max(0, y - reach)
    part = rgb[top : max(top + 1, y + reach), left : max(left + 1, x + reach)]
    size = tuple(max(1, round(n * zoom)) for n in part.shape[1::-1])
    factors = size[0] / part.shape[1], size[1] / part.shape[0]
    small = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
    return small, ((centre_xy_px[0] - left) * factors[0], (centre_xy_px[1] - top) * factors[1]), 1.0


def training_view(crop: RgbImage, rng: np.random.Generator, recipe: TypeRecipe) -> RgbImage:
    """A crop with margins as a network sees it in training: turned, mirrored, moved, zoomed, and recoloured.

    Args:
        crop: `(S, S, 3) uint8`, the view with its margins.
        rng: decides everything.
        recipe: how far.

    Returns:
        `(side, side, 3) uint8`.
    """
    side = recipe.view.side_px
    angle = rng.uniform(0, 2 * np.pi)
    zoom = (1 + recipe.zoom) ** rng.uniform(-1, 1)
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    mirror = rng.choice((-1.0, 1.0))
    turn = np.array([[mirror * cos, -sin], [mirror * sin, cos]])
    moved = rng.uniform(-recipe.shift, recipe.shift, 2) * side
    middle = np.full(2, (side - 1) / 2) + moved
    place = np.concatenate([turn, (middle - turn @ np.full(2, (crop.shape[0] - 1) / 2))[:, None]], axis=1)
    warped = cv2.warpAffine(crop, place, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    view = np.asarray(warped, np.uint8)
    if recipe.cut_share and rng.random() < recipe.cut_share:
        _cut(view, rng)
    if recipe.veil_share and rng.random() < recipe.veil_share:
        view = veiled(view, rng.uniform(*recipe.veil), int(rng.integers(40, 96)))
    return jittered(view, rng, recipe.jitter)


def _cut(view: RgbImage, rng: np.random.Generator) -> None:
    """Let the picture end beside the cell, in place: what lies beyond a random line becomes ground."""
    side = view.shape[0]
    angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.5) * side
    along = np.arange(side) - (side - 1) / 2
    beyond = along[None] * np.cos(angle) + along[:, None] * np.sin(angle) > reach
    view[beyond] = np.round(ground_colour(view)).astype(np.uint8)


def plain_view(crops: npt.NDArray[np.uint8], view: View) -> npt.NDArray[np.uint8]:
    """Crops with margins `(N, S, S, 3)` without them, `(N, side, side, 3)`."""
    m = view.margin_px
    return crops[:, m : m + view.side_px, m : m + view.side_px]
