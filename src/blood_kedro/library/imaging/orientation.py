"""The eight orientations of EXIF and TIFF, applied without copying: what is mapped stays on the disk."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

ORIENTATION = 0x0112
# Sides change places; rows and columns are then counted from the other end.
_TURNS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def upright(values: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """A view of `(H, W, ...)` as the picture is to be viewed; 1, and what is no orientation, change nothing."""
    swapped, rows, columns = _TURNS.get(orientation, (False, False, False))
    view = values.swapaxes(0, 1) if swapped else values
    return view[:: -1 if rows else 1, :: -1 if columns else 1]
