"""Random laboratories: known changes of colour, seeds, what stays in place, and speed."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from blood_kedro.library.shipped.augment import Jitter, absorbance, jittered, recoloured, stain_change

NOTHING = Jitter(
    mixing=0,
    strength=(1, 1),
    gamma=(1, 1),
    light=0,
    grey_share=0,
    blur_share=0,
    sharpen_share=0,
    noise_share=0,
    jpeg_share=0,
)


def cell(side: int = 96) -> NDArray[np.uint8]:
    y, x = np.mgrid[:side, :side]
    rgb = np.full((side, side, 3), (235, 225, 215), np.uint8)
    rgb[(y - side / 2) ** 2 + (x - side / 2) ** 2 < (side / 3) ** 2] = (150, 90, 170)
    return rgb


def test_without_any_change_a_picture_stays_as_it_is() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    changed = jittered(rgb, np.random.default_rng(1), NOTHING)
    assert changed.dtype == np.uint8
    assert np.abs(changed.astype(int) - rgb).max() <= 1


def test_absorbance_is_that_of_beer_and_lambert() -> None:
    rgb = np.array([[[255, 128, 0]]], np.uint8)
    clear, half, black = absorbance(rgb)[0, 0]
    assert clear == 0
    assert half == pytest.approx(np.log(2), abs=0.01)
    assert 6 < black < 7


def test_twice_the_stain_squares_what_comes_through() -> None:
    double = np.concatenate([2 * np.eye(3), np.zeros((3, 1))], axis=1).astype(np.float32)
    changed = recoloured(np.full((4, 4, 3), (200, 100, 50), np.uint8), double)
    expected = np.array([200, 100, 50]) ** 2 / 255
    assert np.abs(changed[0, 0] - expected).max() <= 1.5


def test_the_same_seed_gives_the_same_picture_and_another_one_another() -> None:
    first, again, other = (jittered(cell(), np.random.default_rng(seed), Jitter()) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_grey_pictures_come_in_the_wanted_share() -> None:
    sharp = Jitter(grey_share=0.25, blur_share=0, sharpen_share=0, noise_share=0, jpeg_share=0)
    rng = np.random.default_rng(0)
    pictures = [jittered(cell(16), rng, sharp) for _ in range(400)]
    grey = np.mean([np.ptp(p.astype(int), axis=2).max() <= 1 for p in pictures])
    assert 0.18 < grey < 0.32


def test_colours_spread_widely_but_the_cell_stays_darker_than_its_ground() -> None:
    rng = np.random.default_rng(0)
    changes = [recoloured(cell(32), stain_change(rng, Jitter())) for _ in range(200)]
    inside = np.array([c[16, 16] for c in changes], float)
    ground = np.array([c[0, 0] for c in changes], float)
    assert inside.std(axis=0).min() > 20
    assert (inside.mean(axis=1) < ground.mean(axis=1)).mean() > 0.99


def test_red_and_blue_keep_their_places_through_compression() -> None:
    jpeg = NOTHING.model_copy(update={"jpeg_share": 1.0, "jpeg_quality": (95, 95)})
    changed = jittered(np.full((32, 32, 3), (220, 60, 120), np.uint8), np.random.default_rng(0), jpeg)
    assert np.abs(changed.astype(int) - (220, 60, 120)).max() <= 4


def test_a_jitter_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="hue"):
        Jitter.model_validate({"hue": 0.1})


def test_five_hundred_crops_take_less_than_a_cpu_second() -> None:
    rgb, rng = cell(), np.random.default_rng(0)
    start = time.process_time()
    for _ in range(500):
        jittered(rgb, rng, Jitter())
    assert time.process_time() - start < 2.0  # half the speed is left for a crowded machine
