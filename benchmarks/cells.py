"""Speed and memory of single cells: cutting, reading, classifying, next to a plain timm loop."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import timm
import torch
from common import Step, glance, parameters, peak_memory_mb, seconds, table
from torchvision.transforms import v2

from blood_kedro.library.core.crop_set import Crop, CropSet, read_crops, write_crops
from blood_kedro.library.morphology.networks import build_classifier, probabilities
from blood_kedro.library.smears.cell_crops import simulated_cells
from blood_kedro.library.training.crops import CropData, flips, in_order, unlabelled
from blood_kedro.library.training.options import Training
from blood_kedro.library.training.supervised import fit_supervised

CELLS, MODEL, CLASSES = 2048, "efficientnet_b0", 8


def report(_raw: Path, work: Path) -> list[str]:
    """Lines of docs/benchmarks.md."""
    side = parameters()["morphology"]["side_px"]
    start = time.perf_counter()
    cells = write_crops(work / "cells", simulated_cells(CELLS // CLASSES, 25, "eight", side, 0), side)
    cut = len(cells) / (time.perf_counter() - start)
    lines = ["## Single cells", "", f"{len(cells):,} simulated cells of {side} px; {MODEL}, float32.", ""]
    lines += table("step | cells/s", [f"draw, cut and store | {cut:.0f}", f"read and augment | {_reading(cells):.0f}"])
    speeds = _speeds(cells, work)
    rows = (f"{name} | {ours:.0f} | {plain:.0f} | {ours / plain:.2f}" for name, ours, plain, _ in speeds)
    lines += table("EfficientNet-B0, batches of 32 | cells/s | plain timm loop | ours / plain", rows)
    lines += ["Peak memory of reading every cell of a file once, augmented:", ""]
    peaks = {n: peak_memory_mb(_read_all, n, work) for n in (1000, 100_000)}
    rows = (f"{n:,} | {n * side * side * 4 / 2**20:.0f} | {peak:.0f}" for n, peak in peaks.items())
    lines += table("cells | MB on disk | peak MB", rows)
    return lines + glance(
        Step(f"{name}, {MODEL}, cells/s", ("the bare network", bare), ours, ("timm loop", plain), peaks[100_000])
        for name, ours, plain, bare in speeds
    )


def _reading(cells: CropSet) -> float:
    data = CropData(cells.crops, np.arange(len(cells)), np.zeros(len(cells), np.int64), 0, flips(36))
    return len(cells) / seconds(lambda: [data[(0, k)] for k in range(len(data))])


def _speeds(cells: CropSet, work: Path) -> list[tuple[str, float, float, float]]:
    """Training and prediction in cells per second: ours, a loop with timm, the network alone. Best of two."""
    ours, plain, bare = [], [], []
    for repeat in range(2):  # alternating, so that a slow spell of the machine hits both
        plain.append((_plain_training(cells), _plain_prediction(cells)))
        bare.append((_bare(training=True), _bare(training=False)))
        ours.append((_our_training(cells, work / f"fit{repeat}"), _our_prediction(cells)))
    best = [(max(a[k] for a in ours), max(b[k] for b in plain), max(c[k] for c in bare)) for k in (0, 1)]
    return [("train, with flips and turns", *best[0]), ("predict", *best[1])]


def _our_training(cells: CropSet, work: Path) -> float:
    labels = np.arange(len(cells)) % CLASSES
    train = CropData(cells.crops, np.arange(1024), labels, 0, flips(36))
    val = CropData(cells.crops, np.arange(1024, 1056), labels, 0)
    trained = fit_supervised(
        build_classifier(MODEL, CLASSES),
        torch.nn.CrossEntropyLoss(),
        train,
        val,
        Training(epochs=1),
        seed=0,
        identity="bench",
        work_folder=work,
    )
    return trained.history[0]["images_per_second"]


def _plain_training(cells: CropSet) -> float:
    """In memory, one loop, torchvision's own rotation."""
    network, labels = timm.create_model(MODEL, num_classes=CLASSES), torch.arange(1024) % CLASSES
    optimizer = torch.optim.Adam(network.parameters(), 4e-4)
    augment = v2.Compose([v2.RandomHorizontalFlip(), v2.RandomVerticalFlip(), v2.RandomRotation(36)])
    pixels = torch.from_numpy(np.array(cells.crops[:1024])).permute(0, 3, 1, 2)
    start = time.perf_counter()
    for part in torch.randperm(1024).split(32):
        images = torch.stack([augment(pixels[k]).float() / 255 for k in part.tolist()])
        loss = torch.nn.functional.cross_entropy(network(images), labels[part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return 1024 / (time.perf_counter() - start)


def _our_prediction(cells: CropSet) -> float:
    network = build_classifier(MODEL, CLASSES).eval()
    return len(cells) / seconds(lambda: probabilities(network, unlabelled(cells.crops, 32)))


def _plain_prediction(cells: CropSet) -> float:
    network = timm.create_model(MODEL, num_classes=CLASSES).eval()
    pixels = torch.from_numpy(np.array(cells.crops)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        return len(cells) / seconds(lambda: [network(part.float() / 255).softmax(1) for part in pixels.split(32)])


def _bare(*, training: bool) -> float:
    """Cells per second of the network on one ready batch, with the step of an optimizer where it trains.

    Channels stand last, as in ours: so much faster is the network itself.
    """
    layout = torch.channels_last
    network = timm.create_model(MODEL, num_classes=CLASSES).train(training).to(memory_format=layout)
    optimizer = torch.optim.Adam(network.parameters(), 4e-4)
    images, labels = torch.rand(32, 3, 80, 80).to(memory_format=layout), torch.arange(32) % CLASSES

    def step() -> None:
        with torch.inference_mode(not training):
            answers = network(images)
        if training:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(answers, labels).backward()
            optimizer.step()

    def steps() -> None:
        for _ in range(16):
            step()

    step()
    return 512 / seconds(steps)


def _read_all(count: int, work: Path) -> None:
    """Write `count` cells, then read each once as a training would."""
    side = 80
    pixels, mask = np.full((side, side, 3), 200, np.uint8), np.ones((side, side), np.bool_)
    facts = {"source": "bench", "image_id": "bench/0", "group_id": "bench/0", "label_raw": "normal"}
    write_crops(work, (Crop(pixels, mask, {**facts, "cell_id": f"bench/{k}"}) for k in range(count)), side)
    cells = read_crops(work)
    data = CropData(cells.crops, np.arange(count), np.zeros(count, np.int64), 0, flips())
    for batch in in_order(data, 256):
        del batch
