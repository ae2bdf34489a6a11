"""The words for where first weights come from, and which of them each kind of network can start from.

Without pydantic: a GPU node that trains a detector has torch and little else.
"""

from __future__ import annotations

from typing import Literal, get_args

from blood_kedro.library.core.errors import ConfigurationError

Kind = Literal["random", "imagenet", "coco", "checkpoint", "run", "simulated", "foundation"]
Network = Literal[
    "detector", "cell segmenter", "cell classifier", "cutout classifier", "shipped detector", "shipped classifier"
]

POSSIBLE: dict[Network, tuple[Kind, ...]] = {
    "detector": ("random", "imagenet", "coco", "checkpoint", "run", "simulated"),
    "cell segmenter": ("random", "imagenet", "checkpoint"),
    "cell classifier": ("random", "imagenet", "checkpoint", "foundation"),
    "cutout classifier": ("random", "checkpoint"),
    "shipped detector": ("random", "imagenet"),
    "shipped classifier": ("random", "imagenet"),
}
KINDS: tuple[Kind, ...] = get_args(Kind)


def refuse_impossible(kind: str, network: Network) -> None:
    """Refuse first weights that a kind of network cannot have.

    Raises:
        ConfigurationError: it names those that are possible.
    """
    if kind not in POSSIBLE[network]:
        raise ConfigurationError(
            f"a {network} cannot start from these weights",
            where="first_weights.kind",
            got=kind,
            expected=" or ".join(POSSIBLE[network]),
        )
