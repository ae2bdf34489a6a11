"""From pictures to a read-out in one call: no Kedro, no MLflow, no training; the models that come with the project."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from blood_kedro import __version__
from blood_kedro.assembly.namers import parts_of
from blood_kedro.assembly.open_input import said_of, with_chosen_fields
from blood_kedro.assembly.read_smears import ReadSmears
from blood_kedro.assembly.scale import found_scale, no_width, scale_of
from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.model_bundle import CONFIG, DIGEST, load_config
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.chain import Counted, count_pictures
from blood_kedro.library.counting.count.smears import NameTypes
from blood_kedro.library.counting.draw.looks import ReducedLook, reduced
from blood_kedro.library.counting.open.fields_fit import chooses_fields
from blood_kedro.library.counting.open.file_scale import likely_cell_px
from blood_kedro.library.counting.open.smear import Smear, open_smears
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.counting.segment.tiles import OnTile, folders_of
from blood_kedro.library.readout.confusion import mistakes_of
from blood_kedro.library.readout.corrected import CountedAgain
from blood_kedro.library.readout.intervals import Drawing
from blood_kedro.library.readout.read_out import Facts, MadeWith
from blood_kedro.library.readout.scale import Scale
from blood_kedro.library.readout.stain import stain_likeness
from blood_kedro.library.reporting.picture_pages import MOST_PX
from blood_kedro.library.shipped.bundle import shipped_digest
from blood_kedro.library.shipped.detect_pictures import CountedTypes
from blood_kedro.library.shipped.load import CLASSIFIERS

# Name of a picture; how many pictures, then how many of its tiles, are done, of how many.
Progress = Callable[[str, tuple[int, int], tuple[int, int]], None]


class ReadOutOptions(BaseModel):
    """How pictures are read out.

    Attributes:
        cell_px: width of a red cell, px; None measures it on each picture.
        um_per_px: micrometres per pixel; None takes what the file says.
        name_types: whether types of white cells and shapes of red ones are named.
        rbc_per_ul: red cells per microlitre of blood, from a counter; None assumes a usual number for platelets.
        workers: processes for large pictures; 0: as many as there are cores.
        cluster: address of a Dask scheduler that their tiles go to.
        models: folder of retrained classifiers to use in place of those that ship (`shipped.load.classifiers`).
        tile_px, overlap_px: large pictures are read in tiles.
        fields: whether all of them are counted, or those that are fit for it; `auto` chooses on large slides alone.
        seed: of the intervals.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell_px: float | None = Field(None, ge=4, le=2000)
    um_per_px: float | None = Field(None, gt=0)
    name_types: bool = True
    rbc_per_ul: float | None = Field(None, gt=0)
    workers: int = Field(0, ge=0)
    cluster: str | None = None
    models: Path | None = None
    tile_px: int = Field(1024, ge=64)
    overlap_px: int = Field(128, ge=0)
    fields: Literal["auto", "all", "fit"] = "auto"
    seed: int = 2026


def read_pictures(
    paths: Sequence[Path], options: ReadOutOptions, work_folder: Path, progress: Progress | None = None
) -> ReadSmears:
    """Read out pictures: each is counted at its own scale, and all of them are put together as fields of one smear.

    A picture that cannot be read, whose scale cannot be found, or for which a wrong one was given goes to rejects.

    Args:
        paths: pictures, a folder of them, or slides.
        options: how.
        work_folder: keeps finished tiles, so that the same call goes on where a killed one stopped.
        progress: told what is done.

    Raises:
        SourceNotFoundError: there is no picture that can be read.
        BadInputError: no picture is left that can be counted.
    """
    rejects = RejectLog("own")
    opened = open_smears(paths, options.tile_px, options.overlap_px, work_folder, rejects)
    counted: list[Counted] = []
    smears: dict[str, Smear] = {}
    scales: dict[str, Scale] = {}
    choices: dict[str, pd.DataFrame] = {}
    notes: list[str] = []
    name_types = CountedTypes(options.models) if options.name_types else None
    for number, whole in enumerate(opened):
        on_tile = None if progress is None else partial(progress, whole.name, (number, len(opened)))
        if on_tile is not None:
            on_tile((0, len(whole.grid.places)))
        try:
            smear, choice = _with_fit_fields(whole, options)
            said_by_file = None if math.isnan(smear.um_per_px) else (smear.um_per_px, smear.scale_from)
            scale, said = scale_of(smear, options.cell_px, options.um_per_px, said_by_file)
        except BadInputError as error:
            if len(opened) == 1:
                raise
            reason = "; ".join(filter(None, [error.what, error.got]))
            rejects.add(whole.file or whole.name, "image", "dropped", reason)
            continue
        counted.append(_count(smear, scale, options, name_types, work_folder, rejects, on_tile))
        smears[smear.name], scales[smear.name] = smear, scale
        if choice is not None:
            choices[smear.name] = choice
            said = [*said, f"{smear.name}: {said_of(choice)}."]
        notes += said
    if not smears:
        raise BadInputError("no picture can be counted", got=rejects.reasons(), remedy="see what is said of each")
    counts, cells, fields, masks, segmented = (
        pd.concat([getattr(each, name) for each in counted], ignore_index=True)
        for name in ("counts", "cells", "fields", "masks", "segmented")
    )
    folders, look = folders_of(segmented, work_folder), ReducedLook(MOST_PX)
    facts = Facts(
        made_with=_made_with(options),
        scales=scales,
        files={name: smear.file for name, smear in smears.items() if smear.file},
        stains={name: stain_likeness(reduced(smear, folders[name], look)[0]) for name, smear in smears.items()},
        mistakes=None if name_types is None else mistakes_of(name_types.red.config),
        rbc_per_ul=options.rbc_per_ul,
        drawing=Drawing(seed=options.seed),
    )
    counted_again = CountedAgain(counts, cells, fields, facts)
    read_out, tables = counted_again.read_out()
    return ReadSmears(
        read_out,
        tables.counts,
        tables.cells,
        tables.fields,
        masks,
        pd.DataFrame(rejects.rows, columns=["source", "path", "row", "kind", "action", "reason"]),
        smears,
        folders,
        scales,
        choices,
        notes,
        counted_again,
    )


def _made_with(options: ReadOutOptions) -> MadeWith:
    models = {name: shipped_digest(name) for name in ("cells", *(CLASSIFIERS if options.name_types else ()))}
    for name in models if options.models is not None else ():
        if (options.models / name / CONFIG).is_file():
            models[name] = str(load_config(options.models / name)[DIGEST])
    return MadeWith(version=__version__, models=models, options=options.model_dump(mode="json"))


def _with_fit_fields(smear: Smear, options: ReadOutOptions) -> tuple[Smear, pd.DataFrame | None]:
    """As `with_chosen_fields`, at the width that is given, that the file says, or that is found.

    Raises:
        BadInputError: no field shows a cell, or none of which the width could be measured.
    """
    settings = SmearInput(path=smear.file or smear.name, fields=options.fields, workers=options.workers)
    if not chooses_fields(smear, settings):
        return smear, None
    width = options.cell_px or likely_cell_px(smear) or found_scale(smear).cell_px
    if math.isnan(width):
        raise no_width(smear.file or smear.name)
    return with_chosen_fields(smear, width, settings)


def _count(
    smear: Smear,
    scale: Scale,
    options: ReadOutOptions,
    name_types: NameTypes | None,
    work_folder: Path,
    rejects: RejectLog,
    on_tile: OnTile | None,
) -> Counted:
    settings = SmearInput(
        name="own",
        path=smear.file or smear.name,
        segmenter="shipped",
        cell_px=scale.cell_px,
        px_per_um=None if scale.um_per_px is None else 1 / scale.um_per_px,
        resamples=0,  # intervals are those of the read-out
        workers=options.workers,
        cluster=options.cluster,
        seed=options.seed,
    )
    parts = replace(parts_of(settings, None), name_types=name_types)
    return count_pictures([smear], settings, parts, work_folder, rejects, [ReducedLook(MOST_PX)], on_tile)
