"""Figures as published in paper 003. Per cent, as printed. Never mixed with what is measured here."""

from __future__ import annotations

# Table 3.
SEGMENTATION = {
    "sensitivity": 98.75, "specificity": 99.89, "ppv": 99.27, "f1": 99.01, "accuracy": 99.73, "fpr": 0.11, "iou": 98.03,
}  # fmt: skip

# Table 4: class -> (SN, SP, F1, PPV, NPV), unweighted and class-weighted loss.
PER_CLASS = {
    "other": ((76.12, 99.52, 78.72, 81.57, 99.34), (86.20, 98.77, 75.01, 66.67, 99.61)),
    "burr_cell": ((95.34, 99.79, 93.77, 92.35, 99.88), (96.68, 99.60, 90.98, 85.95, 99.92)),
    "fragmented_rbc": ((99.08, 99.92, 98.67, 98.27, 99.96), (99.17, 99.93, 98.81, 98.45, 99.96)),
    "rounded_rbc": ((97.78, 99.27, 97.80, 97.81, 99.26), (98.20, 98.93, 97.51, 96.84, 99.40)),
    "ovalocyte": ((97.21, 98.72, 97.08, 96.95, 98.83), (94.65, 99.13, 96.22, 97.86, 97.78)),
    "teardrop": ((94.61, 99.56, 94.39, 94.17, 99.60), (89.98, 99.73, 92.97, 96.21, 99.25)),
    "three_overlapping_cells": ((94.52, 99.66, 95.67, 96.87, 99.39), (94.85, 99.53, 95.30, 95.82, 99.43)),
    "two_overlapping_cells": ((97.76, 99.25, 97.26, 96.76, 99.49), (96.94, 99.31, 96.95, 96.98, 99.30)),
}  # fmt: skip

# Table 5: model -> accuracy, SN, PPV, F1, training s, testing s (Tesla T4), parameters M, size MB.
COMPARISON = {
    "mobilenet_v3_small": (93.4, 88.8, 90.9, 89.7, 1953, 9.5, 0.90, 11.3),
    "mobilenet_v3_large": (95.5, 92.0, 93.3, 92.4, 2072, 12.5, 2.90, 35.0),
    "resnet50_v2": (95.7, 92.0, 92.7, 92.3, 3406, 17.7, 23.50, 270.2),
    "resnet50": (95.9, 92.3, 93.1, 92.6, 3667, 17.7, 23.55, 270.4),
    "densenet121": (96.3, 93.6, 94.1, 93.8, 4563, 21.2, 6.96, 81.5),
    "xception": (96.7, 94.3, 94.6, 94.4, 4046, 18.3, 20.82, 239.1),
    "convnext_tiny": (96.7, 94.3, 94.8, 94.5, 5463, 40.4, 27.8, 319.1),
    "efficientnet_v2_b0": (96.6, 94.1, 94.6, 94.3, 3191, 13.6, 5.80, 68.4),
    "efficientnet_b0": (96.5, 94.1, 94.3, 94.2, 3378, 11.0, 4.02, 47.0),
}  # fmt: skip

# Table 7: (segmentation, class-weighted loss) -> accuracy, SN, PPV, F1.
ABLATION = {
    (False, False): (95.5, 92.7, 92.4, 92.5), (True, False): (96.5, 94.1, 94.3, 94.2),
    (True, True): (95.7, 94.6, 91.8, 93.0),
}  # fmt: skip

# Table 8: slide -> scanner, cells, accuracy, SN, PPV, F1.
PER_SLIDE = {
    4: ("scanner_2", 3559, 96.07, 92.44, 91.92, 92.05), 5: ("scanner_1", 4150, 97.06, 95.13, 95.54, 95.29),
    6: ("scanner_1", 4678, 97.32, 95.63, 96.22, 95.89), 13: ("scanner_4", 3046, 95.40, 82.35, 83.48, 82.79),
    16: ("scanner_4", 2521, 95.79, 91.45, 90.06, 90.30),
}  # fmt: skip
