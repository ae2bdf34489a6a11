"""Which kind of cell each mask of a smear is: Rao et al. 2024's CNN on its cutout, its segmenter's word, its stain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from blood_kedro.library.counting.name.cell_types import CELL_TYPES, Floats, load_network, probabilities
from blood_kedro.library.counting.name.cutout import framed
from blood_kedro.library.counting.name.looks import PixelsLook, StainLook, pixels_of
from blood_kedro.library.counting.name.stain import absorbance_of, is_usual, normalised, reference_density
from blood_kedro.library.counting.open.smear import Smear
from blood_kedro.library.counting.options import SegmentationOptions
from blood_kedro.library.counting.pieces import Piece
from blood_kedro.library.counting.segment.filters import single_area
from blood_kedro.library.counting.segment.journal import read_look
from blood_kedro.library.counting.segment.looks import Look
from blood_kedro.library.counting.segment.tiles import folders_of, read_tiles

if TYPE_CHECKING:
    from blood_kedro.library.core.model_bundle import ModelBundle

# A cell with a larger share of nuclear stain has a nucleus; a red cell with a platelet on it stays below.
_NUCLEATED = 0.25
# So many tiles tell what a smear's red cells look like.
_SHOWN = 16
# Number of a tile to what the namer wanted to see of it.
Seen = Callable[[int], pd.DataFrame]


class Namer(Protocol):
    """Says what masks are.

    `look` is what it wants to see of tiles while they are in memory; None where masks alone do.
    """

    @property
    def look(self) -> Look | None:
        """See above."""

    def name(self, pieces: Sequence[Sequence[Piece]], seen: Seen, /) -> list[Floats]:
        """Probabilities `(N, 3)` of `CELL_TYPES` for the masks of each tile of a smear."""


def name_smears(smears: Sequence[Smear], segmented: pd.DataFrame, work_folder: Path, namer: Namer) -> pd.DataFrame:
    """Probabilities of the kinds of every mask.

    Args:
        smears: opened.
        segmented: of `segment_smears`, which was told what the namer wants to see.
        work_folder: keeps finished tiles.
        namer: says what masks are.

    Returns:
        One row per mask, tile by tile in the order of the grid: `smear`, `tile`, and a column for each of `CELL_TYPES`.
    """
    folders, parts = folders_of(segmented, work_folder), []
    for smear in smears:
        folder, places = folders[smear.name], smear.grid.places
        pieces = read_tiles(smear, folder).pieces

        def seen(k: int, folder: Path = folder, smear: Smear = smear) -> pd.DataFrame:
            look_table = None if namer.look is None else read_look(folder, smear.grid.places[k].name, namer.look.name)
            return pd.DataFrame() if look_table is None else look_table

        for place, shares in zip(places, namer.name(pieces, seen), strict=True):
            parts.append(pd.DataFrame(shares, columns=list(CELL_TYPES)).assign(smear=smear.name, tile=place.name))
    return pd.concat(parts, ignore_index=True)[["smear", "tile", *CELL_TYPES]]


@dataclass(frozen=True)
class ByStain:
    """No weights: what is stained as nuclei are is a white cell, or a platelet where it is small."""

    options: SegmentationOptions
    look = StainLook()

    def name(self, pieces: Sequence[Sequence[Piece]], seen: Seen) -> list[Floats]:
        """1 for the kind that a mask is taken for."""
        least = self.options.filter.min_area * single_area(self.options.cell_px)
        return [self._tile(tile, seen(k), least) if tile else _nothing() for k, tile in enumerate(pieces)]

    def _tile(self, pieces: Sequence[Piece], look: pd.DataFrame, least_px2: float) -> Floats:
        shares = np.zeros((len(pieces), len(CELL_TYPES)))
        for row, each, stain in zip(shares, pieces, look["nuclear_stain"], strict=True):
            row[(2 if each.area_px2 < least_px2 else 1) if stain > _NUCLEATED else 0] = 1
        return shares


class BySegmenter:
    """What the segmenter said when it found them, as sure as it was."""

    look = None

    def name(self, pieces: Sequence[Sequence[Piece]], _seen: Seen) -> list[Floats]:
        """The score of a mask for its kind."""
        return [self._tile(tile) for tile in pieces]

    def _tile(self, pieces: Sequence[Piece]) -> Floats:
        shares = np.zeros((len(pieces), len(CELL_TYPES)))
        for row, each in zip(shares, pieces, strict=True):
            row[CELL_TYPES.index(str(each.kind))] = each.score
        return shares


class ByNetwork:
    """A trained classifier; masks are cut out, scaled and coloured as its training cutouts were."""

    look = PixelsLook()

    def __init__(self, bundle: ModelBundle, options: SegmentationOptions) -> None:
        self.network = load_network(bundle)
        self.side_px, self.cell_px = int(bundle.config["side_px"]), options.cell_px
        self.scale = float(bundle.config["cutout_cell_px"]) / options.cell_px
        self.normalise = bool(bundle.config["normalised"])
        self.columns = [CELL_TYPES.index(kind) for kind in bundle.config["kinds"]]

    def name(self, pieces: Sequence[Sequence[Piece]], seen: Seen) -> list[Floats]:
        """What the network says, once the colour of the smear's red cells is known."""
        filled = [k for k, tile in enumerate(pieces) if tile]
        shown = filled[:: max(1, len(filled) // _SHOWN)] if self.normalise else []
        densities = [self._densities(pieces[k], seen(k)) for k in shown]
        reference = reference_density(np.concatenate([np.zeros((0, 3)), *densities]))
        return [self._tile(tile, seen(k), reference) if tile else _nothing() for k, tile in enumerate(pieces)]

    def _densities(self, pieces: Sequence[Piece], look: pd.DataFrame) -> Floats:
        """Mean absorbance `(n, 3)` of the masks that are about as large as a red cell."""
        pairs = zip(pieces, pixels_of(look, pieces), strict=True)
        usual = [(each, pixels, light) for each, (pixels, light) in pairs if is_usual(each, self.cell_px)]
        means = [absorbance_of(pixels, light)[each.mask].mean(axis=0) for each, pixels, light in usual]
        return np.array(means).reshape(-1, 3)

    def _tile(self, pieces: Sequence[Piece], look: pd.DataFrame, reference: Floats) -> Floats:
        shares, cutouts = np.zeros((len(pieces), len(CELL_TYPES))), []
        for each, (pixels, light) in zip(pieces, pixels_of(look, pieces), strict=True):
            coloured = normalised(pixels, reference, light) if self.normalise else pixels
            cutouts.append(framed(coloured * each.mask[..., None], self.scale, self.side_px))
        shares[:, self.columns] = probabilities(self.network, np.stack(cutouts))
        return shares


def _nothing() -> Floats:
    return np.zeros((0, len(CELL_TYPES)))
