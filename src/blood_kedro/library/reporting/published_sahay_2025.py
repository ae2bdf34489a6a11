"""Figures as published in Sahay 2025 (arXiv 2511.08465). Never mixed with what is measured here."""

from __future__ import annotations

# Table I. The column of images adds up to 19,460; the paper prints 19,470. PBC has 17,092 images, not 18,092.
COMPOSITION = {
    "pbc": (18092, 18092),
    "bccd": (364, 4888),
    "chula": (621, 22106),
    "sickle": (383, 1246),
    "total": (19470, 46332),
}

# Table III: metric -> (regimen 1, regimen 2)
METRICS = {
    "map": (0.2618, 0.2832),
    "map_50": (0.4437, 0.4476),
    "map_75": (0.2911, 0.3316),
    "map_small": (0.1935, 0.1866),
    "map_medium": (0.1490, 0.1578),
    "map_large": (0.5113, 0.5618),
    "mar_100": (0.3989, 0.4133),
}

# Table IV: AP50 per class -> (regimen 1, regimen 2)
AP_50_PER_CLASS = {
    "lymphocyte": (0.6620, 0.7023),
    "neutrophil": (0.6743, 0.6759),
    "eosinophil": (0.6390, 0.6797),
    "erythroblast": (0.6270, 0.6698),
    "immature_granulocyte": (0.5583, 0.6720),
    "monocyte": (0.5913, 0.6461),
    "segmented_neutrophil": (0.4032, 0.5930),
    "rbc": (0.5213, 0.5462),
    "platelet": (0.3704, 0.3839),
    "normal_rbc": (0.1150, 0.1896),
    "target_cell": (0.1536, 0.1173),
    "spherocyte": (0.2787, 0.3431),
    "macrocyte": (0.2475, 0.1630),
    "elliptocyte": (0.4420, 0.4269),
    "sickle_cell": (0.1140, 0.0702),
    "schistocyte": (0.0769, 0.1033),
    "teardrop": (0.0000, 0.0105),
    "burr_cell": (0.0000, 0.0053),
    "ovalocyte": (0.0089, 0.0044),
    "basophil": (0.0000, 0.0000),
    "microcyte": (0.0069, 0.0000),
    "hypochromia": (0.0031, 0.0425),
    "stomatocyte": (0.0517, 0.0356),
    "uncategorized": (0.0000, 0.0000),
}

# Table V: class -> (instances, AP50 of regimen 2)
RARE_CLASSES = {
    "basophil": (1221, 0.0000),
    "uncategorized": (184, 0.0000),
    "microcyte": (481, 0.0000),
    "burr_cell": (785, 0.0053),
    "teardrop": (307, 0.0105),
}

# Tables VI and VII: regimen -> epoch -> (training loss, validation loss)
LOSSES = {
    "regimen_1": {
        1: (0.15953, 0.12298),
        5: (0.11450, 0.10834),
        10: (0.10704, 0.10549),
        15: (0.09882, 0.10232),
        20: (0.09995, 0.09595),
        25: (0.10611, 0.10756),
    },
    "regimen_2": {
        1: (0.10625, 0.09845),
        5: (0.09987, 0.10290),
        10: (0.08577, 0.09094),
        15: (0.08111, 0.08686),
        20: (0.08122, 0.08713),
        25: (0.08093, 0.08666),
    },
}
