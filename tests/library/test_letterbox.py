"""Algorithm 1 by hand-computed numbers."""

from __future__ import annotations

import numpy as np

from blood_kedro.library.imaging.letterbox import Letterbox


def test_landscape_by_hand() -> None:
    # scale = 512 / 640 = 0.8; 480 * 0.8 = 384; padding (512 - 384) / 2 = 64 above
    box = Letterbox(640, 480, 512)
    assert box.scale == 0.8
    assert box.new_size_px == (512, 384)
    assert box.padding_px == (0, 64)
    got = box.boxes(np.array([[10.0, 20.0, 110.0, 220.0]]))
    np.testing.assert_allclose(got, [[8, 80, 88, 240]])


def test_odd_padding_is_floored() -> None:
    # scale = 512 / 363; 360 * 512 // 363 = 507; padding floor(5 / 2) = 2 at the left, 0 above
    box = Letterbox(360, 363, 512)
    assert box.new_size_px == (507, 512)
    assert box.padding_px == (2, 0)


def test_longer_side_always_fills_the_canvas() -> None:
    """In floating point, some floors come out one too small, and a row would be lost."""
    assert int(98 * (512 / 98)) == 511
    assert int(309 * (512 / 412)) == 383
    assert Letterbox(412, 309, 512).new_size_px == (512, 384)
    short = [side for side in range(1, 1200) if max(Letterbox(side, max(1, side // 2), 512).new_size_px) != 512]
    assert short == []


def test_canvas_is_black_around_the_image() -> None:
    canvas = Letterbox(64, 32, 128).image(np.full((32, 64, 3), 200, np.uint8))
    assert canvas.shape == (128, 128, 3)
    assert (canvas[:32] == 0).all()
    assert (canvas[96:] == 0).all()
    assert (canvas[32:96] == 200).all()
