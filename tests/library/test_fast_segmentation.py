"""Fast segmentation gives the pixels of scikit-image and scipy, on drawn masks and simulated smears."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import regionprops
from skimage.morphology import h_maxima

from blood_kedro.library.counting.pieces import paint
from blood_kedro.library.counting.segment.options import WatershedOptions
from blood_kedro.library.counting.segment.watershed import watershed_pieces
from blood_kedro.library.imaging.hulls import hull_image
from blood_kedro.library.imaging.regions import components, holes, opened
from blood_kedro.library.imaging.segmentation import flat_field_green, foreground, instances, split_instances
from blood_kedro.library.imaging.summits import summits
from blood_kedro.library.smears.field import simulate_field
from blood_kedro.library.smears.options import SmearOptions
from tests.oracles import segmentation as plain


def cloud(seed: int, side: int = 120, sigma: float = 3.0) -> np.ndarray:
    """Smooth noise `(side, side) float32`, standard deviation 1: blobs of every outline, at the border too."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), sigma)
    return np.asarray(noise / noise.std(), np.float32)


def smear(seed: int, side: int = 300) -> np.ndarray:
    """A simulated field with touching, overlapping and cut cells, `(side, side, 3) uint8`; red cells of 36 px."""
    cells = {"normal_rbc": 45, "neutrophil": 1, "platelet": 4}
    options = SmearOptions(
        slides=1, fields_per_slide=1, width_px=side, height_px=side, cells_per_field=cells, overlap_share=0.2
    )
    return simulate_field(options, seed, 1, 0).rgb


@pytest.mark.parametrize("sigma", [0.7, 2.0, 6.0])
def test_hulls_are_those_of_scikit_image(sigma: float) -> None:
    labels, _ = ndimage.label(cloud(1, sigma=sigma) > 0.5)
    regions = regionprops(labels)
    assert len(regions) > 5
    assert any(region.solidity < 0.8 for region in regions)
    for region in regions:
        np.testing.assert_array_equal(hull_image(region.image), region.image_convex)


def test_the_hull_of_two_pixels_is_what_lies_between_them() -> None:
    mask = np.zeros((5, 5), np.bool_)
    mask[0, 0] = mask[4, 4] = True
    np.testing.assert_array_equal(hull_image(mask), np.eye(5, dtype=np.bool_))


def test_parts_holes_and_opening_are_those_of_scipy() -> None:
    mask = cloud(2) > 0
    labels, count = ndimage.label(mask)
    parts = components(mask)
    np.testing.assert_array_equal(parts.labels, labels)
    np.testing.assert_array_equal(parts.areas_px2, np.bincount(labels.ravel()))
    assert [parts.window(k) for k in range(1, count + 1)] == ndimage.find_objects(labels)
    centres = np.array(ndimage.center_of_mass(mask, labels, range(1, count + 1)))[:, ::-1]
    np.testing.assert_array_equal(parts.centres_xy_px[1:], centres)
    ground = holes(mask)
    filled = ndimage.binary_fill_holes(mask)
    assert (filled & ~mask).any()
    np.testing.assert_array_equal(mask | ground.enclosed[ground.labels], filled)
    for iterations in (1, 3):
        np.testing.assert_array_equal(opened(mask, iterations), ndimage.binary_opening(mask, iterations=iterations))


@pytest.mark.parametrize("least", [0.1, 0.75, 3.0, 100.0])
def test_summits_are_those_of_scikit_image(least: float) -> None:
    heights = 2 * cloud(3)
    expected = h_maxima(heights, least) > 0
    assert expected.any() == (least < 100)
    np.testing.assert_array_equal(summits(heights, least), expected)


def test_summits_at_the_end_of_a_path_longer_than_its_steps() -> None:
    """A level ridge with a summit at one end: the whole ridge must be reached before anything is told of it."""
    heights = np.zeros((3, 1200), np.float32)
    heights[1, 1:-1] = 5
    heights[1, 1] = 9
    np.testing.assert_array_equal(summits(heights, 1.0), h_maxima(heights, 1.0) > 0)


def test_the_flat_field_is_that_of_blocks_one_by_one() -> None:
    for height, width in ((300, 300), (97, 210), (40, 64), (3, 5)):
        rgb = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
        light = plain.ground_light(rgb[..., 1])
        np.testing.assert_array_equal(flat_field_green(rgb), rgb[..., 1] / np.maximum(light, 1.0))


@pytest.mark.parametrize("seed", range(3))
def test_cells_of_a_field_are_those_of_the_plain_steps(seed: int) -> None:
    rgb = smear(seed)
    mask = foreground(rgb, 36)
    np.testing.assert_array_equal(mask, plain.foreground(rgb, 36))
    seeds = np.random.default_rng(seed).uniform(0, 300, (12, 2))
    for points in (np.empty((0, 2)), seeds):
        labels = split_instances(mask, 36, points)
        assert labels.max() > 20
        np.testing.assert_array_equal(labels, plain.split_instances(mask, 36, points))
    assert [(each.label, each.area_px2, *each.box_xyxy_px) for each in instances(labels)] == [
        (cell.label, cell.area, cell.bbox[1], cell.bbox[0], cell.bbox[3], cell.bbox[2]) for cell in regionprops(labels)
    ]


@pytest.mark.parametrize("options", [WatershedOptions(), WatershedOptions(cell_px=24, mended_solidity=0.8, level=1.1)])
@pytest.mark.parametrize("seed", range(3))
def test_watershed_masks_are_those_of_the_plain_steps(seed: int, options: WatershedOptions) -> None:
    rgb = smear(seed)
    pieces = watershed_pieces(rgb, options)
    assert len(pieces) > 20
    labels = plain.watershed_labels(rgb, options)
    numbers = np.unique(labels[labels > 0])
    expected = np.searchsorted(numbers, labels) + 1
    np.testing.assert_array_equal(paint(pieces, *labels.shape), np.where(labels > 0, expected, 0))
