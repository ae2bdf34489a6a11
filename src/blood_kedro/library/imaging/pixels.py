"""What decoders give, as 8-bit RGB as viewed: grey, palettes, transparency, negatives, and more than 8 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.imaging.levels import find_levels, to_8_bit
from blood_kedro.library.imaging.orientation import ORIENTATION

RgbImage = npt.NDArray[np.uint8]
WHITE = 255


@dataclass(frozen=True)
class Decoded:
    """A picture as it is counted, looked at and standardized.

    Attributes:
        rgb: `(H, W, 3) uint8`, as viewed.
        form: what the file is, as Pillow names it: `JPEG`, `TIFF`, ...
        unused: what else the file holds, and a name that does not fit: one clause each.
        levels: how values of more than 8 bits were read; empty for 8 bits.
        converted: other conversions, each of which keeps what is seen.
    """

    rgb: RgbImage
    form: str
    unused: tuple[str, ...] = ()
    levels: str = ""
    converted: tuple[str, ...] = ()


def decode_with_pillow(image: Image.Image, form: str) -> Decoded:
    """An opened picture of at most 8 bits, or of grey values, by Pillow, which knows palettes, CMYK, transparency."""
    image.load()
    converted = () if image.mode == "RGB" else (f"converted from mode {image.mode} to 8-bit RGB",)
    if (orientation := image.getexif().get(ORIENTATION, 1)) != 1:
        turned = f"EXIF orientation {orientation} applied: boxes are read as drawn on the upright picture"
        converted = (*converted, turned)
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith(("I", "F")):
        rgb, levels = colour_of(np.asarray(upright))
        return Decoded(rgb, form, levels=levels, converted=converted)
    if "A" in upright.mode or "a" in upright.mode or "transparency" in upright.info:
        clear = upright.convert("RGBA")
        if clear.getchannel("A").getextrema() == (0, 0):
            converted = (*converted, "transparency is left out: nothing would be seen")
        else:
            flat = Image.new("RGBA", upright.size, (WHITE, WHITE, WHITE, 255))
            upright = Image.alpha_composite(flat, clear)
    return Decoded(np.asarray(upright.convert("RGB"), np.uint8), form, converted=converted)


def colour_of(
    values: npt.NDArray[Any],
    *,
    declared: float | None = None,
    alpha: npt.NDArray[Any] | None = None,
    premultiplied: bool = False,
    white_is_zero: bool = False,
) -> tuple[RgbImage, str]:
    """Values `(H, W)` or `(H, W, 3)` as RGB `(H, W, 3) uint8`, and how their range was read; empty for 8 bits.

    Args:
        values: of any real type.
        declared: top of their range by the file.
        alpha: `(H, W)` of the same type; what is transparent becomes white. One that is the same everywhere is left
            out, for it shows nothing.
        premultiplied: colours have been multiplied by alpha.
        white_is_zero: the picture is stored as a negative.

    Raises:
        BadInputError: values are no finite numbers.
    """
    note = ""
    if values.dtype == np.bool_:
        values = np.asarray(values, np.uint8) * np.uint8(255)
    if values.dtype != np.uint8:
        if values.dtype.kind not in "uif":
            raise BadInputError(f"values of type {values.dtype} are no picture")
        levels = find_levels(values, declared)
        values, note = to_8_bit(values, levels), levels.said
    colour = 255 - values if white_is_zero else values
    if colour.ndim == 2:
        colour = np.repeat(colour[..., None], 3, axis=2)
    if alpha is not None and alpha.min() < alpha.max():
        # What covers fully has the highest alpha, which is 4095 where values have 12 bits.
        share = np.asarray(alpha / (255 if alpha.dtype == np.uint8 else alpha.max()), np.float32)[..., None]
        blended = colour * (1 if premultiplied else share) + WHITE * (1 - share)
        colour = np.clip(np.round(blended), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(colour), note
