"""blood-kedro: four published blood-smear systems that run, compare and can be trusted on public data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blood_kedro.library.readout.read_out import ReadOut

__version__ = "0.1.0"


def load(name: str) -> Any:  # noqa: ANN401 - each model has its own class
    """A model that comes with the project, ready to predict (docs/own_images.md).

    `cells`, `scale`, `white_cells` or `red_cell_shapes`.

    Raises:
        ConfigurationError: there is no such model.
        DataContractError: its files are incomplete.
        UnsafeFileError: its weights are not those that were shipped.
    """
    from blood_kedro.library.shipped.load import load as load_shipped

    return load_shipped(name)


def read_out(*pictures: str | Path, out: str | Path | None = None, **options: Any) -> ReadOut:  # noqa: ANN401
    """Counts, differential, shapes, sizes and platelets of a smear, with a verdict on each picture (docs/read_out.md).

    Args:
        pictures: paths of pictures or slides of one smear, or of one folder of them.
        out: folder that the page, tables and masks are written into, in place of those of an earlier run; None writes
            nothing.
        options: of `assembly.read_out.ReadOutOptions`: `cell_px`, `um_per_px`, `rbc_per_ul` and others.

    Raises:
        BloodKedroError: no picture can be read, or a scale was given that is not that of the picture.
    """
    import tempfile

    from blood_kedro.assembly.read_out import ReadOutOptions, read_pictures
    from blood_kedro.commands.outputs import checked_folder, work_beside

    paths, settings = [Path(each) for each in pictures], ReadOutOptions(**options)
    if out is None:
        with tempfile.TemporaryDirectory() as work:
            return read_pictures(paths, settings, Path(work)).read_out
    folder = checked_folder(Path(out))
    with work_beside(folder) as work_folder:
        read = read_pictures(paths, settings, work_folder)
        read.write(folder, whole=True)
    return read.read_out
