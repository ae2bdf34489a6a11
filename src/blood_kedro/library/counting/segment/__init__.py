"""Step 2 of a count: tiles become masks, one for each cell; finished tiles are kept."""
