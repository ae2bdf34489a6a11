"""Limits that more than one part of the project judges cells by, each named once for what it decides."""

from __future__ import annotations

# A detection meets a labelled cell from this IoU on: the limit of AP50, and of all counts of right and wrong ones.
RIGHT_IOU = 0.5
# Two found boxes are of one cell from this IoU on: of two classes, or of two tiles. torchvision's limit within a class.
SAME_CELL_IOU = 0.5
# Two labelled boxes above this IoU were drawn twice around one cell: BCCD has seven such pairs, TXL-PBC 58.
DRAWN_TWICE_IOU = 0.9
# A detection of which this share lies on a region that counts for nothing is neither right nor wrong.
IGNORED_SHARE = 0.5
# Overlapping cells for each single one above which a field is not fit for counting: a reader's rule of thumb, no norm.
MOST_OVERLAPPING = 0.25
# Fewer red cells than these say nothing of a smear: the 95% interval of ten is 5 to 18.
LEAST_RED_CELLS = 10
# Schistocytes are counted among so many red cells (ICSH, Zini et al., Int J Lab Hematol 2012;34:107-116, and the update
# of 2021, 43:1264-1271).
ENOUGH_RED_CELLS = 1000
# A share measured on fewer cells than these has a 95% interval of up to 0.18 to both sides: reports fold it away.
LEAST_CELLS_SHOWN = 30
# Two widths of a red cell, or what micrometres per pixel make of one, cannot both be meant where they differ by more.
MOST_SCALE_OFF = 1.5
# A measured width of a red cell with less confidence is taken for unsure (docs/read_out.md#verdict).
LEAST_SCALE_CONFIDENCE = 0.3
# Found cells lie on each other where their boxes share more than this of the smaller one: boxes of round cells that
# only touch share up to 0.09 of it, which is (1 - 1/sqrt 2) squared.
LEAST_OVERLAP_SHARE = 0.12
# What augmentation, or a window, leaves of a labelled box must show this share of it, else it is no cell any more.
LEFT_SHARE = 0.3
# Width of a normal red cell on a dried, stained smear, um: mean 7.2 (Price-Jones, Red Blood Cell Diameters, 1933; Bain,
# Blood Cells, 5th ed., 2015, chapter 2: most 7.2 to 7.9). Cited from memory of both.
RED_CELL_UM = 7.2
