"""Speed and memory of the detector: training next to torchvision's loop, inference, tiles."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Step, glance, parameters, peak_memory_mb, seconds, table
from torchvision.models.detection import FasterRCNN

from blood_kedro.library.detection.data import DetectionData, collate
from blood_kedro.library.detection.fit import fit
from blood_kedro.library.detection.initialization import initialize
from blood_kedro.library.detection.network import build_network
from blood_kedro.library.detection.options import Regimen
from blood_kedro.library.detection.tiled import detect_tiled
from blood_kedro.library.smears.options import SmearOptions
from blood_kedro.library.smears.write import write_smears
from blood_kedro.library.training.first_weights import FirstWeights
from blood_kedro.library.training.imagenet import IMAGENET_MEAN, IMAGENET_STD
from blood_kedro.library.training.sampling import EpochSampler

SIDE_PX = 512


def report(_raw: Path, work: Path) -> list[str]:
    """Lines of docs/benchmarks.md."""
    lines = ["## Training a detector", "", "Regimens of `base`; best epoch of two, twice, alternating.", ""]
    trained = training_table(work)
    rows = (f"{name} | {ours:.2f} | {plain:.2f} | {ours / plain:.2f}" for name, ours, plain, _ in trained)
    lines += table("regimen | images/s | torchvision's plain loop | ours / plain", rows)
    lines += ["## Detecting", "", f"The detector of `base`, images of {SIDE_PX}x{SIDE_PX} px.", ""]
    found = inference_table(work)
    lines += table("batch | images/s | peak MB", (f"{batch} | {rate:.2f} | {mb:.0f}" for batch, rate, mb in found))
    lines += ["Large images, in tiles of 640 px that overlap by 160 px:", ""]
    rows = (f"{side} x {side} | {took:.1f} | {each:.2f}" for side, took, each in tiled_table())
    lines += table("image, px | seconds | seconds per megapixel", rows)
    limit, (_, rate, memory) = ("its backbone alone", _backbone_alone()), found[-1]
    return lines + glance(
        [
            *(
                Step(f"train {name}, images/s", ("the bare network", bare), ours, ("torchvision's loop", plain))
                for name, ours, plain, bare in trained
            ),
            Step(f"detect, batches of 16, {SIDE_PX} px, images/s", limit, rate, None, memory),
        ]
    )


def training_table(work: Path) -> list[tuple[str, float, float, float]]:
    """Images per second of each regimen of `base`, of torchvision's plain loop, and of that on ready batches."""
    values = parameters()
    write_smears(work / "smears", SmearOptions(**{**values["sources"]["synthetic"]["smears"], "slides": 8}), 0)
    coco = json.loads((work / "smears/annotations.json").read_text())
    images = work / "smears/images"
    rows = []
    for name, entry in values["regimens"].items():
        if not entry["enabled"]:
            continue
        regimen = Regimen(**{**entry, "epochs": 2, "first_weights": {"kind": "random"}, "normalization": "imagenet"})
        plain, ours, bare = [], [], []
        for repeat in range(2):  # alternating, so that a slow spell of the machine hits both
            plain.append(_plain_loop(regimen, coco, images))
            bare.append(_plain_loop(regimen, coco, images, ready=True))
            trained = fit(regimen, coco, {**coco, "images": coco["images"][:2]}, images, work / f"fit{repeat}")
            ours.append(max(row["images_per_second"] for row in trained.history))
        rows.append((name, max(ours), max(plain), max(bare)))
    return rows


def _plain_loop(regimen: Regimen, coco: dict[str, Any], images: Path, *, ready: bool = False) -> float:
    """The loop of torchvision's reference: forward, sum of losses, backward, clip, step. Best epoch of two.

    With `ready`, batches are read and augmented before the clock starts: what is left is the network.
    """
    torch.manual_seed(0)
    data = DetectionData(coco, images, regimen.augmentation, regimen.seed)
    classes = len(coco["categories"]) + 1
    start = initialize(regimen.network, FirstWeights(kind="random"), classes, IMAGENET_MEAN, IMAGENET_STD)
    network, best = start.network, 0.0
    optimizer = torch.optim.SGD(network.parameters(), regimen.optimizer.lr, 0.9, weight_decay=0.0005)
    for epoch in range(2):
        sampler = EpochSampler(data, 0, None, epoch)
        loader = torch.utils.data.DataLoader(data, regimen.batch_size, sampler=sampler, collate_fn=collate)
        batches = list(loader) if ready else loader
        network.train()
        begin = time.perf_counter()
        for batch, targets in batches:
            loss = torch.stack(list(network(batch, targets).values())).sum()
            optimizer.zero_grad()
            loss.backward()
            if regimen.optimizer.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(network.parameters(), regimen.optimizer.clip_norm)
            optimizer.step()
        best = max(best, len(data) / (time.perf_counter() - begin))
    return best


def _detector() -> FasterRCNN:
    """The detector of `base`, with random weights: speed does not depend on them, but on how much it finds."""
    torch.manual_seed(0)
    return build_network(Regimen(**parameters()["regimens"]["regimen_1"]).network, 25).eval()


def _backbone_alone() -> float:
    """Images per second that the backbone of the detector sees, batches of 16."""
    network = _detector()
    batch, _ = network.transform([torch.rand(3, SIDE_PX, SIDE_PX) for _ in range(16)])
    with torch.inference_mode():
        network.backbone(batch.tensors)
        return 32 / seconds(lambda: [network.backbone(batch.tensors) for _ in range(2)])


def _predict_batches(batch: int, _work: Path) -> None:
    network, images = _detector(), [torch.rand(3, SIDE_PX, SIDE_PX) for _ in range(batch)]
    with torch.inference_mode():
        for _ in range(max(1, 32 // batch)):
            network(images)


def inference_table(work: Path) -> list[tuple[int, float, float]]:
    """Batch size, images per second of 512 px, and peak memory of the process."""
    network, rows = _detector(), []
    for batch in (1, 16):
        images = [torch.rand(3, SIDE_PX, SIDE_PX) for _ in range(batch)]
        with torch.inference_mode():
            network(images)
            repeats = 32 // batch
            rate = 32 / seconds(lambda i=images, r=repeats: [network(i) for _ in range(r)])  # type: ignore[misc]
        rows.append((batch, rate, peak_memory_mb(_predict_batches, batch, work)))
    return rows


def tiled_table() -> list[tuple[int, float, float]]:
    """Side of a large image, seconds, and seconds per megapixel."""
    network, rows = _detector(), []
    for side in (1280, 2560, 5120):
        image = np.random.default_rng(0).integers(90, 230, (side, side, 3)).astype(np.uint8)
        took = seconds(lambda i=image: detect_tiled(network, i, lambda tile: tile))  # type: ignore[misc]
        rows.append((side, took, took / (side**2 / 1e6)))
    return rows
