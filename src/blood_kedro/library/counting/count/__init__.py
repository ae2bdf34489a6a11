"""Step 4 of a count: masks are joined across the borders of tiles, and added up by the rule that counts."""
