"""The sources this project can read. Adding one: an adapter, an entry here, its labels in the taxonomy."""

from __future__ import annotations

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.sources.base import SourceAdapter
from blood_kedro.library.sources.bccd import Bccd
from blood_kedro.library.sources.chula import Chula
from blood_kedro.library.sources.pbc import Pbc
from blood_kedro.library.sources.synthetic import Synthetic

SOURCES: dict[str, SourceAdapter] = {adapter.name: adapter for adapter in (Synthetic(), Bccd(), Chula(), Pbc())}


def adapter(name: str) -> SourceAdapter:
    """The adapter of a source.

    Raises:
        ConfigurationError: there is no such source.
    """
    if name not in SOURCES:
        raise ConfigurationError("unknown source", where="parameters: sources", got=name, expected=", ".join(SOURCES))
    return SOURCES[name]
