"""Step 1 of a count: pictures and grids of tiles become smears, a table of tiles."""
