"""From amounts of stain to the picture a camera saves: Beer-Lambert, defocus, light, blur, noise, JPEG."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from blood_kedro.library.core.hashing import seed_for
from blood_kedro.library.smears.cell import FloatImage, smooth_noise
from blood_kedro.library.smears.styles import GLARE_UM, Style

# How much each layer bends light, in the order of LAYERS (red cell 1).
_REFRACTION = np.array([1.0, 0.5, 0.5, 0.3, 0.3, 1.5], np.float32)


def scan(
    layers: FloatImage, style: Style, px_per_um: float, rng: np.random.Generator, border_px: int = 0
) -> npt.NDArray[np.uint8]:
    """Layers to the image of one exposure.

    Args:
        layers: `(H + 2 b, W + 2 b, 6) float32`, amounts of stain, with a border of `b` px that only lends its light.
        style: look of slide and scanner.
        px_per_um: pixels per micrometre of the layers.
        rng: source of noise.
        border_px: `b`.

    Returns:
        `(H, W, 3) uint8` RGB.
    """
    rows, columns = layers.shape[:2]
    absorbance = layers.reshape(-1, layers.shape[2]) @ style.stains.matrix()
    transmitted = np.exp(-absorbance).reshape(rows, columns, 3)
    if style.halo:
        transmitted *= _defocus(layers, style, px_per_um)
    if style.glare:
        wide = cv2.GaussianBlur(transmitted, (0, 0), GLARE_UM * px_per_um)
        transmitted = (1 - style.glare) * transmitted + style.glare * wide
    if style.blur_px:
        transmitted = cv2.GaussianBlur(transmitted, (0, 0), style.blur_px)
    seen = transmitted[border_px : rows - border_px, border_px : columns - border_px]
    image = seen * illumination(style, seen.shape[0], seen.shape[1], rng)
    if style.noise:
        image += _noise(image.shape, style, rng)
    pixels = np.asarray(np.clip(np.rint(image), 0, 255), np.uint8)
    return pixels if style.jpeg_quality is None else _jpeg(pixels, style.jpeg_quality)


def illumination(style: Style, height: int, width: int, rng: np.random.Generator) -> FloatImage:
    """Light that reaches the camera where there is no cell, `(H, W, 3) float32` in levels."""
    yy, xx = np.mgrid[:height, :width].astype(np.float32)
    x, y = xx / width - 0.5, yy / height - 0.5
    level = 1 - style.vignetting * 2 * (x**2 + y**2) + style.slope[0] * x + style.slope[1] * y
    if style.plasma:
        small = smooth_noise(rng, (height // 8 + 1, width // 8 + 1), 5.0)
        level *= np.exp(-style.plasma * cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))
    level = level * _dust(style, height, width)
    return np.asarray(level[..., None] * np.asarray(style.light, np.float32), np.float32)


def _dust(style: Style, height: int, width: int) -> FloatImage:
    """Out-of-focus spots on the optics: at the same place in every field of a style."""
    rng = np.random.default_rng(seed_for("dust", style.name))
    shade = np.ones((height, width), np.float32)
    for _ in range(int(rng.poisson(style.dust))):
        spot = np.zeros((height, width), np.uint8)
        centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        cv2.circle(spot, centre, int(rng.integers(2, 6)), 1, -1)
        shade -= rng.uniform(0.05, 0.25) * cv2.GaussianBlur(spot.astype(np.float32), (0, 0), rng.uniform(1.5, 3.5))
    return shade


def _defocus(layers: FloatImage, style: Style, px_per_um: float) -> FloatImage:
    """Factor on the light that a small defocus adds, `(H, W, 3) float32` around 1.

    First order of the transport-of-intensity equation: the intensity changes by minus the defocus times the Laplacian
    of the phase (Teague, J. Opt. Soc. Am. 73, 1983): dark rims inside, bright halos outside.
    """
    phase = layers @ _REFRACTION
    smooth = cv2.GaussianBlur(phase, (0, 0), 0.2 * px_per_um)
    bending = cv2.Laplacian(smooth, cv2.CV_32F, ksize=3) * (px_per_um**2 / 4)  # this kernel is four Laplacians
    fringe = 1 + style.colour_fringe * np.array([-1, 0, 1], np.float32)
    return np.asarray(1 + np.clip(style.halo * bending[..., None] * fringe, -0.5, 0.35), np.float32)


def _noise(shape: tuple[int, ...], style: Style, rng: np.random.Generator) -> FloatImage:
    noise: FloatImage = rng.standard_normal(shape, np.float32)
    if style.grain_px > 0.3:
        noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), style.grain_px), np.float32)
        noise /= max(float(noise.std()), 1e-6)
    return np.asarray(style.noise * noise, np.float32)


def _jpeg(pixels: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB), np.uint8)
