"""Facts of Elmanna et al. 2024: its shapes of red cells, and which scanner took which slide."""

from __future__ import annotations

# The eight classes (section 4.1), in the order of Table 4.
EIGHT_SHAPES = (
    "other",
    "burr_cell",
    "fragmented_rbc",
    "rounded_rbc",
    "ovalocyte",
    "teardrop",
    "three_overlapping_cells",
    "two_overlapping_cells",
)

# The nine of the data as published later (Elsafty et al., Scientific Data 11, 2024).
NINE_SHAPES = (
    "rounded_rbc",
    "ovalocyte",
    "borderline_ovalocyte",
    "teardrop",
    "burr_cell",
    "fragmented_rbc",
    "angled_rbc",
    "two_overlapping_cells",
    "three_overlapping_cells",
)

# Nine to eight. Angled cells are what the paper calls false teardrops; a borderline ovalocyte is neither round nor oval
# by the hematologists' own word, so the eight classes have no place for it.
NINE_TO_EIGHT: dict[str, str | None] = {
    **{shape: shape for shape in EIGHT_SHAPES},
    "angled_rbc": "other",
    "borderline_ovalocyte": None,
}

# Shape to class of the taxonomy: what a shape says of the cell beyond its being a red one.
SHAPE_TO_LABEL = {
    "rounded_rbc": "normal_rbc",
    "ovalocyte": "ovalocyte",
    "teardrop": "teardrop",
    "burr_cell": "burr_cell",
    "fragmented_rbc": "schistocyte",
}

# Table 2: slides of each scanner, numbered from 1.
SCANNER_OF_SLIDE = {
    slide: scanner
    for scanner, slides in {
        "scanner_1": (1, 5, 6, 8, 25),
        "scanner_2": (2, 3, 4, 7, 9, 11),
        "scanner_3": (14, 15, 19, 20, 22, 23, 24),
        "scanner_4": (10, 12, 13, 16, 17, 18, 21),
    }.items()
    for slide in slides
}
