"""Settings of sam_counting: what is counted, and the classifier that names what is found."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from blood_kedro.library.core.limits import MOST_OVERLAPPING
from blood_kedro.library.counting.segment.options import FilterOptions, SamOptions, WatershedOptions
from blood_kedro.library.training.first_weights import FirstWeights, possible_for
from blood_kedro.library.training.options import Configured, Training, recipe_in

Kind = Literal["rbc", "wbc", "platelet"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SegmentationOptions(_Frozen):
    """From a tile to masks.

    `segmenter` is a name of `assembly/segmenters.py`:
    `watershed` needs nothing, `precomputed` the folder `masks` with one sub-folder per tile, `unet` a
    folder `model` of rbc_morphology, `sam` a checkpoint, `shipped` takes the detector that comes with the project.
    `cell_px` is the usual diameter of a red cell in the image:
    all areas are measured by it. `filter_rule: published` is that of Rao et al. 2024. `min_platelet`: spots from so
    much of a red cell on are shown to the classifier; what it calls no platelet is dropped below `filter.min_area`.
    """

    segmenter: str = "watershed"
    segmenter_options: dict[str, Any] = Field(
        default={}, description="of a segmenter that has options of its own (docs/extending.md)"
    )
    masks: str | None = None
    model: str | None = None
    unet_view: Literal["cells", "fields"] = Field(
        "cells", description="whether the U-Net learnt outlines of single cells, or insides of all cells of a field"
    )
    unet_side_px: int = Field(80, gt=15)
    unet_cell_px: float = Field(
        55.4, gt=4, description="width of a red cell in the crops that the U-Net was trained on"
    )
    cell_px: float = Field(36, gt=4)
    min_brightness: float = Field(140, ge=0, le=255, description="darker tiles are raised to it (Rao et al. 2024)")
    clahe: bool = False
    watershed: WatershedOptions = WatershedOptions()
    sam: SamOptions = SamOptions()
    filter: FilterOptions = FilterOptions()
    filter_rule: Literal["cells", "published"] = "cells"
    min_platelet: float = Field(0.05, gt=0)

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> SegmentationOptions:
        if self.segmenter == "precomputed" and not self.masks:
            raise ValueError("segmenter precomputed needs masks: a folder with one sub-folder of masks per tile")
        if self.segmenter == "unet" and not self.model:
            raise ValueError("segmenter unet needs model: a folder such as data/06_models/unet")
        return self


class FieldLimits(_Frozen):
    """What makes a field of a slide fit for counting.

    The red cells of a monolayer cover a fifth to three fifths of it. `most_overlapping`: share of what is stained that
    is as dark as two cells on each other. `least_focus`: share of the focus of the slide's sharpest tenth of fields.
    """

    least_covered: float = Field(0.2, ge=0, le=1)
    most_covered: float = Field(0.6, ge=0, le=1)
    most_overlapping: float = Field(0.05, ge=0, le=1)
    least_focus: float = Field(0.7, ge=0, le=1)
    most_looked_at: int = Field(400, gt=0, description="fields that are looked at, at most")


class SmearInput(SegmentationOptions):
    """What is counted, and how.

    `measure_scale`: `cell_px` is measured on the smears by the shipped detector. `source`: images of a source of this
    project, whose labelled cells are then the reference; or `path`: an image, a
    folder of images (each a smear), or a folder of tiles named `[<smear>_]<column>_<row>`. `reference_masks`: masks as
    for `precomputed`, which the found ones are compared with. `write_masks` leaves label images, coloured masks and
    contours behind. `layout` says whether a folder holds tiles of a grid or single pictures; `auto` believes names that
    fill half of a grid. `classifier` names the one under `sam_counting.classifiers` that tells red cells, white cells
    and platelets apart; null takes what the shipped detector says, or looks at nuclear stain alone where another
    segmenter finds the cells. `name_types` names types of white cells and shapes of red ones, too. `count_rule` is a
    name of `assembly/count_rules.py`: `instances` counts joined masks, `kde_peaks` is the rule of Rao et al. 2024,
    `mode` divides areas by that of a single cell.
    `fields`: `all` are counted, or those that are `fit` for it, `most_fields` at most, by `field_limits`; `auto`
    chooses on slides of more than `most_fields` tiles.
    `px_per_um` gives diameters and densities; with `volume_ul_per_mm2`, the blood that a square millimetre of the smear
    holds, also counts per microlitre. Nothing is assumed where they are not given. A field is unfit for counting above
    `max_overlap_ratio` overlapping cells for each single one. `cluster`: address of a Dask scheduler that tiles are
    sent to; null uses `workers` processes of this machine (0: as many as it has cores). `counted_by_hand`: cells of
    each kind in smears that somebody counted, by the name of the smear: totals then hold the accuracy of the count.
    """

    name: str = ""
    enabled: bool = True
    source: str | None = None
    path: str | None = None
    measure_scale: bool = False
    reference_masks: str | None = None
    counted_by_hand: dict[str, dict[Kind, int]] = {}
    write_masks: bool = True
    classifier: str | None = None
    name_types: bool = False
    layout: Literal["auto", "grid", "pictures"] = "auto"
    tile_px: int = Field(512, ge=16)
    overlap_px: int = Field(64, ge=0)
    fields: Literal["auto", "all", "fit"] = "auto"
    most_fields: int = Field(60, gt=0)
    field_limits: FieldLimits = FieldLimits()
    count_rule: str = "instances"
    px_per_um: float | None = Field(None, gt=0)
    volume_ul_per_mm2: float | None = Field(None, gt=0)
    max_overlap_ratio: float = Field(MOST_OVERLAPPING, ge=0)
    resamples: int = Field(2000, ge=0)
    workers: int = Field(0, ge=0)
    cluster: str | None = None
    seed: int = 0

    @model_validator(mode="after")
    def _has_one_origin(self) -> SmearInput:
        if bool(self.source) == bool(self.path):
            raise ValueError(f"either source or path must be given, got source {self.source!r} and path {self.path!r}")
        return self


class CutoutOptions(SegmentationOptions):
    """Cutouts to train on (Rao et al. 2024, section 3.3): mask and tile, in the middle of a black square.

    `reader`: `segmented` segments the images of `source` as a smear would be and names the masks by its labelled boxes;
    `published` reads the authors' own cutouts, folders `<part>/<RBC|WBC>`, from the source's folder (those of `slides`,
    HS1 or HS2, or all). A red cell is
    `cutout_cell_px` wide in a cutout of `side_px`. `red_cells` draws about so many of these,
    as many from every image; all others are kept. `normalise` gives the red cells of every image one colour
    (`stain.py`), so that a classifier works on stains it has not seen; published cutouts, which show no ground, are
    left as they are.
    """

    name: str = ""
    enabled: bool = True
    source: str
    reader: Literal["segmented", "published"] = "segmented"
    slides: tuple[str, ...] = ()
    side_px: int = Field(96, gt=15)
    cutout_cell_px: float = Field(36, gt=4)
    normalise: bool = True
    red_cells: int | None = Field(None, gt=0)
    workers: int = Field(-1)
    seed: int = 0


class Search(_Frozen):
    """Values that the grid search tries, every combination (Rao et al. 2024, Table 1)."""

    batch_size: tuple[int, ...] = (4,)
    epochs: tuple[int, ...] = (20,)
    dropout: tuple[float, ...] = (0.2,)
    lr: tuple[float, ...] = (1e-4,)


class KindRecipe(_Frozen):
    """All that decides what a classifier learns: the CNN of Rao et al. 2024, section 3.4, on sets of `cutouts`.

    `kinds` are what it tells apart: two with one logit, as published, three with one each. `split`: `published` takes
    the folders of the authors' set; `cutout` draws 75:15:10 of cutouts as published; `group` takes the parts of the
    table of groups (and 75:15:10 of tiles, in the authors' set), so that no field is on two sides; with `folds`, every
    group is tested on once. `augmented` kinds are multiplied
    by `copies` (flips and turns of up to 90 degrees), on the training side alone; of the others at most `ratio` are
    kept for each of theirs. `first_weights: {kind: checkpoint, model: <name>}` fine-tunes those
    of another classifier (section 4.3).
    """

    cutouts: tuple[str, ...]
    kinds: tuple[Kind, ...] = ("rbc", "wbc")
    split: Literal["published", "cutout", "group"] = "group"
    folds: int | None = Field(None, gt=1)
    augmented: tuple[Kind, ...] = ("wbc",)
    copies: int = Field(10, gt=0)
    ratio: float = Field(2.0, gt=0)
    search: Search = Search()
    training: Training = Training(schedule="cosine", stop_patience=1000)
    first_weights: Annotated[FirstWeights, possible_for("cutout classifier")] = FirstWeights()
    seed: int = 0

    @model_validator(mode="after")
    def _kinds_differ(self) -> KindRecipe:
        if len(set(self.kinds)) != len(self.kinds) or len(self.kinds) < 2:
            raise ValueError(f"kinds must be two or three different ones, got {self.kinds}")
        return self


class KindClassifier(KindRecipe, Configured):
    """A classifier of cutouts as it is configured: its recipe, and what does not decide what it learns."""

    @property
    def recipe(self) -> KindRecipe:
        """What decides the result."""
        return recipe_in(self, KindRecipe)
