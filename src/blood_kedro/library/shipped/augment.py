"""Other laboratories by chance: stain, light, focus and compression of a picture, changed at random.

Stains add up in absorbance (Beer and Lambert), so a colour is changed there: a random matrix mixes what the three
channels absorb, a factor makes the stain stronger or weaker, and a constant per channel changes the colour of the
light. A gamma of the camera is a factor, too, since it multiplies the logarithm of what comes through.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

RgbImage = npt.NDArray[np.uint8]

_GREY = np.array([0.299, 0.587, 0.114], np.float32)
_LIGHT = 255.0
# Absorbance of each value of a byte; black absorbs as much as half a step above it, not infinitely.
_ABSORBANCE = -np.log((np.arange(256) + 0.5) / (_LIGHT + 0.5)).astype(np.float32)


class Jitter(BaseModel):
    """How far a picture is changed. Ranges are drawn from evenly on a logarithmic scale; shares are chances in 0..1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mixing: float = Field(0.12, ge=0)  # standard deviation of each entry of the stain matrix about the unit matrix
    strength: tuple[float, float] = (0.6, 1.5)
    gamma: tuple[float, float] = (0.7, 1.4)
    light: float = Field(0.08, ge=0)  # standard deviation of each channel's light, in absorbance
    grey_share: float = Field(0.15, ge=0, le=1)
    blur_share: float = Field(0.4, ge=0, le=1)
    blur_px: tuple[float, float] = (0.4, 1.6)  # standard deviation of the blur
    sharpen_share: float = Field(0.1, ge=0, le=1)
    noise_share: float = Field(0.3, ge=0, le=1)
    noise: tuple[float, float] = (1.0, 8.0)  # standard deviation, of 255
    jpeg_share: float = Field(0.4, ge=0, le=1)
    jpeg_quality: tuple[int, int] = (30, 95)


def jittered(rgb: RgbImage, rng: np.random.Generator, jitter: Jitter) -> RgbImage:
    """A picture as another laboratory might have taken it.

    Colours come first, then focus, noise of the camera and JPEG, in the order in which they happen to a picture. Blur
    and noise are in px of what is given, so pictures should come at the scale at which a network sees them.

    Args:
        rgb: `(H, W, 3) uint8`.
        rng: decides everything.
        jitter: how far.

    Returns:
        `(H, W, 3) uint8`, another array.
    """
    changed = recoloured(rgb, stain_change(rng, jitter))
    if rng.random() < jitter.blur_share:
        changed = _blurred(changed, _between(rng, jitter.blur_px))
    elif rng.random() < jitter.sharpen_share:
        changed = np.asarray(cv2.addWeighted(changed, 2.0, _blurred(changed, 1.0), -1.0, 0), np.uint8)
    if rng.random() < jitter.noise_share:
        changed = _noisy(changed, rng, _between(rng, jitter.noise))
    if rng.random() < jitter.jpeg_share:
        changed = compressed(changed, round(_between(rng, jitter.jpeg_quality)))
    return changed


def stain_change(rng: np.random.Generator, jitter: Jitter) -> npt.NDArray[np.float32]:
    """A random change of colours, `(3, 4) float32`: a matrix and a constant for the absorbance of R, G and B."""
    matrix = np.eye(3) + rng.normal(0, jitter.mixing, (3, 3)) if jitter.mixing else np.eye(3)
    matrix *= _between(rng, jitter.strength) * _between(rng, jitter.gamma)
    light = rng.normal(0, jitter.light, 3) if jitter.light else np.zeros(3)
    if rng.random() < jitter.grey_share:
        matrix, light = np.tile(_GREY @ matrix, (3, 1)), np.full(3, light.mean())
    return np.concatenate([matrix, light[:, None]], axis=1).astype(np.float32)


def recoloured(rgb: RgbImage, change: npt.NDArray[np.float32]) -> RgbImage:
    """A picture `(H, W, 3) uint8` after a change of its absorbance, `(3, 4) float32` of R, G, B, and 1."""
    absorbed = np.asarray(cv2.transform(absorbance(rgb), change), np.float32)
    np.negative(absorbed, out=absorbed)
    cv2.exp(absorbed, dst=absorbed)
    return np.asarray(cv2.convertScaleAbs(absorbed, alpha=_LIGHT), np.uint8)  # rounds and stops at 255


def absorbance(rgb: RgbImage) -> npt.NDArray[np.float32]:
    """Natural absorbance of each channel, `(H, W, 3) float32`: 0 at a value of 255."""
    return np.asarray(cv2.LUT(rgb, _ABSORBANCE), np.float32)


def _between(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    low, high = limits
    return float(low * (high / low) ** rng.random())


def _blurred(rgb: RgbImage, sigma_px: float) -> RgbImage:
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT_101), np.uint8)


def _noisy(rgb: RgbImage, rng: np.random.Generator, deviation: float) -> RgbImage:
    noise = rng.standard_normal(rgb.shape, np.float32) * np.float32(deviation)
    return np.asarray(cv2.add(rgb, noise, dtype=cv2.CV_8U), np.uint8)


def compressed(rgb: RgbImage, quality: int) -> RgbImage:
    """What is left of a picture `(H, W, 3) uint8` after JPEG of a quality of 1..100.

    Red and blue change places for OpenCV, which expects blue first, and back.
    """
    _, encoded = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)
