"""Step 6 of a count: figures, and masks for other programs."""
