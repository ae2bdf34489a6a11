"""Words that stand for something in parameters and in the environment."""

from __future__ import annotations

# The detector that comes with the project.
SHIPPED = "shipped"
# The input of sam_counting that is a user's own smear.
OWN = "own"
# Names an image or a folder of the user's own (`make count IMAGES=`, `make detect IMAGES=`).
IMAGES = "BLOOD_KEDRO_IMAGES"
