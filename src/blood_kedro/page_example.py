"""A picture to try the page with: a generated field, so that nobody's smear comes with the project."""

from __future__ import annotations

from pathlib import Path

from blood_kedro.library.core.files import write_atomically

EXAMPLE = "example"
_SEED = 7
_CELLS = {"normal_rbc": 90, "teardrop": 5, "target_cell": 5, "neutrophil": 2, "lymphocyte": 2, "platelet": 10}


def example_field(folder: Path) -> Path:
    """The example, drawn at the first call."""
    file = folder / "example_smear.png"
    if not file.is_file():
        from PIL import Image

        from blood_kedro.library.smears.field import simulate_field
        from blood_kedro.library.smears.options import SmearOptions

        options = SmearOptions(fields_per_slide=1, width_px=800, height_px=600, px_per_um=6, cells_per_field=_CELLS)
        field = simulate_field(options, _SEED, 1, 1)
        write_atomically(file, lambda path: Image.fromarray(field.rgb).save(path))
    return file
