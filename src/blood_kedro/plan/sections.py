"""Sections of the parameters that hold several groups, each group with its options model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from blood_kedro.library.cells.options import CellOptions
from blood_kedro.library.counting.options import CutoutOptions, KindClassifier, SmearInput
from blood_kedro.library.morphology.options import Classifier, Segmenter
from blood_kedro.library.overlap.options import CropOptions, OverlapClassifier, RuleOptions
from blood_kedro.library.shipped.cell_options import CellCompute, CellJudging, CellRecipe, CellTraining, PictureOptions


class _CanBeSwitchedOff(Protocol):
    @property
    def enabled(self) -> bool: ...


Options = TypeVar("Options", bound=_CanBeSwitchedOff)


def enabled(entries: Mapping[str, Options]) -> dict[str, Options]:
    """Those that are switched on, in the order of the parameters."""
    return {name: options for name, options in entries.items() if options.enabled}


class _Section(BaseModel):
    """Cannot be changed, and has no key that nothing reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Morphology(_Section):
    """Single cells (Elmanna et al. 2024): where they come from, what segments them, and what is compared."""

    side_px: StrictInt = Field(80, gt=7, description="side of a cell's crop as networks see it")
    reference: StrictStr = Field("", description="the classifier that the others are compared with")
    cells: dict[str, CellOptions] = {}
    segmenters: dict[str, Segmenter] = {}
    classifiers: dict[str, Classifier] = {}


class Overlap(_Section):
    """Overlapping red cells (Gurav et al. 2025): crops, rules that label them, classifiers that learn from these."""

    crops: dict[str, CropOptions] = {}
    rules: RuleOptions = RuleOptions()
    classifiers: dict[str, OverlapClassifier] = {}


class Counting(_Section):
    """Whole smears (Rao et al. 2024): cutouts, classifiers of them, and what is counted.

    `input` is an image or a folder of the user's own: then that alone is counted.
    """

    input: str | None = None
    cutouts: dict[str, CutoutOptions] = {}
    classifiers: dict[str, KindClassifier] = {}
    inputs: dict[str, SmearInput] = {}


class ShippedCells(_Section):
    """The cell detector that comes with the project; its training on all laboratories is `cells_all`."""

    recipe: CellRecipe = CellRecipe()
    compute: CellCompute = CellCompute()
    trainings: dict[str, CellTraining] = {}
    judging: CellJudging = CellJudging()


class Shipped(_Section):
    """Models that come with the project, but for the classifiers of cells."""

    pictures: PictureOptions = PictureOptions()
    cells: ShippedCells = ShippedCells()
