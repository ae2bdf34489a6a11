"""What the adapters of sets in a known format share: all that is not layout comes from the entry."""

from __future__ import annotations

from dataclasses import dataclass

from blood_kedro.library.sources.base import NO_LOSSES
from blood_kedro.library.sources.options import SourceOptions


@dataclass(frozen=True)
class KnownFormat:
    """An adapter of a set in a format, by the options of its entry."""

    options: SourceOptions
    known_losses = NO_LOSSES

    @property
    def name(self) -> str:
        """The key of the entry."""
        return self.options.name

    @property
    def licence(self) -> str:
        """As the entry says."""
        return self.options.licence

    @property
    def labels(self) -> dict[str, str]:
        """As the entry says."""
        return self.options.labels
