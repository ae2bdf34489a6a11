"""One stain for all pictures, learnt from what every smear shows: its ground and its red cells, and the nuclei.

Laboratories differ in light, camera and stain more than white cells of two types differ in one of them. But every
picture brings its own measure: the ground absorbs nothing, red cells take up eosin only, nuclei are the deepest azure.
Absorbance is linear in the stains (Beer and Lambert), so a change that carries these three to where they are in a
standard picture carries all colours between them. Granules of an eosinophil then have the colour of the standard's.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from blood_kedro.library.shipped.augment import absorbance, compressed, recoloured
from blood_kedro.library.shipped.type_options import Stain

RgbImage = npt.NDArray[np.uint8]
Vector = npt.NDArray[np.float64]

# White cells are seldom wider than so many red ones; their own pixels do not count as red cells.
_WHITE_CELL = 2.0
# A nucleus is looked for so far around the middle of a cell, in widths of a red cell, and fills at least this share.
_NUCLEUS_RADIUS, _NUCLEUS_SHARE = 0.7, 0.12
_ONE_STAIN = 0.985  # cosine of two absorbances
# Absorbance of green by nuclei over that by red cells where little light is stray (median of PBC 6.8); the most that is
# taken for stray; and how much of a nucleus's light may be.
_CLEAR_DEPTH, _MOST_STRAY, _LEFT = 5.0, 0.35, 0.9
_SMALLEST = 0.03  # of absorbance: below, a colour is the ground's


@dataclass(frozen=True)
class Measure:
    """Absorbance of R, G and B `(3,)`: of the ground, and of red cells and nuclei above the ground."""

    ground: Vector
    red_cell: Vector
    nucleus: Vector


# What all pictures are brought to: between the deep stain of PBC and the pale one of BCCD, on a nearly white ground.
STANDARD = Measure(np.array([0.04, 0.06, 0.08]), np.array([0.16, 0.32, 0.22]), np.array([0.80, 1.30, 0.35]))


def measure(rgb: RgbImage, centres_xy_px: npt.NDArray[np.float64], cell_px: float) -> Measure | None:
    """What a picture's ground, red cells and nuclei absorb; None where ground or red cells cannot be told.

    Args:
        rgb: `(H, W, 3) uint8`.
        centres_xy_px: `(N, 2)`, middles of the nucleated cells in it, px.
        cell_px: width of a usual red cell.
    """
    zoom = min(1.0, 16 / cell_px)  # colours need no detail
    small = cv2.resize(rgb, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    centres, width = centres_xy_px * zoom, cell_px * zoom
    absorbed = absorbance(np.asarray(small, np.uint8)).astype(np.float64)
    y, x = np.mgrid[: small.shape[0], : small.shape[1]]
    distance = np.full(small.shape[:2], np.inf)
    for cx, cy in centres:
        distance = np.minimum(distance, np.hypot(x - cx, y - cy))
    around = distance > _WHITE_CELL / 2 * width
    green = np.asarray(small)[..., 1]
    if around.sum() < width**2:
        return None
    level, _ = cv2.threshold(green[around].reshape(1, -1), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    light, dark = around & (green > level), around & (green <= level)
    if min(light.sum(), dark.sum()) < width**2 / 4:
        return None
    ground = np.median(absorbed[light], axis=0)
    red_cell = np.median(absorbed[dark], axis=0) - ground
    near = absorbed[distance < _NUCLEUS_RADIUS * width] - ground
    if red_cell[1] < _SMALLEST or len(near) == 0:
        return None
    depth = near[:, 0]  # nuclei are dark in red light, in which red cells are clear
    nucleus = np.median(near[depth >= np.quantile(depth, 1 - _NUCLEUS_SHARE)], axis=0)
    return Measure(ground, np.maximum(red_cell, _SMALLEST), np.maximum(nucleus, _SMALLEST))


def standard_change(measured: Measure, stain: Stain, standard: Measure = STANDARD) -> npt.NDArray[np.float32]:
    """The change of absorbance `(3, 4) float32` that carries a picture's measure to the standard's.

    `red_cells` scales each channel by the absorbance of red cells; both kinds of `two_stains` carry red cells and
    nuclei alike, and leave what is neither, the direction across both, at its size; `as_it_is` changes nothing.
    """
    if stain == "as_it_is":
        return np.eye(3, 4, dtype=np.float32)
    matrix = np.diag(np.clip(standard.red_cell / measured.red_cell, 0.25, 4.0))
    if stain != "red_cells" and _apart(measured):
        matrix = _basis(standard) @ np.linalg.inv(_basis(measured))
    constant = standard.ground - matrix @ measured.ground
    return np.concatenate([matrix, constant[:, None]], axis=1).astype(np.float32)


def veiled(rgb: RgbImage, veil: float, quality: int) -> RgbImage:
    """A picture in the standard stain as it would be if stray light had lain over it before it was brought there.

    Stray light and weak cameras press deep colours together: granules that take up three times the eosin of a red cell
    elsewhere take up one and a half times here. No linear change brings that back; a network has to have seen it.

    Args:
        rgb: `(H, W, 3) uint8` in the standard stain.
        veil: share of all light that is stray, 0..1.
        quality: of the JPEG file that it was kept in, whose blocks show when colours are spread again.
    """
    misty = compressed(np.asarray(cv2.convertScaleAbs(rgb, alpha=1 - veil, beta=255 * veil), np.uint8), quality)

    def misted(absorbed: Vector) -> Vector:
        return -np.log((1 - veil) * np.exp(-absorbed) + veil)

    ground = misted(STANDARD.ground)
    red_cell, nucleus = (misted(STANDARD.ground + each) - ground for each in (STANDARD.red_cell, STANDARD.nucleus))
    return recoloured(misty, standard_change(Measure(ground, red_cell, nucleus), "two_stains"))


def _apart(of: Measure) -> bool:
    """Whether red cells and nuclei differ in colour by more than their depth: grey pictures have one stain only."""
    cosine = of.red_cell @ of.nucleus / (np.linalg.norm(of.red_cell) * np.linalg.norm(of.nucleus))
    return bool(cosine < _ONE_STAIN)


def _basis(of: Measure) -> npt.NDArray[np.float64]:
    """Red cell, nucleus, and the direction across both as columns."""
    across = np.cross(of.red_cell, of.nucleus)
    return np.stack([of.red_cell, of.nucleus, across / np.linalg.norm(across)], axis=1)


def stray_light(measured: Measure) -> float:
    """Share of all light that is stray in a picture, 0..1: as much as makes its nuclei so pale beside its red cells.

    With nothing stray, nuclei absorb some six times as much green as red cells do, whatever the depth of the stain;
    the paler they are, the more light came to the camera without having gone through them.
    """
    red_cell, nucleus = np.exp(-measured.red_cell[1]), np.exp(-measured.nucleus[1])
    veils = np.arange(0, min(_MOST_STRAY, _LEFT * float(np.exp(-measured.nucleus).min())), 0.01)
    if not len(veils):
        return 0.0
    depth = np.log((nucleus - veils) / (1 - veils)) / np.log((red_cell - veils) / (1 - veils))
    return float(veils[np.abs(depth - _CLEAR_DEPTH).argmin()])


def cleared(rgb: RgbImage, measured: Measure) -> tuple[RgbImage, Measure]:
    """A picture `(H, W, 3) uint8` without its stray light, and its measure then."""
    veil = stray_light(measured)
    if veil == 0:
        return rgb, measured
    stray = 255 * veil * np.exp(-measured.ground)
    values = np.arange(256)[:, None]
    table = np.clip(np.round((values - stray) / (1 - veil)), 0, 255).astype(np.uint8)
    # The ground stays, since all light comes through it.
    absorbances = [-np.log((np.exp(-each) - veil) / (1 - veil)) for each in (measured.red_cell, measured.nucleus)]
    return np.asarray(cv2.LUT(rgb, table[None]), np.uint8), Measure(measured.ground, *absorbances)


def in_standard_stain(
    part: RgbImage, rgb: RgbImage, centres_xy_px: npt.NDArray[np.float64], cell_px: float, stain: Stain
) -> RgbImage:
    """A part of a picture in the standard stain; as it is where the picture's ground or red cells cannot be told.

    Args:
        part: `(h, w, 3) uint8`, at any scale.
        rgb: the picture, `(H, W, 3) uint8`, which is measured.
        centres_xy_px: `(N, 2)`, middles of the nucleated cells in it.
        cell_px: width of a usual red cell in it.
        stain: what to bring to the standard.
    """
    measured = None if stain == "as_it_is" else measure(rgb, centres_xy_px, cell_px)
    if measured is None:
        return part
    if stain == "clear_two_stains":
        part, measured = cleared(part, measured)
    return recoloured(part, standard_change(measured, stain))
