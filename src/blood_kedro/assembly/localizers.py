"""Who says where the red cells of an image are: `localizer` of an entry of `overlap.crops`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from blood_kedro.assembly.localizer_detector import TrainedDetector
from blood_kedro.assembly.localizer_yolov5n import YoloV5n
from blood_kedro.library.core.registry import choose
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.overlap.localizer import Localizer, SourceImages
from blood_kedro.library.overlap.options import CropOptions

if TYPE_CHECKING:
    from blood_kedro.library.overlap.gather import Located


class AnnotatedCells(Localizer[CropOptions]):
    """The source's own boxes of red cells, or squares of `cell_px` around its points."""

    def locate(self, images: SourceImages, rejects: RejectLog) -> list[Located]:  # noqa: ARG002 - as every localizer
        """Red cells of every image that has any."""
        from blood_kedro.library.overlap.gather import annotated

        return annotated(images.index, images.annotations, images.groups, self.options.cell_px)


LOCALIZERS: dict[str, type[Localizer[Any]]] = {
    "annotations": AnnotatedCells,
    "detector": TrainedDetector,
    "yolov5n": YoloV5n,
}


def localizer(options: CropOptions, registry: Mapping[str, type[Localizer[Any]]] = LOCALIZERS) -> Localizer[Any]:
    """The localizer that a set of crops names.

    Raises:
        ConfigurationError: there is none of this name, or its options are wrong.
    """
    where = f"overlap.crops.{options.name}.localizer"
    return choose(registry, options.localizer, options, options.localizer_options, where)
