"""Where single cells come from: `reader` of an entry of `morphology.cells`.

The plan asks readers what they need, so what is slow to import is imported where cells are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import Field

from blood_kedro.library.cells.options import CellOptions
from blood_kedro.library.cells.reader import CropReader, SetToRead
from blood_kedro.library.core.crop_set import Crop
from blood_kedro.library.core.registry import choose, chosen
from blood_kedro.library.core.reject_log import RejectLog


class SimulatedCells(CropReader[CellOptions]):
    """Cells that the simulator draws: `per_class` (100) of each of its `shapes`, spread over so many `slides`."""

    reads_files = False

    def read(self, set_to_read: SetToRead, side_px: int, seed: int, rejects: RejectLog) -> Iterator[Crop]:  # noqa: ARG002
        """Drawn cells."""
        from blood_kedro.library.smears.cell_crops import simulated_cells

        options = self.options
        yield from simulated_cells(
            options.per_class or 100, options.slides, options.shapes, side_px, seed, options.workers
        )


class Elsafty(CropReader[CellOptions]):
    """Elsafty's published crops, with their masks."""

    published_set = "elsafty"

    def read(self, set_to_read: SetToRead, side_px: int, seed: int, rejects: RejectLog) -> Iterator[Crop]:
        """Published crops."""
        from blood_kedro.library.cells.gather import elsafty_cells

        yield from elsafty_cells(set_to_read.files, self.options, side_px, rejects, seed)


class OjaghiOptions(CellOptions):
    """`crop_px` is the side of a crop in a tile."""

    crop_px: int = Field(gt=7)


class Ojaghi(CropReader[OjaghiOptions]):
    """Single cells of the Ojaghi tiles, by their SAM masks."""

    Options = OjaghiOptions
    published_set = "ojaghi"

    def read(self, set_to_read: SetToRead, side_px: int, seed: int, rejects: RejectLog) -> Iterator[Crop]:
        """Cells of all tiles."""
        from blood_kedro.library.cells.gather import ojaghi_cells
        from blood_kedro.library.counting.segment.fields import tile_groups

        yield from ojaghi_cells(set_to_read.files, tile_groups(set_to_read.files), self.options, side_px, rejects, seed)


class FieldOptions(CellOptions):
    """Windows have no class, so no `per_class`; `crop_px` and `cell_px` are `morphology.side_px` if left out."""

    per_class: None = None


class OjaghiFields(CropReader[FieldOptions]):
    """Windows of whole Ojaghi tiles with the insides of all cells, for a U-Net that segments fields."""

    Options = FieldOptions
    published_set = "ojaghi"

    def read(self, set_to_read: SetToRead, side_px: int, seed: int, rejects: RejectLog) -> Iterator[Crop]:  # noqa: ARG002
        """Windows of all tiles."""
        from blood_kedro.library.counting.segment.fields import field_windows

        options = self.options
        cell_px, crop_px = options.cell_px or side_px, options.crop_px or side_px
        yield from field_windows(set_to_read.files, cell_px, crop_px, side_px, options.workers, rejects)


class PointOptions(CellOptions):
    """`crop_px` is the side of a crop in the images of the source, `cell_px` the usual width of a red cell there."""

    crop_px: int = Field(gt=7)
    cell_px: float = Field(gt=0)


class Points(CropReader[PointOptions]):
    """Cells around the labelled points, or the middles of the boxes, of a source (Chula)."""

    Options = PointOptions
    reads_tables = True

    def read(self, set_to_read: SetToRead, side_px: int, seed: int, rejects: RejectLog) -> Iterator[Crop]:
        """Cells of all labelled images."""
        from blood_kedro.library.cells.gather import point_cells
        from blood_kedro.library.core.groups import Groups

        index, annotations, groups = set_to_read.tables
        yield from point_cells(
            set_to_read.files, index, annotations, Groups.of(groups), self.options, side_px, rejects, seed
        )


CROP_READERS: dict[str, type[CropReader[Any]]] = {
    "synthetic": SimulatedCells,
    "elsafty": Elsafty,
    "ojaghi": Ojaghi,
    "fields": OjaghiFields,
    "points": Points,
}


def crop_reader(options: CellOptions, registry: Mapping[str, type[CropReader[Any]]] = CROP_READERS) -> CropReader[Any]:
    """The reader that a source of single cells names.

    Raises:
        ConfigurationError: there is none of this name, or its options are wrong.
    """
    return choose(registry, options.reader, options, options.reader_options, f"morphology.cells.{options.name}.reader")


def published_sets(entries: Iterable[CellOptions]) -> set[str]:
    """Published sets that the readers of these entries need and that no source of boxes reads.

    Raises:
        ConfigurationError: an entry names a reader that there is not.
    """
    readers = (chosen(CROP_READERS, each.reader, f"morphology.cells.{each.name}.reader") for each in entries)
    return {reader.published_set for reader in readers if reader.published_set}
