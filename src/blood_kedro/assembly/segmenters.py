"""Segmenters of tiles, by the name that `segmenter` has in the parameters.

Adding one: a module with a function or class of `(options: SegmentationOptions, own: <its options>)` that gives a
`Segment` (library/counting/segment/segmenter.py), and a line here. `own` is made of `segmenter_options` in the
parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from blood_kedro.library.core.errors import ConfigurationError, WeightsNotFoundError
from blood_kedro.library.core.records import describe_model, place, read_record
from blood_kedro.library.counting.options import SegmentationOptions
from blood_kedro.library.counting.segment.segmenter import Segment


class NoOptions(BaseModel):
    """Of a segmenter that has none besides those of `SegmentationOptions`."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Entry:
    """A segmenter.

    Attributes:
        build: makes it from the options of an input and from its own; its docstring says what the segmenter is.
        Options: model of `segmenter_options`.
        tells_kinds: whether its masks say what kind of cell they are.
        model: which model of this project it uses, for the reader; None where it uses none.
    """

    build: Callable[[SegmentationOptions, Any], Segment]
    Options: type[BaseModel] = NoOptions
    tells_kinds: bool = False
    model: Callable[[SegmentationOptions], str] | None = None

    def __post_init__(self) -> None:
        """What the documentation lists of it."""
        object.__setattr__(self, "__doc__", self.build.__doc__)


def _watershed(options: SegmentationOptions, _own: NoOptions) -> Segment:
    """Classical: flat field, unsharp mask, Otsu, distance transform; needs nothing."""
    from blood_kedro.library.counting.segment.classical import Watershed

    return Watershed(options)


def _precomputed(options: SegmentationOptions, _own: NoOptions) -> Segment:
    """Masks that lie in the folder `masks`, one sub-folder for each tile."""
    from blood_kedro.library.counting.segment.precomputed import Precomputed

    return Precomputed(_existing(options.masks, "correct masks, or choose segmenter: watershed"))


def _unet(options: SegmentationOptions, _own: NoOptions) -> Segment:
    """A U-Net of rbc_morphology, in the folder `model`."""
    from blood_kedro.assembly.unet_segmenter import Unet

    return Unet(_existing(options.model, "run rbc_morphology first, or choose segmenter: watershed"), options)


def _unet_model(options: SegmentationOptions) -> str:
    folder = Path(str(options.model))
    return describe_model(folder.name, read_record(place(folder, is_model=True)))


def _sam(options: SegmentationOptions, _own: NoOptions) -> Segment:
    """A model of the SAM family; its settings are under `sam`."""
    from blood_kedro.library.counting.segment.sam import SamSegmenter

    return SamSegmenter(options.sam)


def _shipped(options: SegmentationOptions, _own: NoOptions) -> Segment:
    """The cell detector that comes with the project: a box says that there is a cell, stain says where it ends."""
    from blood_kedro.library.shipped.segment import ShippedSegmenter

    return ShippedSegmenter(options.cell_px)


def _shipped_model(_options: SegmentationOptions) -> str:
    from blood_kedro.library.shipped.bundle import describe_shipped

    return describe_shipped()


SEGMENTERS: dict[str, Entry] = {
    "watershed": Entry(_watershed),
    "precomputed": Entry(_precomputed),
    "unet": Entry(_unet, model=_unet_model),
    "sam": Entry(_sam),
    "shipped": Entry(_shipped, tells_kinds=True, model=_shipped_model),
}


def entry_of(options: SegmentationOptions, where: str = "sam_counting") -> tuple[Entry, BaseModel]:
    """The segmenter that options name, and its own options.

    Raises:
        ConfigurationError: there is none of this name, or its own options are not of their model.
    """
    if options.segmenter not in SEGMENTERS:
        raise ConfigurationError(
            "unknown segmenter", where=f"{where}.segmenter", got=options.segmenter, expected=", ".join(SEGMENTERS)
        )
    entry = SEGMENTERS[options.segmenter]
    try:
        return entry, entry.Options.model_validate(options.segmenter_options)
    except ValidationError as error:
        raise ConfigurationError(
            f"options that segmenter {options.segmenter} does not have",
            where=f"{where}.segmenter_options",
            got="; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()),
            expected=", ".join(entry.Options.model_fields) or "none",
        ) from error


def segmenter(options: SegmentationOptions) -> Segment:
    """What `options.segmenter` names, ready to be called or sent to other processes.

    Raises:
        ConfigurationError: see `entry_of`.
        WeightsNotFoundError: its weights, or its masks, are not there.
    """
    entry, own = entry_of(options)
    return entry.build(options, own)


def _existing(folder: str | None, remedy: str) -> Path:
    path = Path(str(folder))
    if not path.is_dir():
        raise WeightsNotFoundError("the segmenter needs a folder", where=str(path.absolute()), remedy=remedy)
    return path
