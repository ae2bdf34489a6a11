"""Figures as published in Elmanna et al. 2024. Per cent, as printed. Never mixed with what is measured here."""

from __future__ import annotations

# Table 3.
SEGMENTATION = {
    "sensitivity": 98.75,
    "specificity": 99.89,
    "ppv": 99.27,
    "f1": 99.01,
    "accuracy": 99.73,
    "fpr": 0.11,
    "iou": 98.03,
}

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
}

# Its last column, averages over the classes: (SN, SP, F1, PPV, NPV), unweighted and class-weighted loss.
AVERAGE = ((94.05, 99.46, 94.17, 94.34, 99.47), (94.58, 99.36, 92.97, 91.85, 99.33))

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
}

# Table 6: model -> p of accuracy, SN, PPV, F1, training time and testing time, each model against EfficientNet-B0.
P_VALUES = {
    "mobilenet_v3_small": (3.15e-13, 2.62e-13, 7.29e-11, 5.30e-13, 1.18e-15, 5.88e-03),
    "mobilenet_v3_large": (1.80e-02, 1.94e-02, 7.25e-04, 1.07e-02, 3.06e-09, 3.61e-01),
    "resnet50_v2": (8.03e-06, 1.53e-08, 9.17e-06, 3.17e-08, 6.74e-01, 5.12e-05),
    "resnet50": (4.67e-04, 4.47e-06, 1.83e-04, 9.70e-06, 3.36e-02, 4.57e-05),
    "densenet121": (1.85e-01, 1.54e-02, 2.33e-01, 2.52e-02, 8.64e-12, 9.01e-09),
    "xception": (4.46e-02, 7.20e-02, 1.79e-01, 3.98e-02, 7.97e-05, 1.40e-05),
    "convnext_tiny": (8.09e-03, 1.76e-01, 6.14e-02, 3.50e-02, 4.48e-11, 3.89e-11),
    "efficientnet_v2_b0": (3.90e-01, 5.28e-01, 3.21e-01, 2.74e-01, 1.72e-02, 2.50e-02),
}

# Table 7: (segmentation, class-weighted loss) -> accuracy, SN, PPV, F1.
ABLATION = {
    (False, False): (95.5, 92.7, 92.4, 92.5),
    (True, False): (96.5, 94.1, 94.3, 94.2),
    (True, True): (95.7, 94.6, 91.8, 93.0),
}

# Its p of accuracy, SN, PPV, F1, each against the segmented one with unweighted loss.
ABLATION_P_VALUES = {
    (False, False): (1.25e-07, 4.46e-06, 2.54e-05, 8.15e-07),
    (True, True): (2.87e-04, 2.79e-03, 2.10e-07, 5.77e-05),
}

# Table 8: slide -> scanner, cells, accuracy, SN, PPV, F1.
PER_SLIDE = {
    4: ("scanner_2", 3559, 96.07, 92.44, 91.92, 92.05),
    5: ("scanner_1", 4150, 97.06, 95.13, 95.54, 95.29),
    6: ("scanner_1", 4678, 97.32, 95.63, 96.22, 95.89),
    13: ("scanner_4", 3046, 95.40, 82.35, 83.48, 82.79),
    16: ("scanner_4", 2521, 95.79, 91.45, 90.06, 90.30),
}
