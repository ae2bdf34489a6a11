"""Training data and recipes as a folder that travels to a machine without this project's catalog.

images/            the unified images
coco_train.json    and coco_val.json, coco_test.json
<regimen>/         regimen.json; cutouts.npz and pretrained.pt where the regimen has such
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from blood_kedro.library.core.cell_patch import CellPatch, load_patches, save_patches
from blood_kedro.library.core.errors import DataContractError
from blood_kedro.library.core.files import write_atomically, write_bytes_atomically
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.core.plain_options import from_plain, to_plain
from blood_kedro.library.core.weights import read_weights

SPLITS = ("train", "val", "test")
IMAGES = "images"


@dataclass(frozen=True)
class Packed:
    """One regimen of a pack, as `fit` takes it; `coco` by split, `regimen` with its `name`, `recipe` and `compute`."""

    regimen: Any
    coco: dict[str, dict[str, Any]]
    images: Path
    pretrained: ModelBundle | None
    cutouts: list[CellPatch]


def pack_data(folder: Path, coco: dict[str, dict[str, Any]], images: Path, *, copy: bool = True) -> None:
    """Write the images that the splits name, and their COCO json; `copy: False` links to the folder of images."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, content in coco.items():
        _write_json(folder / f"coco_{split}.json", content)
    target = folder / IMAGES
    if not copy:
        target.unlink(missing_ok=True)
        target.symlink_to(images.absolute(), target_is_directory=True)
        return
    target.mkdir(exist_ok=True)
    for name in {image["file_name"] for content in coco.values() for image in content["images"]}:
        write_atomically(target / name, partial(shutil.copyfile, images / name))


def pack_regimen(
    folder: Path,
    regimen: Any,  # noqa: ANN401 - a Regimen, or what from_plain made of one
    pretrained: ModelBundle | None = None,
    cutouts: Sequence[CellPatch] = (),
) -> None:
    """Write a recipe, with the weights it starts from and the cells it pastes."""
    import torch

    subfolder = folder / regimen.name
    subfolder.mkdir(parents=True, exist_ok=True)
    if pretrained is not None:
        weights = {name: value.contiguous() for name, value in pretrained.weights.items()}
        write_atomically(subfolder / "pretrained.pt", partial(torch.save, weights))
    if cutouts:
        write_atomically(subfolder / "cutouts.npz", partial(save_patches, list(cutouts)))
    parts = {"name": regimen.name, "recipe": to_plain(regimen.recipe), "compute": to_plain(regimen.compute)}
    _write_json(subfolder / "regimen.json", parts)


def read_pack(folder: Path, name: str) -> Packed:
    """Read one regimen of a pack.

    Raises:
        DataContractError: a part of it is missing.
    """
    subfolder = folder / name
    needed = [subfolder / "regimen.json", folder / IMAGES, folder / "coco_train.json", folder / "coco_val.json"]
    missing = [path for path in needed if not path.exists()]
    if missing:
        raise DataContractError(
            f"no regimen {name!r} in this pack",
            where=str(folder.absolute()),
            got=f"no {missing[0].relative_to(folder)}",
            expected=", ".join(sorted(path.parent.name for path in folder.glob("*/regimen.json"))) or "a pack",
            remedy="make pack REGIMENS=<names> in the project, and copy the folder whole",
        )
    coco = {
        split: json.loads((folder / f"coco_{split}.json").read_text())
        for split in SPLITS
        if (folder / f"coco_{split}.json").is_file()
    }
    pretrained = None
    if (subfolder / "pretrained.pt").is_file():
        pretrained = ModelBundle(read_weights(subfolder / "pretrained.pt", "pack the regimen again (make pack)"), {})
    cutouts = load_patches(subfolder / "cutouts.npz") if (subfolder / "cutouts.npz").is_file() else []
    regimen = from_plain(json.loads((subfolder / "regimen.json").read_text()))
    return Packed(regimen, coco, folder / IMAGES, pretrained, cutouts)


def _write_json(path: Path, content: Any) -> None:  # noqa: ANN401
    write_bytes_atomically(path, json.dumps(content).encode())
