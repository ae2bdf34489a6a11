"""Which kind of cell a mask is: paper 004's CNN on its cutout, or nuclear stain alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core.taxonomy import COARSE
from blood_kedro.library.counting.cutouts import cutout
from blood_kedro.library.counting.filters import single_area
from blood_kedro.library.counting.options import Segmentation
from blood_kedro.library.counting.pieces import Piece
from blood_kedro.library.counting.stain import normalised, red_cell_densities, reference_density
from blood_kedro.library.imaging.measures import violet

if TYPE_CHECKING:
    from torch import nn

    from blood_kedro.library.core.model_bundle import ModelBundle

RgbImage = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
KINDS = COARSE
# A cell with a larger share of nuclear stain has a nucleus; a red cell with a platelet on it stays below.
_NUCLEATED = 0.25


# Pixels and masks of a tile to `(N, 3)` probabilities of `KINDS`.
Name = Callable[[RgbImage, Sequence[Piece]], Floats]


class Namer(Protocol):
    """Says what masks are, after a look at the smear that they are of."""

    def of_smear(self, tiles: Iterable[tuple[RgbImage, Sequence[Piece]]]) -> Name:
        """What names the masks of a smear, some of whose tiles are shown; the frame of masks is their tile."""


@dataclass(frozen=True)
class ByStain:
    """No weights: what is stained as nuclei are is a white cell, or a platelet where it is small."""

    options: Segmentation

    def of_smear(self, _tiles: Iterable[tuple[RgbImage, Sequence[Piece]]]) -> Name:
        """The same for every smear."""
        return self._name

    def _name(self, rgb: RgbImage, pieces: Sequence[Piece]) -> Floats:
        light = np.percentile(rgb[::2, ::2].reshape(-1, 3), 90, axis=0)
        stain = violet(-np.log(np.clip(rgb, 1, 255) / np.maximum(light, 1)))
        found = np.zeros((len(pieces), len(KINDS)))
        for row, each in zip(found, pieces, strict=True):
            small = each.area_px2 < self.options.filter.min_area * single_area(self.options.cell_px)
            nucleated = float(stain[each.window][each.mask].mean()) > _NUCLEATED
            row[(2 if small else 1) if nucleated else 0] = 1
        return found


class BySegmenter:
    """What the segmenter said when it found them, as sure as it was."""

    def of_smear(self, _tiles: Iterable[tuple[RgbImage, Sequence[Piece]]]) -> Name:
        """The same for every smear."""
        return self._name

    def _name(self, _rgb: RgbImage, pieces: Sequence[Piece]) -> Floats:
        found = np.zeros((len(pieces), len(KINDS)))
        for row, each in zip(found, pieces, strict=True):
            row[KINDS.index(str(each.kind))] = each.score
        return found


class ByNetwork:
    """A trained classifier; masks are cut out, scaled and coloured as its training cutouts were."""

    def __init__(self, bundle: ModelBundle, options: Segmentation) -> None:
        self.network = load_network(bundle)
        self.side_px, self.cell_px = int(bundle.config["side_px"]), options.cell_px
        self.scale = float(bundle.config["cutout_cell_px"]) / options.cell_px
        self.normalise = bool(bundle.config["normalised"])
        self.columns = [KINDS.index(kind) for kind in bundle.config["kinds"]]

    def of_smear(self, tiles: Iterable[tuple[RgbImage, Sequence[Piece]]]) -> Name:
        """Knows the colour of the smear's red cells."""
        shown = tiles if self.normalise else ()
        densities = [red_cell_densities(rgb, pieces, self.cell_px) for rgb, pieces in shown]
        reference = reference_density(np.concatenate([np.zeros((0, 3)), *densities]))

        def name(rgb: RgbImage, pieces: Sequence[Piece]) -> Floats:
            found = np.zeros((len(pieces), len(KINDS)))
            if pieces:
                seen = normalised(rgb, reference) if self.normalise else rgb
                cutouts = np.stack([cutout(seen, each, self.scale, self.side_px) for each in pieces])
                found[:, self.columns] = probabilities(self.network, cutouts)
            return found

        return name


def build_network(kinds: int, side_px: int, dropout: float) -> nn.Module:
    """The CNN of paper 004, section 3.4 and Fig. 3: three convolutions (32, 64, 128), a dense layer of 512, dropout.

    It takes `(N, 3, S, S)` in 0..1; two kinds have one logit, more have one each. Neither the paper nor
    docs/facts/peer.md#classifier gives a padding; here the map keeps its size.
    """
    from torch import nn

    layers: list[nn.Module] = []
    for before, after in ((3, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Linear(128 * (side_px // 8) ** 2, 512),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(512, 1 if kinds == 2 else kinds),
    )


def load_network(bundle: ModelBundle) -> nn.Module:
    """The classifier of a bundle, ready to predict.

    Raises:
        DataContractError: the config does not describe such a classifier, or the weights are not its own.
    """
    from blood_kedro.library.core.model_bundle import rebuilt

    return rebuilt(bundle, _network)


def _network(config: dict[str, Any]) -> nn.Module:
    """Raises what a config raises that lacks what naming needs, too."""
    unknown = set(config["kinds"]) - set(KINDS)
    if "normalised" not in config or unknown or not float(config["cutout_cell_px"]) > 0:
        raise ValueError(f"kinds {config['kinds']}, cutout_cell_px {config['cutout_cell_px']}")
    return build_network(len(config["kinds"]), int(config["side_px"]), 0.0)


def probabilities(network: nn.Module, cutouts: npt.NDArray[np.uint8]) -> Floats:
    """Of each kind that a network tells apart, `(N, kinds)`, for cutouts `(N, S, S, 3)`."""
    import torch

    from blood_kedro.library.training.crops import unlabelled
    from blood_kedro.library.training.predict import outputs

    logits = torch.cat(list(outputs(network, unlabelled(cutouts))))
    if logits.shape[1] == 1:
        p = logits.sigmoid()
        return np.asarray(torch.cat([1 - p, p], dim=1).numpy(), np.float64)
    return np.asarray(logits.softmax(dim=1).numpy(), np.float64)
