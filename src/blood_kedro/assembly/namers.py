"""What says which kind of cell a mask is, and which models of this project an input is counted with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blood_kedro.assembly.count_rules import COUNT_RULES, check_count_rule
from blood_kedro.assembly.segmenters import segmenter, segmenter_of
from blood_kedro.library.core.records import describe_model
from blood_kedro.library.counting.options import SmearInput

if TYPE_CHECKING:
    from blood_kedro.library.core.model_bundle import ModelBundle
    from blood_kedro.library.counting.chain import CountParts
    from blood_kedro.library.counting.count.smears import NameTypes
    from blood_kedro.library.counting.name.namers import Namer
    from blood_kedro.library.counting.segment.looks import Look


def check_names(options: SmearInput) -> None:
    """Whether all that an input names is there, before anything is begun.

    Raises:
        ConfigurationError: its segmenter or its count rule is not.
    """
    where = f"sam_counting.inputs.{options.name}"
    segmenter_of(options, where)
    check_count_rule(options.count_rule, where)


def parts_of(options: SmearInput, classifier: ModelBundle | None) -> CountParts:
    """All that an input is counted with.

    Raises:
        WeightsNotFoundError: weights, or masks, are not there.
    """
    from blood_kedro.library.counting.chain import CountParts

    return CountParts(segmenter(options), namer(options, classifier), COUNT_RULES, type_namer(options))


def namer(options: SmearInput, classifier: ModelBundle | None) -> Namer:
    """What tells kinds of cells apart: a trained classifier, else the segmenter that can, else stain."""
    from blood_kedro.library.counting.name.namers import ByNetwork, BySegmenter, ByStain

    if classifier is not None:
        return ByNetwork(classifier, options)
    return BySegmenter() if segmenter_of(options).tells_kinds else ByStain(options)


def look_of_namer(options: SmearInput) -> Look | None:
    """What the namer of an input wants to see of tiles, known before its classifier is."""
    from blood_kedro.library.counting.name.namers import ByNetwork

    return ByNetwork.look if options.classifier is not None else namer(options, None).look


def type_namer(options: SmearInput) -> NameTypes | None:
    """What names types of white cells and shapes of red ones, where the options want them."""
    from blood_kedro.library.shipped.detect_pictures import CountedTypes

    return CountedTypes() if options.name_types else None


def models_used(options: SmearInput, classifier: ModelBundle | None) -> list[str]:
    """Which models of this project count an input, a sentence or two each; a plain word where there is none."""
    used = []
    if classifier is not None:
        used.append(describe_model(str(options.classifier), classifier.record))
    model = segmenter_of(options).model()
    if model is not None:
        used.append(model)
    return used or [
        f"No model of this project is used: segmenter {options.segmenter}, kinds told apart by their stain."
    ]
