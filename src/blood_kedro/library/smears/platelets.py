"""Platelets: a small pale disc (hyalomere) with purple granules gathered in its middle (granulomere), 1.5-3.5 um."""

from __future__ import annotations

import numpy as np

from blood_kedro.library.smears.cell import (
    CYTOPLASM,
    LAYERS,
    PURPLE_GRANULES,
    CellStyle,
    DrawnCell,
    rasterize,
    smooth_noise,
    wavy,
)

_ANGLES = np.linspace(0, 2 * np.pi, 96, endpoint=False)


def draw_platelet(style: CellStyle, rng: np.random.Generator, *, giant: bool = False) -> DrawnCell:
    """Draw one platelet, 1.8-3.5 um; a giant one is as large as a red cell (4.5-7 um)."""
    radius_um = rng.uniform(*((4.5, 7.0) if giant else (1.8, 3.5))) / 2
    outline = radius_um * (1 + wavy(rng, _ANGLES, 0.09, range(2, 8)))
    raster = rasterize(np.stack([outline * np.cos(_ANGLES), outline * np.sin(_ANGLES)], 1), style.px_per_um)
    depth = np.clip(raster.inside_um / max(float(raster.inside_um.max()), 1e-6), 0, 1)
    grain = smooth_noise(rng, depth.shape, 0.22 * style.px_per_um)
    layers = np.zeros((*depth.shape, len(LAYERS)), np.float32)
    layers[..., CYTOPLASM] = 0.45 * raster.cover
    granulomere = np.clip(1.7 * depth, 0, 1) * np.clip(0.75 + 0.4 * grain, 0.1, None)
    layers[..., PURPLE_GRANULES] = raster.cover * granulomere * rng.uniform(0.6, 1.0)
    return DrawnCell("giant_platelet" if giant else "platelet", "platelet", layers, raster.mask)
