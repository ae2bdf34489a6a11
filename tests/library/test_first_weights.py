"""One vocabulary says where first weights come from, for every training of every environment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.counting.options import KindClassifier
from blood_kedro.library.detection.initialization import initialize
from blood_kedro.library.detection.options import Network, Regimen
from blood_kedro.library.morphology.networks import build_classifier, build_segmenter, first_weights
from blood_kedro.library.morphology.options import Classifier, Segmenter
from blood_kedro.library.shipped.cell_options import CellRecipe
from blood_kedro.library.shipped.type_options import TypeRecipe
from blood_kedro.library.training import weight_kinds
from blood_kedro.library.training.first_weights import FirstWeights
from blood_kedro.library.training.imagenet import IMAGENET_MEAN, IMAGENET_STD
from tests.conf.test_configuration import load

# What each kind asks for besides its name.
FULL: dict[str, dict[str, Any]] = {
    "random": {"kind": "random"},
    "imagenet": {"kind": "imagenet"},
    "coco": {"kind": "coco"},
    "checkpoint": {"kind": "checkpoint", "path": "data/06_models/x"},
    "run": {"kind": "run", "run": "0123"},
    "simulated": {"kind": "simulated"},
    "foundation": {"kind": "foundation", "path": "data/01_raw/reddino_small"},
}
OPTIONS: dict[str, tuple[type[BaseModel], dict[str, Any]]] = {
    "detector": (Regimen, {}),
    "cell segmenter": (Segmenter, {"source": "synthetic"}),
    "cell classifier": (Classifier, {"source": "synthetic"}),
    "cutout classifier": (KindClassifier, {"cutouts": ["a"], "kinds": ["rbc", "wbc"]}),
    "shipped detector": (CellRecipe, {}),
    "shipped classifier": (TypeRecipe, {}),
}


def test_every_network_and_every_kind_is_known_here() -> None:
    assert set(weight_kinds.POSSIBLE) == set(get_args(weight_kinds.Network)) == set(OPTIONS)
    assert set(weight_kinds.KINDS) == set(FULL)
    assert all("random" in kinds for kinds in weight_kinds.POSSIBLE.values())


@pytest.mark.parametrize("network", OPTIONS)
def test_options_take_what_is_possible_and_name_it_where_something_else_is_asked(network: str) -> None:
    options, rest = OPTIONS[network]
    for kind, given in FULL.items():
        asked = (
            {**given, "path": None, "model": "other"}
            if (network, kind) == ("cutout classifier", "checkpoint")
            else given
        )
        values = {**rest, "first_weights": asked}
        if kind == "foundation":
            values["model"] = "reddino_small"
        if kind in weight_kinds.POSSIBLE[network]:  # type: ignore[index]
            assert options.model_validate(values).first_weights.kind == kind  # type: ignore[attr-defined]
            continue
        with pytest.raises(ValidationError) as caught:
            options.model_validate(values)
        assert f"a {network} cannot start from these weights" in str(caught.value)
        assert " or ".join(weight_kinds.POSSIBLE[network]) in str(caught.value)  # type: ignore[index]


def test_loaders_refuse_what_their_network_cannot_have() -> None:
    """Options built without checks, as a GPU node has them, end in no other weights than they say."""
    foundation, simulated = (FirstWeights(**FULL[kind]) for kind in ("foundation", "simulated"))
    with pytest.raises(ConfigurationError, match="a detector cannot start"):
        initialize(Network(), foundation, 3, IMAGENET_MEAN, IMAGENET_STD)
    with pytest.raises(ConfigurationError, match="a cell segmenter cannot start"):
        build_segmenter("resnet18", foundation)
    with pytest.raises(ConfigurationError, match="a cell classifier cannot start"):
        first_weights(build_classifier("mobilenet_v3_small", 2), "mobilenet_v3_small", simulated)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "checkpoint"}, "must name a model folder"),
        ({"kind": "checkpoint", "path": "a", "model": "b"}, "either first_weights.path"),
        ({"kind": "run"}, "must be the id of a run"),
        ({"kind": "foundation"}, "the foundation model's file"),
        ({"kind": "random", "path": "a"}, "path is for kind imagenet or coco or checkpoint or foundation"),
        ({"kind": "coco", "run": "a"}, "run is for kind run"),
        ({"kind": "random", "trainable_layers": 3}, "trainable_layers is for kind"),
        ({"kind": "none"}, "Input should be 'random'"),
    ],
)
def test_a_place_that_does_not_go_with_its_kind_is_an_error(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        FirstWeights.model_validate(given)
    assert said in str(caught.value)


def asked_for(values: Any) -> Iterator[dict[str, Any]]:
    for key, value in values.items() if isinstance(values, dict) else ():
        if key == "first_weights":
            yield value
        yield from asked_for(value)


@pytest.mark.parametrize("environment", ["base", "laptop", "paper", "bccd"])
def test_configuration_has_no_other_word_for_it(environment: str) -> None:
    values = load(environment)
    found = list(asked_for(values))
    assert found
    for given in found:
        FirstWeights.model_validate(given)

    def keys(part: Any) -> Iterator[str]:
        for key, value in part.items() if isinstance(part, dict) else ():
            yield key
            yield from keys(value)

    assert not {"initialization", "weights", "start_from"} & set(keys(values))
