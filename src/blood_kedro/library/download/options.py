"""Settings of downloads."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class DownloadOptions(BaseModel):
    """Whether and how sets that are not there are fetched.

    A set that is larger than `max_mb`, or whose size its home does not say, is fetched only with `accept_large`: its
    size and licence are in the message that asks for it. `mirrors` are further addresses by name of the archive, tried
    first; a folder of a lab's own server, for instance.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = False
    max_mb: float = Field(200, gt=0)
    accept_large: bool = False
    mirrors: dict[str, tuple[str, ...]] = {}
    attempts: int = Field(5, gt=0)
    stall_s: float = Field(60, gt=0)
    pause_s: float = Field(1, ge=0)
    max_unpacked_mb: float = Field(20_000, gt=0)
    keep_archives: bool = False
