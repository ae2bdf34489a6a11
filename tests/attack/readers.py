"""What reads the inputs of strangers, each as one function of a folder: what it kept, and what it said of the rest."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from blood_kedro.library.core.model_bundle import ModelBundle, load_bundle, save_bundle
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.text_files import printable
from blood_kedro.library.counting.open.smear import open_smears
from blood_kedro.library.detection.detect_pictures import Seen, look_at
from blood_kedro.library.download.unpack import Budget, unpack
from blood_kedro.library.imaging.read import SUFFIXES, RgbImage, is_litter
from blood_kedro.library.sources.ingest import ingest
from blood_kedro.library.sources.options import SourceOptions
from blood_kedro.library.sources.registry import FORMATS, adapter
from tests.attack import mutants, seeds
from tests.attack.mutants import Way
from tests.fixtures.counting import count


@dataclass(frozen=True)
class Outcome:
    """Files of pictures that were read, files that something was said of, and whatever else must not differ."""

    kept: set[str]
    said: set[str]
    same: object = field(default=None)


@dataclass(frozen=True)
class Target:
    """A reader, what it reads, and which of it can be spoiled how.

    `write` makes a sound input; `read` is given it and a folder to write into. `spoil` finds the files that ways are
    for. `whole`: one spoiled file may make the input unusable (an error of ours), as the only label file of a set does.
    """

    name: str
    write: Callable[[Path], None]
    read: Callable[[Path, Path], Outcome]
    spoil: tuple[tuple[str, tuple[Way, ...], bool], ...]


def given(folder: Path) -> set[str]:
    """All that has the name of a picture."""
    paths = (path.relative_to(folder) for path in folder.rglob("*"))
    return {name_of(path) for path in paths if path.suffix.lower() in SUFFIXES and not is_litter(path)}


def name_of(path: Path | str) -> str:
    """A path as a reject has it, in any encoding."""
    return printable(Path(path).as_posix())


def _said(rejects: RejectLog, folder: Path) -> set[str]:
    names = set()
    for row in rejects.rows:
        path = Path(str(row["path"]))
        names.add(name_of(path.relative_to(folder) if path.is_absolute() else path))
    return names


def opened(folder: Path, out: Path) -> Outcome:
    """Pictures as the count opens them, every tile read."""
    rejects = RejectLog("own")
    smears = open_smears([folder], 64, 8, out, rejects)
    for smear in smears:
        for place in smear.grid.places:
            tile = smear.read(place)
            assert tile.dtype == np.uint8 and tile.shape == (place.height, place.width, 3)
    assert len({smear.name for smear in smears}) == len(smears)
    return Outcome({name_of(smear.file) for smear in smears}, _said(rejects, folder))


def counted(folder: Path, out: Path) -> Outcome:
    """Pictures counted by the watershed."""
    rejects = RejectLog("own")
    made = count(folder, out, rejects=rejects, overlap_px=16, cell_px=20, resamples=20)
    smears = open_smears([folder], 512, 16, out, RejectLog("own"))
    counts = dict(zip(made.counts["smear"], made.counts["rbc"], strict=True))
    return Outcome({name_of(smear.file) for smear in smears}, _said(rejects, folder), counts.get("p0"))


def _write_work(folder: Path) -> None:
    seeds.save(folder / "pictures/p0.png", 0)
    counted(folder / "pictures", folder / "made")


def resumed(folder: Path, out: Path) -> Outcome:
    """A count that goes on from what an earlier one left."""
    shutil.copytree(folder / "made", out / "made")
    return Outcome(set(), set(), counted(folder / "pictures", out / "made").same)


def looked_at(folder: Path, out: Path) -> Outcome:
    """Pictures as a detector gets them."""
    rejects = RejectLog("own")

    def look(pixels: RgbImage) -> Seen:
        assert np.asarray(pixels[-1]).shape[1:] == (3,)
        return Seen(np.zeros((0, 4)), [], np.zeros(0))

    found = look_at(look, [folder], out, rejects)
    return Outcome({name_of(name) for name in found.given.values()}, _said(rejects, folder))


def _ingested(name: str) -> Callable[[Path, Path], Outcome]:
    labels = {"labels": seeds.LABELS} if name in FORMATS else {}

    def read(folder: Path, out: Path) -> Outcome:
        made = ingest(
            adapter(SourceOptions.model_validate({"name": name, "adapter": name, **labels})), folder, strict=False
        )
        assert made.index["image_id"].is_unique
        assert np.isfinite(made.annotations[["x_min_px", "y_min_px", "x_max_px", "y_max_px"]].to_numpy()).all()
        return Outcome({name_of(path) for path in made.index["path"]}, {name_of(path) for path in made.rejects["path"]})

    return read


def _write_model(folder: Path) -> None:
    torch.manual_seed(0)
    save_bundle(
        ModelBundle(torch.nn.Linear(8, 3).state_dict(), {"classes": ["a", "b", "c"], "side_px": 8}), folder / "model"
    )


def loaded(folder: Path, out: Path) -> Outcome:
    """A trained model."""
    bundle = load_bundle(folder / "model")
    return Outcome(set(), set(), [bundle.config["classes"], *(value.tolist() for value in bundle.weights.values())])


def unpacked(folder: Path, out: Path) -> Outcome:
    """Archives; what was written of a damaged one is removed by the caller."""
    for path in sorted(folder.iterdir()):
        unpack(path, out / path.name, Budget(files=1000, megabytes=50))
    return Outcome(set(), set(), sorted(path.relative_to(out).as_posix() for path in out.rglob("*")))


_BYTES = (mutants.cut, mutants.flip, mutants.run, mutants.foreign, mutants.long_tail)
_PICTURES = ("picture", mutants.PICTURE, False)
TARGETS = (
    Target("opened", seeds.pictures, opened, (_PICTURES,)),
    Target("counted", seeds.pictures, counted, (_PICTURES,)),
    Target("resumed", _write_work, resumed, (("*.parquet", _BYTES, False), ("*.geojson", _BYTES, False))),
    Target("looked_at", seeds.pictures, looked_at, (_PICTURES,)),
    Target("coco", seeds.coco, _ingested("coco"), (_PICTURES, ("*.json", mutants.TEXT, True))),
    Target("voc", seeds.voc, _ingested("voc"), (_PICTURES, ("*.xml", mutants.TEXT, False))),
    Target(
        "yolo",
        seeds.yolo,
        _ingested("yolo"),
        (_PICTURES, ("*.txt", mutants.TEXT, False), ("*.yaml", mutants.TEXT, True)),
    ),
    Target("folders", seeds.folders, _ingested("folders"), (_PICTURES,)),
    Target("bccd", seeds.bccd, _ingested("bccd"), (_PICTURES, ("*.xml", mutants.TEXT, False))),
    Target("chula", seeds.chula, _ingested("chula"), (_PICTURES, ("*.txt", mutants.TEXT, False))),
    Target("pbc", seeds.pbc, _ingested("pbc"), (_PICTURES,)),
    Target("model", _write_model, loaded, (("*.safetensors", mutants.ANY, True), ("*.json", mutants.TEXT, True))),
    Target("archive", seeds.archives, unpacked, (("*.zip", mutants.ANY, True), ("*.gz", mutants.ANY, True))),
)
