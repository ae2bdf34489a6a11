"""Numbers that JSON can hold."""

from __future__ import annotations

import math
from typing import Any


def none_for_nan(value: Any) -> Any:  # noqa: ANN401 - any JSON-like value
    """The same, None in the place of what is undefined (NaN) or infinite."""
    if isinstance(value, dict):
        return {key: none_for_nan(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [none_for_nan(part) for part in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
