"""Names of before, until the counting chain has the new ones."""

from blood_kedro.library.core.crop_set import Crop as Cell
from blood_kedro.library.core.crop_set import CropSet as Cells
from blood_kedro.library.core.crop_set import read_crops as read_cells
from blood_kedro.library.core.crop_set import write_crops as write_cells

__all__ = ["Cell", "Cells", "read_cells", "write_cells"]
