"""How wide a red cell is in the images of a source: said once, at the source, and read by all that cut its images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# Groups whose entries name their source. Single cells that are cut out around points are named after theirs.
_OF_A_SOURCE = (("overlap", "crops"), ("sam_counting", "cutouts"), ("sam_counting", "inputs"))
_SINGLE_CELLS = ("morphology", "cells")
_KEY = "cell_px"


def with_cell_px(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters in which everything that is made of a source has the source's `cell_px`, but where it says its own.

    Standardization gets it for sources that may hold cells without a label alone: it looks for these by it.
    """
    sources: Mapping[str, Any] = parameters.get("sources") or {}
    widths = {name: entry[_KEY] for name, entry in sources.items() if (entry or {}).get(_KEY) is not None}
    changed = dict(parameters)
    for path, name, entry in _entries(parameters):
        source = name if path == _SINGLE_CELLS else entry.get("source")
        if source in widths and entry.get(_KEY) is None:
            _put(changed, (*path, name), {**entry, _KEY: widths[source]})
    boxes = (parameters.get("standardization") or {}).get("sources") or {}
    for name, width in widths.items():
        entry = boxes.get(name) or {}
        if not sources[name].get("all_cells_labelled") and _KEY not in entry:
            _put(changed, ("standardization", "sources", name), {**entry, _KEY: width})
    return _with_chula(changed, widths, boxes)


def _with_chula(changed: dict[str, Any], widths: Mapping[str, float], boxes: Mapping[str, Any]) -> dict[str, Any]:
    """Pictures that the shipped detector learns from: Chula gives points alone, and its boxes are made of sizes."""
    pictures = (changed.get("shipped") or {}).get("pictures")
    if pictures is None:
        return changed
    sizes = (boxes.get("chula") or {}).get("class_size_px")
    known = {"chula_cell_px": widths.get("chula"), "chula_class_size_px": sizes}
    filled = {key: value for key, value in known.items() if value is not None and key not in pictures}
    _put(changed, ("shipped", "pictures"), {**pictures, **filled})
    return changed


def _entries(parameters: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], str, Mapping[str, Any]]]:
    for path in (*_OF_A_SOURCE, _SINGLE_CELLS):
        group = (parameters.get(path[0]) or {}).get(path[1]) or {}
        for name, entry in group.items():
            if isinstance(entry, Mapping) and (path != _SINGLE_CELLS or entry.get("reader") == "points"):
                yield path, str(name), entry


def _put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:  # noqa: ANN401 - any parameter
    """Put a value at a path of `values`, copying what is on the way: nobody else's mapping is changed."""
    for key in path[:-1]:
        values[key] = dict(values.get(key) or {})
        values = values[key]
    values[path[-1]] = value
