"""Which red cells overlap, learnt from rules instead of labels (paper 002)."""
