"""Segmenters of tiles, by the name that `segmenter` has in the parameters.

Adding one: a module with a `TileSegmenter` (library/counting/segment/segmenter.py), and a line here. What it has of
options beside those of `SegmentationOptions` stands under `segmenter_options` in the parameters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from blood_kedro.library.core.errors import ConfigurationError, WeightsNotFoundError
from blood_kedro.library.core.model_bundle import load_config
from blood_kedro.library.core.records import describe_model, place, read_record
from blood_kedro.library.core.registry import choose
from blood_kedro.library.counting.options import SegmentationOptions
from blood_kedro.library.counting.segment.segmenter import Segment, TileSegmenter


class WatershedSegmenter(TileSegmenter[SegmentationOptions]):
    """Classical: flat field, unsharp mask, Otsu, distance transform; needs nothing."""

    def ready(self) -> Segment:
        """Without weights."""
        from blood_kedro.library.counting.segment.classical import Watershed

        return Watershed(self.options)


class PrecomputedMasks(TileSegmenter[SegmentationOptions]):
    """Masks that lie in the folder `masks`, one sub-folder for each tile."""

    def ready(self) -> Segment:
        """They are read where they are needed."""
        from blood_kedro.library.counting.segment.precomputed import Precomputed

        return Precomputed(_existing(self.options.masks, "correct masks, or choose segmenter: watershed"))


class UnetOfCells(TileSegmenter[SegmentationOptions]):
    """A U-Net of rbc_morphology, in the folder `model`."""

    def ready(self) -> Segment:
        """Loaded where it is called."""
        from blood_kedro.assembly.unet_segmenter import Unet

        remedy = "run rbc_morphology first, or choose segmenter: watershed"
        return Unet(_existing(self.options.model, remedy), self.options)

    def model(self) -> str:
        """Which U-Net."""
        folder = Path(str(self.options.model))
        return describe_model(folder.name, read_record(place(folder, is_model=True)))

    def learnt_from(self) -> dict[str, Any]:
        """Its cells, or its fields."""
        return load_config(Path(str(self.options.model)))


class SamMasks(TileSegmenter[SegmentationOptions]):
    """A model of the SAM family; its settings are under `sam`."""

    def ready(self) -> Segment:
        """In this process."""
        from blood_kedro.library.counting.segment.sam import SamSegmenter

        return SamSegmenter(self.options.sam)


class ShippedDetector(TileSegmenter[SegmentationOptions]):
    """The cell detector that comes with the project: a box says that there is a cell, stain says where it ends."""

    tells_kinds = True

    def ready(self) -> Segment:
        """At the width of a red cell that the options give."""
        from blood_kedro.library.shipped.segment import ShippedSegmenter

        return ShippedSegmenter(self.options.cell_px)

    def model(self) -> str:
        """What comes with the project."""
        from blood_kedro.library.shipped.bundle import describe_shipped

        return describe_shipped()

    def learnt_from(self) -> dict[str, Any]:
        """It learnt from the public sets, and does not list the pictures by the names that the sources have.

        Raises:
            ConfigurationError: always; counts of one's own pictures do not ask.
        """
        raise ConfigurationError(
            "the shipped detector learnt from pictures of the public sets, so a count by it cannot be judged by them",
            where="segmenter: shipped, with a source or with reference_masks",
            remedy="name path in place of source, without reference_masks; how good it is: docs/shipped.md",
        )


SEGMENTERS: dict[str, type[TileSegmenter[Any]]] = {
    "watershed": WatershedSegmenter,
    "precomputed": PrecomputedMasks,
    "unet": UnetOfCells,
    "sam": SamMasks,
    "shipped": ShippedDetector,
}


def segmenter_of(options: SegmentationOptions, where: str = "sam_counting") -> TileSegmenter[Any]:
    """What `options.segmenter` names, with its own options.

    Raises:
        ConfigurationError: there is none of this name, or its own options are wrong.
    """
    return choose(SEGMENTERS, options.segmenter, options, options.segmenter_options, f"{where}.segmenter")


def segmenter(options: SegmentationOptions) -> Segment:
    """The same, ready to be called or sent to other processes.

    Raises:
        ConfigurationError: see `segmenter_of`.
        WeightsNotFoundError: its weights, or its masks, are not there.
    """
    return segmenter_of(options).ready()


def _existing(folder: str | None, remedy: str) -> Path:
    path = Path(str(folder))
    if not path.is_dir():
        raise WeightsNotFoundError("the segmenter needs a folder", where=str(path.absolute()), remedy=remedy)
    return path
