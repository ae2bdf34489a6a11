"""What one simulated cell is: how much of each stain light meets in it, and which pixels it covers.

A cell is drawn on a patch of its own. Its layers hold amounts, not colours: the slide's stain matrix turns them into
absorbance later, and absorbances of overlapping cells add up (Beer-Lambert).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

FloatImage = npt.NDArray[np.float32]
BoolMask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]

# What absorbs light, one layer each; `phase` absorbs nothing and only bends light (dry spots, dust).
LAYERS = ("haemoglobin", "chromatin", "cytoplasm", "eosinophil_granules", "purple_granules", "phase")
HAEMOGLOBIN, CHROMATIN, CYTOPLASM, EOSINOPHIL_GRANULES, PURPLE_GRANULES, PHASE = range(len(LAYERS))


@dataclass(frozen=True)
class DrawnCell:
    """One drawn cell.

    Attributes:
        kind: family it was drawn from (`false_teardrop`, `helmet`, ...).
        label: its class in the taxonomy; None for what is no cell.
        layers: `(h, w, 6) float32`, amount of each of `LAYERS`; 1 is usual where the layer is present.
        mask: `(h, w) bool`, pixels of which at least half belong to the cell.
    """

    kind: str
    label: str | None
    layers: FloatImage
    mask: BoolMask


@dataclass(frozen=True)
class CellStyle:
    """What all cells of a slide share.

    Attributes:
        px_per_um: pixels per micrometre.
        size: factor on diameters (MCV of the patient, spreading of the smear); 1 is usual.
        edge: exponent of the rim's profile: 1/2 in a resting cell, smaller and steeper in a dried one.
        pallor_flat: factor on the width of the floor of the pallor.
        pallor: factor on the depth of the central pallor of red cells; 1 is the resting cell of Evans and Fung.
        punched: 0 smooth pallor, 1 sharply punched out, as slow drying leaves it.
        texture: relative unevenness of the red cell's density.
        refractile: mean number of refractile drying spots on a red cell.
        smear_direction: radians; tails of false teardrops all point there.
    """

    px_per_um: float
    size: float = 1.0
    edge: float = 0.12
    pallor_flat: float = 1.0
    pallor: float = 1.0
    punched: float = 0.3
    texture: float = 0.03
    refractile: float = 0.0
    smear_direction: float = 0.0


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], grain_px: float) -> FloatImage:
    """Gaussian noise of zero mean and unit variance with a grain of `grain_px`, `shape float32`."""
    noise = rng.standard_normal(shape[:2], np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), max(grain_px, 0.5))
    smooth = smooth - smooth.mean()
    return np.asarray(smooth / max(float(smooth.std()), 1e-6), np.float32)


def wavy(rng: np.random.Generator, angle: npt.NDArray[np.floating], amount: float, orders: range) -> FloatImage:
    """A smooth random function of the angle, about `amount` large: no real outline is an exact ellipse."""
    waves = [rng.normal(0, amount) / (k - 1) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in orders]
    return np.asarray(np.sum(waves, axis=0), np.float32)


@dataclass(frozen=True)
class Raster:
    """An outline on a pixel grid with the origin of its points in the middle pixel.

    Attributes:
        cover: `(h, w) float32`, share of each pixel inside.
        inside_um: `(h, w) float32`, distance to the outline for pixels inside, in um.
        x_um: `(h, w) float32`, position of pixel centres.
        y_um: likewise.
    """

    cover: FloatImage
    inside_um: FloatImage
    x_um: FloatImage
    y_um: FloatImage

    @property
    def mask(self) -> BoolMask:
        """Pixels of which at least half lie inside, `(h, w) bool`; a tip too thin to hang together is left out."""
        parts, labels, facts, _ = cv2.connectedComponentsWithStats((self.cover >= 0.5).astype(np.uint8))
        if parts <= 2:
            return np.asarray(labels > 0, np.bool_)
        return np.asarray(labels == 1 + int(facts[1:, cv2.CC_STAT_AREA].argmax()), np.bool_)


def rasterize(outline_um: Points, px_per_um: float) -> Raster:
    """Fill a closed outline, `(n, 2)` points x, y in um around the origin, exactly to a fraction of a pixel."""
    fine = 4 if px_per_um < 8 else 2
    half = int(np.ceil(np.abs(outline_um).max() * px_per_um)) + 2
    side = 2 * half + 1
    # Pixel (half, half) has its centre at the origin; cv2 takes fixed-point coordinates of fine pixel centres.
    points = (outline_um * px_per_um + half + 0.5) * fine - 0.5
    filled = np.zeros((side * fine, side * fine), np.uint8)
    cv2.fillPoly(filled, [np.round(points * 16).astype(np.int32)], 1, shift=4)
    # fillPoly fills every pixel that the outline touches: those at the rim (distance 1) are half inside on average.
    distance = cv2.distanceTransform(filled, cv2.DIST_L2, 5)
    cover = cv2.resize(np.clip(distance - 0.5, 0, 1), (side, side), interpolation=cv2.INTER_AREA)
    inside = cv2.resize(np.clip(distance - 1, 0, None), (side, side), interpolation=cv2.INTER_AREA)
    inside_um = np.asarray(inside, np.float32) / (fine * px_per_um)
    axis = (np.arange(side, dtype=np.float32) - half) / px_per_um
    x_um, y_um = np.meshgrid(axis, axis)
    return Raster(np.asarray(cover, np.float32), inside_um, x_um, y_um)


def turned(outline: Points, angle: float) -> Points:
    """Points rotated about the origin."""
    c, s = np.cos(angle), np.sin(angle)
    return np.asarray(outline @ np.array([[c, s], [-s, c]]), np.float64)
