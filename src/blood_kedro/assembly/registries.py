"""All registries by the parameter that chooses from them: what the documentation lists."""

from __future__ import annotations

from collections.abc import Mapping

from blood_kedro.assembly.count_rules import COUNT_RULES
from blood_kedro.assembly.crop_readers import CROP_READERS
from blood_kedro.assembly.localizers import LOCALIZERS
from blood_kedro.assembly.segmenters import SEGMENTERS
from blood_kedro.library.detection.backbones import DETECTOR_BACKBONES
from blood_kedro.library.morphology.backbones import CLASSIFIER_BACKBONES

REGISTRIES: dict[str, Mapping[str, object]] = {
    "morphology.cells.<name>.reader": CROP_READERS,
    "overlap.crops.<name>.localizer": LOCALIZERS,
    "sam_counting.inputs.<name>.segmenter": SEGMENTERS,
    "sam_counting.inputs.<name>.count_rule": COUNT_RULES,
    "morphology.classifiers.<name>.model": CLASSIFIER_BACKBONES,
    "regimens.<name>.network.backbone": DETECTOR_BACKBONES,
}
