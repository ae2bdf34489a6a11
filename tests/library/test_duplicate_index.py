"""What is ruled out before pixels are compared: nothing that a comparison of all pairs finds."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from blood_kedro.library.merging import duplicates, turned
from blood_kedro.library.merging.duplicates import find_duplicates, near_hashes
from blood_kedro.library.merging.options import DuplicateOptions
from blood_kedro.library.merging.thumbnails import Thumbnail
from blood_kedro.library.merging.turned import turned_copies


@pytest.mark.parametrize("distance", [0, 1, 4, 12, 64])
def test_near_hashes_are_those_of_all_pairs(distance: int) -> None:
    rng = np.random.default_rng(0)
    hashes = [int(value) for value in rng.integers(0, 2**64, 60, dtype=np.uint64)]
    for first in hashes[:40]:  # others that differ in 0 to 12 bits
        flipped = rng.choice(64, int(rng.integers(0, 13)), replace=False)
        hashes.append(first ^ sum(1 << int(bit) for bit in flipped))
    expected = [
        (i, j)
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if (hashes[i] ^ hashes[j]).bit_count() <= distance
    ]
    assert expected
    assert near_hashes(hashes, distance) == expected


def test_no_hashes_no_pairs() -> None:
    assert near_hashes([], 4) == near_hashes([7], 4) == []


def noise(seed: int, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 40, (96, 128)).astype(np.float32), (0, 0), sigma)


def thumbnails(count: int) -> list[Thumbnail]:
    """Fine and coarse noise, an empty picture, and near and less near copies of some in all orientations."""
    details = [noise(seed, (1.0, 3.0, 8.0)[seed % 3]) for seed in range(count)]
    details.append(np.zeros((96, 128), np.float32))
    for seed in range(0, count, 3):
        copy = details[seed] + noise(1000 + seed, 2.0) * (seed / count)
        copy = np.rot90(copy, seed // 3 % 4)
        details.append(np.ascontiguousarray(copy[:, ::-1] if seed % 2 else copy))
    light = np.full(3, 200, np.float32)
    hashes = np.random.default_rng(1).integers(0, 2**63, len(details)).tolist()
    return [Thumbnail(detail, light, str(k), hashes[k]) for k, detail in enumerate(details)]


@pytest.mark.parametrize("many", [0.0, 1.0], ids=["all at once", "pair by pair"])
@pytest.mark.parametrize("least", [0.95, 0.9, 0.5])
def test_turned_copies_are_those_of_all_pairs(least: float, many: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turned, "_MANY", many)
    monkeypatch.setattr(turned, "_ROWS", 16)
    pictures = thumbnails(45)
    square = np.stack([turned._square(each.detail) for each in pictures])
    best = np.full((len(square),) * 2, -1.0)
    for turn in range(8):
        part = np.rot90(square, turn % 4, axes=(1, 2))
        part = part[:, :, ::-1] if turn >= 4 else part
        best = np.maximum(best, part.reshape(len(part), -1) @ square.reshape(len(square), -1).T)
    expected = {(int(i), int(j)): best[i, j] for i, j in np.argwhere(np.triu(best >= least, 1))}
    assert len(expected) >= 5
    copies = list(turned_copies(pictures, least))
    assert [(i, j) for i, j, _ in copies] == sorted(expected)
    assert [similarity for *_, similarity in copies] == pytest.approx([expected[pair] for pair in sorted(expected)])


def test_peaks_are_the_same_when_few_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The most distinct of all pairs, whether they are chosen at the end or on the way."""
    view = noise(70, 1.0)
    small = np.stack([*[noise(seed, 1.0)[:36, :48] for seed in range(25)], view[:36, :48], view[4:40, 9:57]])
    light = np.full((len(small), 3), 200, np.float32)
    every = duplicates._phase_peaks(small, light, (36, 48), 15)
    assert len(every) == 27 * 26 // 2
    assert every[0] == (25, 26, 4, 9)  # the second is seen 9 px to the right of the first, and 4 px lower
    monkeypatch.setattr(duplicates, "_CHECKED_PER_PASS", 6)
    assert duplicates._phase_peaks(small, light, (36, 48), 15) == every[:6]


def test_all_kinds_of_pairs_together() -> None:
    pictures = thumbnails(12)
    names = [f"x/{k:02d}" for k in range(len(pictures))]
    pairs = find_duplicates(names, ["x"] * len(names), pictures, DuplicateOptions(exhaustive_limit=0))
    kinds = {(row.image_a, row.image_b): row.kind for row in pairs.itertuples()}
    assert kinds["x/03", "x/14"] in {"turned_copy", "shifted_field"}
    assert len(kinds) == len(pairs)
