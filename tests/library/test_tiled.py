"""Large images: every cell once, wherever the seams fall, at a cost that grows with the number of tiles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.detection.network import build_network
from blood_kedro.library.detection.tiled import detect_tiled
from blood_kedro.library.imaging.tiling import overlapping_tiles
from tests.fixtures.corpora import TINY

RADIUS = 20


class Thresholder(torch.nn.Module):
    """A detector with known answers: one box for each dark component, whole or cut by the border of its tile.

    Its class depends on where the cell lies in the tile, so that two tiles never agree on it, and cut cells score
    less: as a real detector does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.tiles = 0

    def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        outputs = []
        for image in images:
            self.tiles += 1
            parts, _ = ndimage.label(image[1].numpy() < 0.5)
            boxes = [[s[1].start, s[0].start, s[1].stop, s[0].stop] for s in ndimage.find_objects(parts)]
            jitter = 3.0 * (len(outputs) % 2) - 1.5
            areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in boxes]
            outputs.append(
                {
                    "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4) + jitter,
                    "labels": torch.tensor([1 + b[0] % 3 for b in boxes], dtype=torch.int64),
                    "scores": torch.tensor(areas, dtype=torch.float32) / (2 * RADIUS + 1) ** 2,
                }
            )
        return outputs


def cells(width: int, height: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Dark discs on a light ground, none touching another, and their centres."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 230, np.uint8)
    y, x = np.mgrid[:height, :width]
    centres: list[tuple[int, int]] = []
    for _ in range(3000):
        c = (int(rng.integers(RADIUS, width - RADIUS)), int(rng.integers(RADIUS, height - RADIUS)))
        if all(np.hypot(c[0] - a, c[1] - b) > 2 * RADIUS + 4 for a, b in centres):
            centres.append(c)
            window = (slice(c[1] - RADIUS, c[1] + RADIUS + 1), slice(c[0] - RADIUS, c[0] + RADIUS + 1))
            image[window][np.hypot(x[window] - c[0], y[window] - c[1]) <= RADIUS] = 60
    return image, np.array(centres)


@pytest.mark.parametrize(("width", "height", "tile_px"), [(1400, 900, 300), (1111, 777, 256), (300, 1000, 300)])
def test_every_cell_is_found_once_and_whole(width: int, height: int, tile_px: int) -> None:
    image, centres = cells(width, height, seed=width)
    assert len(centres) > 80
    found = detect_tiled(Thresholder(), image, lambda x: x, tile_px=tile_px, overlap_px=64, batch_size=3)  # type: ignore[arg-type]
    middle = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    distance = np.linalg.norm(middle[:, None] - centres[None], axis=2)
    assert (distance.min(axis=0) < 5).all()  # none lost
    assert len(found.boxes) == len(centres)  # none doubled, though the tiles call them differently
    assert (found.boxes[:, 2:] - found.boxes[:, :2] >= 2 * RADIUS - 1).all()  # none cut
    assert (np.diff(found.scores) <= 0).all()


def test_cost_grows_linearly() -> None:
    counts = []
    for height in (2000, 4000, 8000):
        network = Thresholder()
        detect_tiled(network, np.full((height, 500, 3), 230, np.uint8), lambda x: x, tile_px=500, overlap_px=100)  # type: ignore[arg-type]
        counts.append(network.tiles)
    assert counts == [5, 10, 20]


def test_tiles_cover_the_image_and_cores_share_it_out() -> None:
    owners = np.zeros((700, 1000), int)
    seen = np.zeros((700, 1000), bool)
    for tile in overlapping_tiles(1000, 700, 256, 64):
        x_min, y_min, x_max, y_max = tile.area
        seen[y_min:y_max, x_min:x_max] = True
        left, top, right, bottom = np.clip(tile.core, 0, [1000, 700, 1000, 700]).astype(int)
        owners[top:bottom, left:right] += 1
    assert seen.all()
    assert (owners == 1).all()
    with pytest.raises(ConfigurationError, match="less than half"):
        list(overlapping_tiles(1000, 700, 256, 128))


def test_one_tile_is_the_plain_detector() -> None:
    torch.manual_seed(0)
    network = build_network(TINY.model_copy(update={"anchors": "default"}), 3).eval()
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    tiled = detect_tiled(network, image, lambda x: x, tile_px=64, overlap_px=16)
    with torch.inference_mode():
        plain = network([torch.from_numpy(image).permute(2, 0, 1).float() / 255])[0]
    np.testing.assert_allclose(tiled.boxes, plain["boxes"].numpy())
    np.testing.assert_array_equal(tiled.labels, plain["labels"].numpy())


def test_an_empty_image_has_no_cells() -> None:
    image = np.full((900, 900, 3), 230, np.uint8)
    found = detect_tiled(Thresholder(), image, lambda x: x, tile_px=400, overlap_px=100)  # type: ignore[arg-type]
    assert found.boxes.shape == (0, 4)
