"""Images that show the same whole picture turned, mirrored, stretched or recoloured.

Re-published sets are made of such copies: 219 images of TXL-PBC are BCCD pictures turned and recoloured
(docs/facts/data.md#txl-pbc), of which a perceptual hash finds a third. Made small and square, a picture and its copy
correlate in one of the eight orientations of a square.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from blood_kedro.library.merging.thumbnails import Thumbnail

_SIDE_PX = 32
_ROWS = 512
# Coarse waves along each axis that pictures are compared by first.
_WAVES = 8
_ROUNDING = 1e-4
# From this share of possible pairs on, all are compared.
_MANY = 0.002


def turned_copies(thumbnails: Sequence[Thumbnail], min_similarity: float) -> Iterator[tuple[int, int, float]]:
    """Pairs `i < j` whose pictures correlate in any of the eight orientations, and how well.

    A correlation is that of the coarse waves plus that of the rest, and the rest adds at most the product of its
    lengths (Cauchy and Schwarz). 65 numbers so rule out nearly all pairs, and none that correlates well enough; only
    the others are compared by all 1,024 pixels.
    """
    if len(thumbnails) < 2:
        return
    square = np.stack([_square(each.detail) for each in thumbnails])
    flat, coarse = square.reshape(len(square), -1), _coarse(square)
    for start in range(0, len(flat), _ROWS):
        best: dict[tuple[int, int], float] = {}
        for turn in range(8):
            part = np.rot90(square[start : start + _ROWS], turn % 4, axes=(1, 2))
            part = part[:, :, ::-1] if turn >= 4 else part
            pixels = part.reshape(len(part), -1)
            possible = np.triu(_coarse(part) @ coarse[start:].T >= min_similarity - _ROUNDING, 1)
            for row, j, similarity in _similar(pixels, flat[start:], possible, min_similarity):
                pair = (start + row, start + j)
                best[pair] = max(similarity, best.get(pair, -1.0))
        yield from ((i, j, best[i, j]) for i, j in sorted(best))


def _similar(
    pixels: npt.NDArray[np.float32],
    others: npt.NDArray[np.float32],
    possible: npt.NDArray[np.bool_],
    min_similarity: float,
) -> Iterator[tuple[int, int, float]]:
    """Of the possible pairs of rows those that correlate, and how well."""
    rows, columns = np.nonzero(possible)
    if len(rows) > possible.size * _MANY:  # all at once is faster
        all_pairs = pixels @ others.T
        rows, columns = np.nonzero(possible & (all_pairs >= min_similarity))
        yield from zip(rows.tolist(), columns.tolist(), all_pairs[rows, columns].tolist(), strict=True)
        return
    similarities = np.einsum("nk,nk->n", pixels[rows], others[columns])
    for k in np.flatnonzero(similarities >= min_similarity).tolist():
        yield int(rows[k]), int(columns[k]), float(similarities[k])


def _coarse(square: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Coarse waves of pictures `(N, 32, 32)` and, last, the length of what they leave: `(N, 65) float32`."""
    from scipy.fft import dct

    waves = dct(np.eye(_SIDE_PX, dtype=np.float32), axis=0, norm="ortho")[:_WAVES]
    amplitudes = (waves @ square @ waves.T).reshape(len(square), -1)
    rest = (square**2).sum(axis=(1, 2)) - (amplitudes**2).sum(axis=1)
    return np.asarray(np.column_stack([amplitudes, np.sqrt(np.maximum(rest, 0))]), np.float32)


def _square(detail: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Detail of a thumbnail, stretched to a square, mean 0 and length 1 (all 0 where there is none)."""
    small = cv2.resize(detail, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    small = small - small.mean()
    return np.asarray(small / max(float(np.linalg.norm(small)), 1e-6), np.float32)
