"""Errors that say what went wrong, where, what was found, what was expected and what to do."""

from __future__ import annotations


class BloodKedroError(Exception):
    """Base of every error this project raises on purpose.

    Args:
        what: the problem in one clause.
        where: file, folder, row or setting it was found in.
        got: what was found.
        expected: what should have been there.
        remedy: what the reader can do about it.
    """

    def __init__(self, what: str, *, where: str = "", got: str = "", expected: str = "", remedy: str = "") -> None:
        parts = [what]
        parts += [
            f"{name}: {value}" for name, value in (("where", where), ("got", got), ("expected", expected)) if value
        ]
        if remedy:
            parts.append(f"what to do: {remedy}")
        super().__init__("\n  ".join(parts))
        self.what, self.where, self.got, self.expected, self.remedy = what, where, got, expected, remedy


class ConfigurationError(BloodKedroError):
    """A parameter has a value that cannot be meant."""


class SourceNotFoundError(BloodKedroError):
    """A configured source has no folder, or its folder holds nothing to read."""


class DownloadError(BloodKedroError):
    """A public set cannot be fetched, or what came is not what it should be."""


class BadInputError(BloodKedroError):
    """A file of a source cannot be used (only raised where `on_bad_input: raise`; else it is a reject)."""


class DataContractError(BloodKedroError):
    """A table that passes between pipelines breaks its schema."""


class UnknownLabelError(BloodKedroError):
    """A label that the taxonomy does not know."""


class WeightsNotFoundError(BloodKedroError):
    """Weights that a regimen asks for cannot be had here."""


class UnsafeFileError(BloodKedroError):
    """A file that could run code when it is read; it is not read."""


class TrainingDivergedError(BloodKedroError):
    """A loss became infinite or no number: what would be trained on is worthless."""


class OutputError(BloodKedroError):
    """A result cannot be written: a full disk, a read-only folder, a file where a folder should be."""


class TrackingError(BloodKedroError):
    """Where runs are tracked cannot be reached, or cannot be written to."""


class PortTakenError(BloodKedroError):
    """Another program listens where a page is to be served."""
