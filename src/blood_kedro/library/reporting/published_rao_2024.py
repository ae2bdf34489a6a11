"""Figures as published in Rao et al. 2024. Never mixed with what is measured here."""

from __future__ import annotations

# Table 1: search space; Table 2: best values.
SEARCH_SPACE = {
    "batch_size": (2, 4, 8),
    "epochs": (10, 20, 30),
    "dropout": (0.1, 0.2, 0.5),
    "lr": (1e-5, 1e-4, 1e-3, 0.01),
}
BEST = {"batch_size": 4, "epochs": 20, "dropout": 0.2, "lr": 1e-4}
# Tables 3 and 4: cutouts of red and white cells in each part, and what the classifier calls them.
PARTS = {
    "classifier": {"train": (500, 225, 500, 225), "val": (101, 10, 102, 9), "test": (66, 4, 67, 3)},
    "after transfer": {"train": (400, 206, 400, 206), "val": (80, 7, 80, 7), "test": (53, 5, 54, 4)},
}
# Section 4: accuracy on the test cutouts.
ACCURACY = {"classifier": 0.9714, "after transfer": 0.965}
# Sections 4.2 and 4.3: red cells counted, and counted by hand.
COUNTS = {"first smear": (2384, 2441, 0.9766), "second smear": (1818, 1864, 0.9754)}
