"""Which red cells overlap, learnt from rules instead of labels (Gurav et al. 2025)."""
