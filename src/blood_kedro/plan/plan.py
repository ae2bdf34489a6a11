"""The plan of a session: every parameter, typed, and which namespaces the pipelines have."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, StrictInt

from blood_kedro.assembly.crop_readers import published_sets
from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.counting.options import CutoutOptions, KindClassifier, SmearInput
from blood_kedro.library.detection.options import OwnImages, Pretraining, Regimen
from blood_kedro.library.download.options import DownloadOptions
from blood_kedro.library.evaluation.options import Evaluation
from blood_kedro.library.merging.options import MergingOptions
from blood_kedro.library.overlap.options import CropOptions, OverlapClassifier
from blood_kedro.library.shipped.type_options import TypeModel
from blood_kedro.library.sources.options import SourceOptions
from blood_kedro.library.standardization.options import StandardizationOptions
from blood_kedro.plan.names import OWN, SHIPPED
from blood_kedro.plan.sections import Counting, Morphology, Overlap, Shipped, enabled


class Plan(BaseModel):
    """What a session does: made once from the merged parameters (`build.py`), and handed to whatever needs it.

    A field is a section of the parameters and has its name; a section without a value has its defaults. Properties say
    what is enabled and has what it needs, in the order of the parameters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: StrictInt = 0
    on_bad_input: Literal["reject", "raise"] = "reject"
    download: DownloadOptions = DownloadOptions()
    further_sets: dict[str, str] = {}
    sources: dict[str, SourceOptions] = {}
    standardization: StandardizationOptions = StandardizationOptions()
    merging: MergingOptions = MergingOptions()
    evaluation: Evaluation = Evaluation()
    detection: OwnImages = OwnImages()
    pretraining: Pretraining | None = None
    regimens: dict[str, Regimen] = {}
    morphology: Morphology = Morphology()
    overlap: Overlap = Overlap()
    sam_counting: Counting = Counting()
    shipped: Shipped = Shipped()
    shipped_types: dict[str, TypeModel] = {}

    @property
    def enabled_sources(self) -> dict[str, SourceOptions]:
        """Sources of images that are read.

        Raises:
            ConfigurationError: none is enabled.
        """
        sources = enabled(self.sources)
        if not sources:
            raise ConfigurationError("no source is enabled", where="parameters: sources", remedy="enable at least one")
        return sources

    @property
    def needed_sets(self) -> list[str]:
        """Published sets that single cells or cutouts are read from and that are no sources of images with boxes.

        Raises:
            ConfigurationError: an entry names a reader that there is not.
        """
        needed = published_sets(enabled(self.morphology.cells).values())
        if any(options.reader == "published" for options in self.cutout_sets.values()):
            needed.add("ojaghi")
        return sorted(needed)

    @property
    def enabled_regimens(self) -> dict[str, Regimen]:
        """Detectors that are trained."""
        return enabled(self.regimens)

    @property
    def detects_own_images(self) -> bool:
        """Whether the user names images of their own for a detector: then nothing is trained."""
        return bool(self.detection.input)

    @property
    def own_detector(self) -> str | None:
        """The regimen whose detector looks at a user's own images; None is the one that comes with the project."""
        return None if self.detection.regimen == SHIPPED else self.detection.regimen

    @property
    def overlap_crops(self) -> dict[str, CropOptions]:
        """Sets of crops whose source is enabled, too."""
        crops = enabled(self.overlap.crops)
        return {name: options for name, options in crops.items() if self._is_read(options.source)}

    @property
    def overlap_classifiers(self) -> dict[str, OverlapClassifier]:
        """Classifiers of crops that are made."""
        classifiers = enabled(self.overlap.classifiers)
        return {name: options for name, options in classifiers.items() if options.crops in self.overlap_crops}

    @property
    def counts_own_smear(self) -> bool:
        """Whether the user names a smear of their own: then that alone is counted, and nothing is trained."""
        return bool(self.sam_counting.input)

    @property
    def counted_inputs(self) -> dict[str, SmearInput]:
        """What is counted: the user's own smear, or what is enabled and whose source is."""
        if self.counts_own_smear:
            return {OWN: self.sam_counting.inputs[OWN]}
        inputs = enabled(self.sam_counting.inputs)
        return {
            name: options
            for name, options in inputs.items()
            if name != OWN and (not options.source or self._is_read(options.source))
        }

    @property
    def cutout_sets(self) -> dict[str, CutoutOptions]:
        """Sets of cutouts; those that are segmented need their source."""
        cutouts = enabled(self.sam_counting.cutouts)
        return {
            name: options
            for name, options in cutouts.items()
            if options.reader == "published" or self._is_read(options.source)
        }

    @property
    def kind_classifiers(self) -> dict[str, KindClassifier]:
        """Classifiers of cutouts, all of whose sets are made."""
        classifiers = enabled(self.sam_counting.classifiers)
        return {name: options for name, options in classifiers.items() if set(options.cutouts) <= set(self.cutout_sets)}

    def _is_read(self, source: str) -> bool:
        return source in self.sources and self.sources[source].enabled
