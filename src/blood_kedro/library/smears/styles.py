"""How slides and scanners look: four scanner styles, 25 slides, and what varies from slide to slide.

Which slide goes through which scanner is Table 2 of Elmanna et al. 2024. It shows their looks (Fig. 5) and gives
no numbers; those here were set by eye on the public sets, and `fit_style` measures further ones from real images.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from blood_kedro.library.core.elmanna_2024 import SCANNER_OF_SLIDE
from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.smears.cell import LAYERS, CellStyle

Rgb = tuple[float, float, float]

# Sigma of the scattered light, um (measured on Chula: the ground is darker up to 2 um from a cell).
GLARE_UM = 1.6


class Stains(BaseModel):
    """Absorbance (natural logarithm) per RGB channel of one unit of each layer of a cell."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    haemoglobin: Rgb = (0.16, 0.52, 0.38)
    chromatin: Rgb = (1.35, 1.75, 0.55)
    cytoplasm: Rgb = (0.42, 0.34, 0.10)
    eosinophil_granules: Rgb = (0.14, 0.60, 0.50)
    purple_granules: Rgb = (0.60, 1.05, 0.36)

    def matrix(self) -> npt.NDArray[np.float32]:
        """`(6, 3) float32` in the order of `LAYERS`; `phase` absorbs nothing."""
        rows = [getattr(self, name, (0.0, 0.0, 0.0)) for name in LAYERS]
        return np.array(rows, np.float32)


class Style(BaseModel):
    """One slide seen through one scanner.

    Attributes:
        name: shown as the scanner of an image.
        magnification: factor on the pixels per micrometre.
        light: RGB levels of an empty spot in the middle of the field, 0 to 255.
        vignetting: share of light lost in the corners; `slope` its change from left to right and top to bottom.
        blur_px: sigma of the focus blur.
        halo: strength of the rims and halos that a little defocus draws around what bends light, in um^2 (transport of
            intensity); `colour_fringe` its relative difference between red and blue.
        glare: share of light that the optics scatter over `GLARE_UM`; it darkens the ground near cells.
        noise: sigma in levels; `grain_px` the correlation length that demosaicing and denoising leave.
        plasma: unevenness of the stained background, as absorbance.
        jpeg_quality: 1 to 100; None keeps the image as it is.
        overlap_gain: share of its absorption that a cell adds to another it lies on: 1 is Beer-Lambert for cells that
            keep their form; dried cells flatten each other, and real overlaps are paler.
        dust: mean number of dust spots on the optics, the same in all fields of a style.
        density: factor on the number of cells.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    magnification: float = Field(1.0, gt=0)
    light: Rgb
    vignetting: float = 0.03
    slope: tuple[float, float] = (0.0, 0.0)
    stains: Stains = Stains()
    blur_px: float = Field(0.7, ge=0)
    halo: float = 0.02
    colour_fringe: float = 0.0
    glare: float = Field(0.08, ge=0, le=0.5)
    noise: float = Field(1.5, ge=0)
    grain_px: float = Field(0.6, ge=0)
    plasma: float = 0.01
    jpeg_quality: int | None = Field(92, ge=1, le=100)
    overlap_gain: float = Field(1.0, ge=0, le=1)
    dust: float = 1.0
    density: float = Field(1.0, gt=0)
    size: float = Field(1.0, gt=0)
    edge: float = Field(0.12, gt=0, le=0.5)
    pallor_flat: float = Field(1.0, gt=0)
    pallor: float = Field(1.0, ge=0)
    punched: float = Field(0.3, ge=0, le=1)
    texture: float = Field(0.03, ge=0)
    refractile: float = Field(0.0, ge=0)
    smear_direction: float = 0.0

    def cells(self, px_per_um: float) -> CellStyle:
        """What the cells of the slide share; `px_per_um` is the nominal one, before the scanner's magnification."""
        shared = ("size", "edge", "pallor_flat", "pallor", "punched", "texture", "refractile", "smear_direction")
        return CellStyle(px_per_um * self.magnification, **{name: getattr(self, name) for name in shared})


SCANNERS: dict[str, Style] = {
    "scanner_1": Style(
        name="scanner_1",
        light=(203, 208, 203),
        vignetting=0.10,
        blur_px=0.75,
        halo=0.018,
        noise=1.6,
        jpeg_quality=90,
        stains=Stains(haemoglobin=(0.20, 0.60, 0.36)),
        dust=4.0,
    ),
    "scanner_2": Style(
        name="scanner_2",
        light=(252, 230, 204),
        vignetting=0.02,
        blur_px=0.9,
        halo=0.008,
        noise=0.9,
        jpeg_quality=95,
        stains=Stains(haemoglobin=(0.21, 0.36, 0.30)),
        magnification=1.1,
        overlap_gain=0.6,
        dust=0.0,
    ),
    "scanner_3": Style(
        name="scanner_3",
        light=(226, 226, 234),
        vignetting=0.04,
        blur_px=0.8,
        halo=0.02,
        colour_fringe=0.5,
        noise=1.2,
        jpeg_quality=85,
        stains=Stains(haemoglobin=(0.34, 0.60, 0.26)),
        magnification=0.92,
        pallor=0.5,
    ),
    "scanner_4": Style(
        name="scanner_4",
        light=(212, 214, 206),
        vignetting=0.14,
        blur_px=1.4,
        halo=0.015,
        noise=2.4,
        jpeg_quality=75,
        stains=Stains(haemoglobin=(0.22, 0.50, 0.40)),
        overlap_gain=0.8,
        punched=0.05,
        refractile=0.4,
        plasma=0.02,
    ),
}


def slide_style(seed: int, slide: int, fitted: tuple[Style, ...] = ()) -> Style:
    """The look of slide `slide` (from 1): its scanner's, or the fitted style in turn, with the slide's own variation.

    Slides above 25 take the scanners of 1 to 25 again.
    """
    rng = np.random.default_rng(seed_for(seed, "slide", slide))
    if fitted:
        base, spread = fitted[(slide - 1) % len(fitted)], 0.3
    else:
        base, spread = SCANNERS[SCANNER_OF_SLIDE[(slide - 1) % len(SCANNER_OF_SLIDE) + 1]], 1.0
    strength = np.exp(rng.normal(0, 0.12 * spread))
    stains = {
        name: tuple(float(v) for v in np.asarray(row) * strength * np.exp(rng.normal(0, 0.06 * spread, 3)))
        for name, row in base.stains.model_dump().items()
    }
    return base.model_copy(
        update={
            "stains": Stains(**stains),
            "light": tuple(min(v * float(np.exp(rng.normal(0, 0.015 * spread))), 254.0) for v in base.light),
            "blur_px": base.blur_px * float(np.exp(rng.normal(0, 0.12 * spread))),
            "halo": base.halo * float(np.exp(rng.normal(0, 0.3 * spread))),
            "size": base.size * float(np.exp(rng.normal(0, 0.03 * spread))),
            "pallor": max(base.pallor + float(rng.normal(0, 0.12 * spread)), 0.0),
            "punched": float(np.clip(base.punched + rng.normal(0, 0.12 * spread), 0, 1)),
            "density": base.density * float(np.exp(rng.normal(0, 0.25 * spread))),
            "smear_direction": float(rng.uniform(0, 2 * np.pi)),
        }
    )
