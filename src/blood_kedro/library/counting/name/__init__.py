"""Step 3 of a count: masks are named red cell, white cell or platelet; and how the classifier learns that."""
