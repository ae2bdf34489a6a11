"""What to simulate."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from blood_kedro.library.smears.artefacts import MARKS
from blood_kedro.library.smears.kinds import LABELS
from blood_kedro.library.smears.styles import Style


class ReferenceImages(BaseModel):
    """Real images whose look simulated smears should have.

    Attributes:
        folder: searched for images with all its sub-folders.
        cell_px: usual diameter of a red cell there, px.
        px_per_um: scale of the images.
        images: how many of them to measure; each becomes the style of one or more slides.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    cell_px: float = Field(gt=5)
    px_per_um: float = Field(gt=0)
    images: int = Field(25, gt=0)


class SmearOptions(BaseModel):
    """What to simulate.

    Attributes:
        slides: number of slides, each with its own stain, light and patient; numbered from 1.
        fields_per_slide: fields of each.
        width_px: width of a field; `height_px` likewise.
        px_per_um: pixels per micrometre, before a scanner's own magnification.
        cells_per_field: mean number of centres of each kind of cell inside a field (see `kinds.LABELS`).
        overlap_share: share of red cells in overlapping clumps of 2 to 4.
        rouleaux_share: share of red cells in stacks of 3 to 8.
        platelet_clumps: share of platelets that lie in clumps.
        density_spread: spread of the cell number between fields, as sigma of a log-normal.
        precipitate: mean number of clouds of stain grains in a field.
        marks: probability that a field carries a burnt-in `scale_bar` or `arrow`.
        like: real images to look like; styles are fitted to them when smears are written.
        styles: fitted styles; slides take them in turn. Empty: the four scanner styles.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slides: int = Field(25, gt=0)
    fields_per_slide: int = Field(gt=0)
    width_px: int = Field(480, ge=64)
    height_px: int = Field(360, ge=64)
    px_per_um: float = Field(5.0, ge=2, le=25)
    cells_per_field: dict[str, float]
    overlap_share: float = Field(0.15, ge=0, le=1)
    rouleaux_share: float = Field(0.0, ge=0, le=1)
    platelet_clumps: float = Field(0.2, ge=0, le=1)
    density_spread: float = Field(0.25, ge=0)
    precipitate: float = Field(0.5, ge=0)
    marks: dict[str, float] = {}
    like: ReferenceImages | None = None
    styles: tuple[Style, ...] = ()

    @field_validator("cells_per_field")
    @classmethod
    def _known_kinds(cls, value: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(value) - LABELS.keys())
        if unknown:
            raise ValueError(f"the simulator draws no {', '.join(unknown)}; it draws {', '.join(LABELS)}")
        if any(mean < 0 for mean in value.values()):
            raise ValueError("a mean number of cells is negative")
        return value

    @field_validator("marks")
    @classmethod
    def _known_marks(cls, value: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(value) - set(MARKS))
        if unknown:
            raise ValueError(f"unknown marks {', '.join(unknown)}; known are {', '.join(MARKS)}")
        return value
