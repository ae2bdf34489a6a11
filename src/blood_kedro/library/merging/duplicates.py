"""Images that show the same field: equal pixels, near-equal hashes, and the same field moved by a shift.

A perceptual hash finds one of the 45 BCCD pairs that show one field twice. The rest are found by phase
correlation (Kuglin and Hines 1975) of every pair of thumbnails, checked by the plain correlation of the part
that overlaps. Copies of a whole picture that were turned, stretched or recoloured are found in `turned.py`. Not found:
fields that are both shifted and turned, and overlaps under a tenth of the frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from blood_kedro.library.core.schemas import DuplicatePairs, conform
from blood_kedro.library.merging.options import DuplicateOptions
from blood_kedro.library.merging.thumbnails import Thumbnail
from blood_kedro.library.merging.turned import turned_copies

_ALL_PX, _SMALL_SOURCE_PX = 48, 64
_CHECKED_PER_PASS = 20_000
# A true shift that is 2 px off still correlates; checking this first makes the fine search rare.
_WORTH_REFINING = 0.3


def find_duplicates(
    image_ids: list[str], sources: list[str], thumbnails: list[Thumbnail], options: DuplicateOptions
) -> pd.DataFrame:
    """Pairs of images that show the same field, as DuplicatePairs (each pair once, its strongest kind)."""
    pairs: dict[tuple[int, int], dict[str, object]] = {}

    def add(i: int, j: int, kind: str, similarity: float, overlap: float) -> None:
        pair = (min(i, j), max(i, j))
        if pair not in pairs:
            a, b = (image_ids[k] for k in pair)
            pairs[pair] = {"image_a": a, "image_b": b, "kind": kind, "similarity": similarity, "overlap_share": overlap}

    for i, j in _equal([t.pixels for t in thumbnails]):
        add(i, j, "same_pixels", 1.0, 1.0)
    for i, j in near_hashes([t.phash for t in thumbnails], options.hash_distance):
        add(i, j, "near_hash", 1.0, 1.0)
    everything = list(range(len(thumbnails)))
    passes = [(everything, _ALL_PX, False)]
    for source in sorted(set(sources)):
        members = [k for k in everything if sources[k] == source]
        if len(members) <= options.exhaustive_limit:
            passes.append((members, _SMALL_SOURCE_PX, True))
    for members, side_px, padded in passes:
        for i, j, similarity, overlap in _shifted([thumbnails[k] for k in members], side_px, padded, options):
            add(members[i], members[j], "shifted_field", similarity, overlap)
    for i, j, similarity in turned_copies(thumbnails, options.turned_similarity):
        add(i, j, "turned_copy", similarity, 1.0)
    return conform(DuplicatePairs, [pairs[pair] for pair in sorted(pairs)])


def duplicate_groups(image_ids: list[str], pairs: pd.DataFrame, known_groups: list[str | None]) -> list[str]:
    """One group name per image: images connected by pairs, or sharing a slide, have the same."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    position = {name: k for k, name in enumerate(image_ids)}
    edges = [(position[a], position[b]) for a, b in zip(pairs["image_a"], pairs["image_b"], strict=True)]
    first_of: dict[str, int] = {}
    for k, group in enumerate(known_groups):
        if group is not None:
            edges.append((first_of.setdefault(group, k), k))
    rows, cols = (np.array([e[side] for e in edges], np.int64) for side in (0, 1))
    graph = coo_array((np.ones(len(edges)), (rows, cols)), shape=(len(image_ids),) * 2)
    _, component = connected_components(graph, directed=False)
    names: dict[int, str] = {}
    return [names.setdefault(int(c), image_ids[k]) for k, c in enumerate(component)]


def _equal(values: list[str]) -> Iterator[tuple[int, int]]:
    first: dict[str, int] = {}
    for k, value in enumerate(values):
        if first.setdefault(value, k) != k:
            yield first[value], k


def near_hashes(hashes: list[int], distance: int) -> list[tuple[int, int]]:
    """Pairs `i < j` of 64-bit hashes at most `distance` bits apart, in order.

    Cut into one piece more than bits may differ, two such hashes agree in a whole piece (pigeonhole principle): only
    hashes that share a piece are compared, and none is missed.
    """
    bits = np.array(hashes, np.uint64)
    near: set[tuple[int, int]] = set()
    for low, high in pairwise(np.linspace(0, 64, distance + 2).round().astype(int).tolist()):
        piece = bits & np.uint64((1 << high) - (1 << low))
        order = np.argsort(piece, kind="stable")
        piece = piece[order]
        for step in range(1, len(bits)):
            same = np.flatnonzero(piece[step:] == piece[:-step])
            if not len(same):
                break
            i, j = order[same], order[same + step]
            close = np.bitwise_count(bits[i] ^ bits[j]) <= distance
            near.update(zip(np.minimum(i, j)[close].tolist(), np.maximum(i, j)[close].tolist(), strict=True))
    return sorted(near)


def _shifted(
    thumbnails: list[Thumbnail], side_px: int, padded: bool, options: DuplicateOptions
) -> Iterator[tuple[int, int, float, float]]:
    """Pairs whose overlapping parts correlate. `padded` also finds overlaps under a quarter, at four times the cost."""
    if len(thumbnails) < 2:
        return
    small = np.zeros((len(thumbnails), side_px, side_px), np.float32)
    for k, thumbnail in enumerate(thumbnails):
        h, w = (max(1, round(n * side_px / max(thumbnail.detail.shape))) for n in thumbnail.detail.shape)
        small[k, :h, :w] = cv2.resize(thumbnail.detail, (w, h), interpolation=cv2.INTER_AREA)
    height = max(round(t.detail.shape[0] * side_px / max(t.detail.shape)) for t in thumbnails)
    width = max(round(t.detail.shape[1] * side_px / max(t.detail.shape)) for t in thumbnails)
    small = small[:, :height, :width]
    backgrounds = np.stack([t.background for t in thumbnails])
    frame = (2 * height, 2 * width) if padded else (height, width)
    candidates = _phase_peaks(small, backgrounds, frame, options.background_tolerance)
    for i, j, dy, dx in candidates:
        factor = max(thumbnails[i].detail.shape) / side_px
        wraps = [(y, x) for y, x in product((dy, dy - frame[0]), (dx, dx - frame[1]))]
        best = max(
            (
                _overlap_correlation(thumbnails[i].detail, thumbnails[j].detail, (y, x), factor, options)
                for y, x in wraps
            )
        )
        if best[0] >= options.min_similarity:
            yield i, j, *best


def _phase_peaks(
    small: npt.NDArray[np.float32],
    backgrounds: npt.NDArray[np.float32],
    frame: tuple[int, int],
    background_tolerance: float,
) -> list[tuple[int, int, int, int]]:
    """The most distinct phase-correlation peaks over all pairs of one background: i, j, dy, dx (wrapped)."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    images = torch.from_numpy(small).to(device)
    spectra = torch.fft.rfft2(images / images.flatten(1).std(1).clamp_min(1e-6)[:, None, None], s=frame)
    magnitude = spectra.abs()
    spectra = spectra / (magnitude + 0.1 * magnitude.mean())
    best: list[npt.NDArray[np.float64]] = []
    for i in range(len(small) - 1):
        same_light = np.abs(backgrounds[i + 1 :] - backgrounds[i]).max(axis=1) < background_tolerance
        if not same_light.any():
            continue
        others = torch.from_numpy(np.flatnonzero(same_light) + i + 1).to(device)
        for part in others.split(1024):
            surface = torch.fft.irfft2(spectra[i][None] * spectra[part].conj(), s=frame).flatten(1)
            peak, place = surface.max(1)
            distinct = (peak - surface.mean(1)) / surface.std(1)
            rows = torch.stack([torch.full_like(part, i), part, place], 1).double()
            best.append(torch.cat([distinct.double()[:, None], rows], 1).cpu().numpy())
            if sum(map(len, best)) > 4 * _CHECKED_PER_PASS:  # memory that does not grow with the number of pairs
                best = [_most_distinct(best)]
    if not best:
        return []
    table = _most_distinct(best)
    order = np.argsort(-table[:, 0], kind="stable")
    return [(int(i), int(j), *divmod(int(place), frame[1])) for _, i, j, place in table[order]]


def _most_distinct(tables: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """The rows that are checked, in the order in which they came: earlier ones first where peaks are equal."""
    table = np.concatenate(tables)
    return table[np.sort(np.argsort(-table[:, 0], kind="stable")[:_CHECKED_PER_PASS])]


def _overlap_correlation(
    a: npt.NDArray[np.float32],
    b: npt.NDArray[np.float32],
    shift: tuple[int, int],
    factor: float,
    options: DuplicateOptions,
) -> tuple[float, float]:
    """Best correlation of the overlapping parts within 2 px of a shift, and the share of the frame they are."""
    best = _correlation_at(a, b, round(shift[0] * factor), round(shift[1] * factor), options.min_overlap)
    if best[0] < _WORTH_REFINING:
        return best
    for ey, ex in product(range(-2, 3), repeat=2):
        dy, dx = round(shift[0] * factor) + ey, round(shift[1] * factor) + ex
        best = max(best, _correlation_at(a, b, dy, dx, options.min_overlap))
    return best


def _correlation_at(
    a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], dy: int, dx: int, min_overlap: float
) -> tuple[float, float]:
    y0, y1 = max(0, dy), min(a.shape[0], b.shape[0] + dy)
    x0, x1 = max(0, dx), min(a.shape[1], b.shape[1] + dx)
    if y1 <= y0 or x1 <= x0 or (y1 - y0) * (x1 - x0) < min_overlap * a.size:
        return 0.0, 0.0
    p = a[y0:y1, x0:x1]
    q = b[y0 - dy : y1 - dy, x0 - dx : x1 - dx]
    p, q = p - p.mean(), q - q.mean()
    spread = float(np.sqrt((p * p).sum() * (q * q).sum()))
    return (float((p * q).sum()) / spread, p.size / a.size) if spread > 0 else (0.0, 0.0)
