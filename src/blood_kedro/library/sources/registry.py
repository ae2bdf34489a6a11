"""The sources this project can read: published ones by name, any other by its format.

Adding a published one: an adapter, an entry here, its labels in the taxonomy. A set in a known format needs no code:
an entry under `sources` with its label map (docs/data_sources.md).
"""

from __future__ import annotations

from collections.abc import Callable

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.sources.base import SourceAdapter
from blood_kedro.library.sources.bccd import Bccd
from blood_kedro.library.sources.chula import Chula
from blood_kedro.library.sources.coco import CocoFolder
from blood_kedro.library.sources.folders import ClassFolders
from blood_kedro.library.sources.options import SourceOptions
from blood_kedro.library.sources.pbc import Pbc
from blood_kedro.library.sources.sickle import Sickle
from blood_kedro.library.sources.synthetic import Synthetic
from blood_kedro.library.sources.voc import VocFolder
from blood_kedro.library.sources.yolo import YoloFolder

SOURCES: dict[str, SourceAdapter] = {each.name: each for each in (Synthetic(), Bccd(), Chula(), Pbc(), Sickle())}
FORMATS: dict[str, Callable[[SourceOptions], SourceAdapter]] = {
    "coco": CocoFolder,
    "voc": VocFolder,
    "yolo": YoloFolder,
    "folders": ClassFolders,
}


def adapter(options: SourceOptions) -> SourceAdapter:
    """The adapter of a source.

    Raises:
        ConfigurationError: there is none, or a set in a format has no label map.
    """
    where = f"parameters: sources.{options.name}"
    if options.adapter in FORMATS:
        if not options.labels:
            raise ConfigurationError(
                "a source in a format needs a label map",
                where=f"{where}.labels",
                expected="the set's labels and the classes they are, for instance {RBC: rbc}",
            )
        return FORMATS[options.adapter](options)
    if options.adapter not in SOURCES:
        known = ", ".join([*SOURCES, *FORMATS])
        raise ConfigurationError("unknown adapter", where=f"{where}.adapter", got=options.adapter, expected=known)
    return Bccd(options.wbc_types) if options.wbc_types is not None else SOURCES[options.adapter]
