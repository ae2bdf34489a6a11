"""How the report names the papers that its figures are compared with; docs/papers.md has the whole citations."""

from __future__ import annotations

PAPERS = {
    "sahay_2025": 'Sahay 2025, "Generalizable Blood Cell Detection via Unified Dataset and Faster R-CNN"',
    "gurav_2025": (
        'Gurav et al. 2025, "Classification of Overlapping Red Blood Cells in Microscopic Blood Smear Images Using '
        'Deep Learning"'
    ),
    "elmanna_2024": (
        'Elmanna et al. 2024, "Deep Learning Segmentation and Classification of Red Blood Cells Using a Large '
        'Multi-Scanner Dataset"'
    ),
    "rao_2024": ('Rao et al. 2024, "Deep Learning Pipeline for Blood Cell Segmentation, Classification and Counting"'),
}
