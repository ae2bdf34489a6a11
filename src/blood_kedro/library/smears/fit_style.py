"""Make simulated smears look like given real ones: a style measured from each of some real images.

Analysis by synthesis: a field is simulated, measured exactly as the real image was, and the style's parameters are
moved by what differs, a few times over. So a measure need not be free of bias, only the same on both sides.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.imaging.measures import FieldMeasures, Light, measure_red_cells, violet
from blood_kedro.library.imaging.read import FORMATS, SUFFIXES, is_litter, read_rgb
from blood_kedro.library.imaging.segmentation import RgbImage
from blood_kedro.library.smears.field import simulate_field
from blood_kedro.library.smears.options import ReferenceImages, SmearOptions
from blood_kedro.library.smears.styles import Stains, Style

logger = logging.getLogger(__name__)

_ROUNDS = 4
_FEWEST_CELLS = 3
# An image of this many single cells counts as much as all others together.
_CELLS_OF_THE_USUAL = 8
_FEWEST_VIOLET_PX = 300
# Step of a parameter per unit of its measure (found by changing one at a time around scanner_1).
_PALLOR_STEP, _HALO_STEP, _TEXTURE_STEP, _GRAIN_STEP, _OVERLAP_STEP = 1.8, 0.2, 4.0, 1.0, 1.0
_FLAT_STEP, _GLARE_STEP = 3.0, 3.0
# How many images are tried for each style that is wanted: some hold no cell that stands alone.
_TRIES_PER_STYLE = 3


@dataclass(frozen=True)
class _Measured:
    """One real image: its measures, and how many cells they rest on."""

    name: str
    rgb: RgbImage
    light: Light
    medians: pd.Series[float]
    cells: int
    quality: int | None


def with_fitted_styles(options: SmearOptions) -> SmearOptions:
    """The options with `styles` measured from the images that `like` names; as they are where it names none."""
    return options if options.like is None else options.model_copy(update={"styles": fit_styles(options.like)})


def fit_styles(look: ReferenceImages) -> tuple[Style, ...]:
    """Styles of up to `look.images` images, spread evenly over the folder in order of name.

    Images that show few single cells lean on the others: their measures are drawn towards the median of all.

    Raises:
        BadInputError: the folder holds no image on which enough single red cells can be measured.
    """
    folder = Path(look.folder)
    paths = sorted(
        p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and not is_litter(p.relative_to(folder))
    )
    wanted = min(look.images, len(paths))
    tries = min(wanted * _TRIES_PER_STYLE, len(paths))
    tried = [paths[k * len(paths) // tries] for k in range(tries)]
    measured: list[_Measured] = []
    for path in (p for start in range(_TRIES_PER_STYLE) for p in tried[start::_TRIES_PER_STYLE]):
        if len(measured) == wanted:
            break
        one = _measured(path, look.cell_px)
        if one is not None:
            measured.append(one)
    if not measured:
        raise BadInputError(
            f"no image shows {_FEWEST_CELLS} single red cells, so no style can be fitted",
            where=str(folder.absolute()),
            got=f"{len(paths)} images, {tries} tried with cell_px {look.cell_px:g}",
            remedy="check the folder and cell_px (usual diameter of a red cell in px)",
        )
    usual = pd.DataFrame([m.medians for m in measured]).median()
    return tuple(_fit(m, usual, look) for m in measured)


def _measured(path: Path, cell_px: float) -> _Measured | None:
    try:
        rgb = read_rgb(path)
    except BadInputError as error:
        logger.warning("no style from %s: %s", path.name, error.what)
        return None
    measures = measure_red_cells(rgb, cell_px)
    if measures.light is None or len(measures.cells) < _FEWEST_CELLS:
        logger.info("no style from %s: fewer than %d single red cells", path.name, _FEWEST_CELLS)
        return None
    return _Measured(path.stem, rgb, measures.light, _medians(measures), len(measures.cells), jpeg_quality(path))


def _medians(measures: FieldMeasures) -> pd.Series[float]:
    medians: pd.Series[float] = measures.cells.median()
    return pd.concat([medians, pd.Series({"clump_darkness": measures.clump_darkness})])


def _fit(real: _Measured, usual: pd.Series[float], look: ReferenceImages) -> Style:
    """The style of one real image; what it does not show itself is as `usual`."""
    trust = real.cells / (real.cells + _CELLS_OF_THE_USUAL)
    wanted = (trust * real.medians + (1 - trust) * usual).fillna(usual)
    style = _first(real)
    # Sizes and fields like the real one's, with room for single cells and for clumps.
    options = SmearOptions(
        fields_per_slide=1,
        width_px=max(real.rgb.shape[1], round(12 * look.cell_px)),
        height_px=max(real.rgb.shape[0], round(12 * look.cell_px)),
        px_per_um=look.px_per_um,
        cells_per_field={"normal_rbc": 30},
        overlap_share=0.3,
        precipitate=0,
        density_spread=0,
    )
    for turn in range(_ROUNDS):
        field = simulate_field(options.model_copy(update={"styles": (style,)}), 0, 1, turn)
        measures = measure_red_cells(field.rgb, look.cell_px)
        if measures.light is not None and len(measures.cells) >= _FEWEST_CELLS:
            # The slide's own variation is part of what was seen, so correct the style it really had.
            style = _moved(style, field.style, wanted, _medians(measures), real.light, measures.light)
    return style


def _first(real: _Measured) -> Style:
    """Light and nuclear colours are measured directly; all else starts from the defaults."""
    light = real.light
    height, width = real.rgb.shape[:2]
    middle = light.surface[height // 2, width // 2]
    level = (light.surface / middle).mean(axis=2)
    yy, xx = np.mgrid[:height, :width]
    x, y = xx / width - 0.5, yy / height - 0.5
    terms = np.stack([-2 * (x**2 + y**2), x, y], axis=-1).reshape(-1, 3)
    vignetting, slope_x, slope_y = np.linalg.lstsq(terms, (level - 1).ravel(), rcond=None)[0]
    return Style(
        name=real.name,
        light=tuple(float(v) for v in middle),
        vignetting=float(vignetting),
        slope=(float(slope_x), float(slope_y)),
        stains=_nuclear_stains(real.rgb, light),
        noise=max(light.noise, 0.1),
        jpeg_quality=real.quality,
        dust=0.0,
        halo=0.005,
        plasma=0.005,
    )


def _nuclear_stains(rgb: RgbImage, light: Light) -> Stains:
    """Nuclear colours from the image's own violet pixels, where it has enough; the usual ones otherwise."""
    usual = Stains()
    density = -np.log(np.clip(rgb, 1, 255) / light.surface)
    stained = density[violet(density)]
    if len(stained) < _FEWEST_VIOLET_PX:
        return usual
    ratio = np.clip(np.percentile(stained, 60, axis=0), 0.02, None) / np.asarray(usual.chromatin)
    rows = {
        row: tuple(float(v) for v in np.asarray(getattr(usual, row)) * ratio)
        for row in ("chromatin", "cytoplasm", "eosinophil_granules", "purple_granules")
    }
    return usual.model_copy(update=rows)


def _moved(
    style: Style, seen: Style, wanted: pd.Series[float], measured: pd.Series[float], light: Light, measured_light: Light
) -> Style:
    """The style moved by what differs between the wanted measures and those that `seen` brought about."""
    darker = wanted["clump_darkness"] - measured["clump_darkness"]
    channels = ("red_od", "green_od", "blue_od")
    ratio = [float(np.clip(wanted[c] / max(measured[c], 0.01), 0.2, 5)) for c in channels]
    factor = float(np.clip(wanted["diameter_px"] / measured["diameter_px"], 0.7, 1.4))
    missing_blur = wanted["edge_px"] ** 2 - measured["edge_px"] ** 2
    update: dict[str, Any] = {
        "stains": style.stains.model_copy(
            update={"haemoglobin": tuple(max(v * r, 0.01) for v, r in zip(seen.stains.haemoglobin, ratio, strict=True))}
        ),
        "size": float(np.clip(seen.size * factor, 0.5, 2)),
        "pallor": float(
            np.clip(seen.pallor + _PALLOR_STEP * (measured["pallor_ratio"] - wanted["pallor_ratio"]), 0, 1.3)
        ),
        "blur_px": float(np.sqrt(np.clip(seen.blur_px**2 + missing_blur, 0.3**2, 6**2))),
        "halo": float(np.clip(seen.halo + _HALO_STEP * (wanted["halo"] - measured["halo"]), 0, 0.08)),
        "pallor_flat": float(
            np.clip(seen.pallor_flat + _FLAT_STEP * (wanted["pallor_area"] - measured["pallor_area"]), 0.4, 3)
        ),
        "glare": float(np.clip(seen.glare + _GLARE_STEP * (wanted["glare"] - measured["glare"]), 0, 0.35)),
        "texture": float(np.clip(seen.texture + _TEXTURE_STEP * (wanted["texture"] - measured["texture"]), 0, 0.06)),
        "overlap_gain": float(np.clip(seen.overlap_gain + (0 if np.isnan(darker) else _OVERLAP_STEP * darker), 0, 1)),
        "noise": float(np.clip(seen.noise * light.noise / max(measured_light.noise, 0.1), 0.1, 2 * light.noise)),
        "grain_px": float(np.clip(seen.grain_px + _GRAIN_STEP * (light.grain - measured_light.grain), 0.3, 1.6)),
    }
    return style.model_copy(update=update)


def jpeg_quality(path: Path) -> int | None:
    """Quality 1 to 100 of a JPEG file, from its luminance table (the usual scaling of Annex K); None for others."""
    with Image.open(path, formats=FORMATS) as image:
        tables = getattr(image, "quantization", None)
    if not tables:
        return None
    # Annex K's luminance table sums to 3,688 at quality 50.
    scale = sum(tables[0]) / 3688
    return int(np.clip(100 - 50 * scale if scale <= 1 else 50 / scale, 1, 100))
