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


def turned_copies(thumbnails: Sequence[Thumbnail], min_similarity: float) -> Iterator[tuple[int, int, float]]:
    """Pairs `i < j` whose pictures correlate in any of the eight orientations, and how well."""
    if len(thumbnails) < 2:
        return
    square = np.stack([_square(each.detail) for each in thumbnails])
    flat = square.reshape(len(square), -1)
    for start in range(0, len(flat), _ROWS):
        best = np.full((min(_ROWS, len(flat) - start), len(flat)), -1.0, np.float32)
        for turn in range(8):
            part = np.rot90(square[start : start + _ROWS], turn % 4, axes=(1, 2))
            part = part[:, :, ::-1] if turn >= 4 else part
            np.maximum(best, part.reshape(len(part), -1) @ flat.T, out=best)
        rows, columns = np.nonzero(best >= min_similarity)
        for row, j in zip(rows.tolist(), columns.tolist(), strict=True):
            if start + row < j:
                yield start + row, j, float(best[row, j])


def _square(detail: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Detail of a thumbnail, stretched to a square, mean 0 and length 1 (all 0 where there is none)."""
    small = cv2.resize(detail, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    small = small - small.mean()
    return np.asarray(small / max(float(np.linalg.norm(small)), 1e-6), np.float32)
