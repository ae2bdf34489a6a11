"""The colours of this project, each named once: cell types on pictures and pages, series of a chart, marks of figures.

Types of cells are the three coarse classes of the taxonomy; finer classes take the colour of theirs. Colours of pixels
are RGB `uint8`; all others are `#rrggbb`.
"""

from __future__ import annotations

RgbColour = tuple[int, int, int]

# Drawn on pictures: boxes of cells, their names beside them.
CELL_TYPES: dict[str, RgbColour] = {"rbc": (214, 39, 40), "wbc": (0, 128, 0), "platelet": (148, 0, 211)}
# Written into masks, which other programs compare with the published ones. Rao et al. 2024, section 3.5: red cells are
# pure red, white cells green; platelets, which they do not count, have their usual colour.
MASKS: dict[str, RgbColour] = {**CELL_TYPES, "rbc": (255, 0, 0)}
# Written as text: light enough for a dark page, dark enough for a light one.
TEXT = {"rbc": "#d62728", "wbc": "#2ca02c", "platelet": "#a45ee5"}

# Lines of a chart, in this order; a chart of more begins again.
SERIES = ("#1b6ca8", "#c8553d", "#4c956c", "#7b5ea7", "#b8860b", "#777777")

# Figures of one or two things: the thing itself, what it is compared with, and what is only there for orientation.
BLUE, RED, GREY = "#2166ac", "#c8553d", "#888888"
# Boxes of the truth, of what was found, of what counts for nothing, and of a cell that is pointed at.
TRUTH, FOUND, IGNORED, POINTED_AT = "#1a9850", "#d7191c", "#bdbdbd", "#ffd700"
PALE = "#cccccc"  # what lies behind
# A wrong answer, written.
WRONG = "#b2182b"
# Boxes on a montage of labelled pictures.
LABELLED: RgbColour = CELL_TYPES["rbc"]
UNLABELLED: RgbColour = (170, 170, 170)
# The outline of a mask that stands for several cells.
CLUMP: RgbColour = (0, 0, 255)
