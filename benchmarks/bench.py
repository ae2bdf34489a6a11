"""`make bench`: speed and memory of standardization and training, measured here and now, into docs/benchmarks.md."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import psutil
import torch
from kedro.config import OmegaConfigLoader
from kedro.framework.project import configure_project, settings
from PIL import Image
from torchvision.models.detection import FasterRCNN

from blood_kedro.library.detection.data import DetectionData, collate
from blood_kedro.library.detection.fit import fit
from blood_kedro.library.detection.initialization import initialize
from blood_kedro.library.detection.network import IMAGENET_MEAN, IMAGENET_STD, build_network
from blood_kedro.library.detection.options import Initialization, Regimen
from blood_kedro.library.detection.tiled import detect_tiled
from blood_kedro.library.smears.options import SmearOptions
from blood_kedro.library.smears.write import write_smears
from blood_kedro.library.sources.ingest import ingest
from blood_kedro.library.sources.registry import SOURCES
from blood_kedro.library.standardization.options import StandardizationOptions
from blood_kedro.library.standardization.standardize import standardize_source
from blood_kedro.library.training.sampling import EpochSampler

ROOT = Path(__file__).parents[1]
TARGET_PX = 512


def parameters() -> dict[str, Any]:
    """Merged parameters of `base`."""
    configure_project("blood_kedro")
    loader = OmegaConfigLoader(conf_source=str(ROOT / "conf"), env="base", **settings.CONFIG_LOADER_ARGS)
    return dict(loader["parameters"])


def seconds(action: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def pil_loop(paths: list[Path], out: Path, suffix: str) -> None:
    """Algorithm 1 as one would write it down: one process, Pillow, its default encoder settings."""
    out.mkdir(parents=True)
    for number, path in enumerate(paths):
        image = Image.open(path).convert("RGB")
        scale = TARGET_PX / max(image.size)
        size = (int(image.width * scale), int(image.height * scale))
        canvas = Image.new("RGB", (TARGET_PX, TARGET_PX), 0)
        canvas.paste(image.resize(size), ((TARGET_PX - size[0]) // 2, (TARGET_PX - size[1]) // 2))
        canvas.save(out / f"{number}{suffix}")


def decode_and_encode(paths: list[Path]) -> None:
    """The least that must be done: decode the input, encode a canvas losslessly."""
    for path in paths:
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
        canvas = np.ascontiguousarray(cv2.resize(pixels, (TARGET_PX, TARGET_PX)))
        cv2.imencode(".png", canvas, [cv2.IMWRITE_PNG_COMPRESSION, 1])


def standardization_table(raw: Path, work: Path) -> list[tuple[str, float, float]]:
    """Images per second of each way to standardize the same real images."""
    tables = {name: ingest(SOURCES[name], raw / name, strict=False, limit=200) for name in ("bccd", "chula", "pbc")}
    paths = [raw / name / path for name, t in tables.items() for path in t.index["path"]]
    options = StandardizationOptions(**parameters()["standardization"])

    def ours(boxes: str, workers: int) -> Callable[[], None]:
        def run() -> None:
            chosen = options.model_copy(update={"boxes": boxes, "workers": workers})
            for name, t in tables.items():
                out = work / f"{boxes}{workers}{name}"
                standardize_source(t.index, t.annotations, raw / name, out, chosen, seed=0, strict=True)

        return run

    cores = os.cpu_count()
    ways: list[tuple[str, Callable[[], object]]] = [
        ("Pillow loop of Algorithm 1, PNG (one process)", lambda: pil_loop(paths, work / "png", ".png")),
        ("Pillow loop, JPEG quality 75, lossy (one process)", lambda: pil_loop(paths, work / "jpg", ".jpg")),
        ("bare decode + encode, OpenCV, PNG (one process)", lambda: decode_and_encode(paths)),
        ("this project, boxes: paper, 1 worker", ours("paper", 1)),
        (f"this project, boxes: paper, {cores} workers", ours("paper", 0)),
        ("this project, boxes: fitted, 1 worker", ours("fitted", 1)),
        (f"this project, boxes: fitted, {cores} workers", ours("fitted", 0)),
    ]
    rates = [(name, len(paths) / seconds(action)) for name, action in ways]
    return [(name, rate, rate / rates[0][1]) for name, rate in rates]


def peak_memory_mb(target: Callable[[int, Path], None], count: int, work: Path) -> float:
    """Peak memory of a job over `count` images in a fresh process, its workers included."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=target, args=(count, work / f"{target.__name__}{count}"))
    process.start()
    watched, peak = psutil.Process(process.pid), 0.0
    while process.is_alive():
        try:
            family = [watched, *watched.children(recursive=True)]
            # Unique memory: pages that workers share with their parent count once.
            peak = max(peak, sum(p.memory_full_info().uss for p in family) / 2**20)
        except psutil.Error:
            continue  # a worker ended between listing and asking
        time.sleep(0.2)
    process.join()
    if process.exitcode:
        raise RuntimeError(f"the measured process failed with {process.exitcode}")
    return peak


def _standardize_copies(copies: int, work: Path) -> None:
    raw = work / "raw"
    raw.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(90, 230, (480, 640, 3), dtype=np.uint8)
    cv2.imwrite(str(raw / "0.jpg"), cv2.GaussianBlur(pixels, (0, 0), 4))
    for n in range(1, copies):
        os.link(raw / "0.jpg", raw / f"{n}.jpg")
    names = [f"bccd/{n}" for n in range(copies)]
    index = pd.DataFrame(
        {"image_id": names, "source": "bccd", "path": [f"{n}.jpg" for n in range(copies)], "width_px": 640,
         "height_px": 480, "sha256": "0" * 64, "group_id": None, "official_split": None}
    )  # fmt: skip
    annotations = pd.DataFrame(
        {"annotation_id": [f"{name}#1" for name in names], "image_id": names, "label_raw": "RBC", "label": "rbc",
         "x_min_px": 10.0, "y_min_px": 10.0, "x_max_px": 90.0, "y_max_px": 90.0, "box_origin": "annotated",
         "ignore": False}
    )  # fmt: skip
    options = StandardizationOptions(boxes="paper", workers=0)
    standardize_source(index, annotations, raw, work / "out", options, seed=0, strict=True)


def _simulate_small_fields(count: int, work: Path) -> None:
    options = SmearOptions(
        slides=25, fields_per_slide=count // 25, width_px=128, height_px=128, cells_per_field={"normal_rbc": 4}
    )
    write_smears(work, options, 0, workers=0)


def simulator_table(work: Path) -> list[tuple[str, float, float]]:
    """Fields per second, drawn and written with masks and truth, and cells per field."""
    options = SmearOptions(
        slides=25, fields_per_slide=8, width_px=512, height_px=512, density_spread=0.0,
        cells_per_field={"normal_rbc": 50, "teardrop": 4, "platelet": 4, "segmented_neutrophil": 1, "lymphocyte": 1},
    )  # fmt: skip
    rows = []
    for workers in (1, os.cpu_count() or 1):
        folder = work / f"fields{workers}"
        rate = 200 / seconds(lambda w=workers, f=folder: write_smears(f, options, 0, w))  # type: ignore[misc]
        cells = len(json.loads((folder / "annotations.json").read_text())["annotations"]) / 200
        rows.append((f"{workers} worker{'s' if workers > 1 else ''}", rate, cells))
    return rows


def training_table(work: Path) -> list[tuple[str, float, float, float]]:
    """Images per second of each enabled regimen of `base`, and of torchvision's plain loop on the same batches."""
    values = parameters()
    write_smears(work / "smears", SmearOptions(**{**values["sources"]["synthetic"]["smears"], "slides": 8}), 0)
    coco = json.loads((work / "smears/annotations.json").read_text())
    images = work / "smears/images"
    rows = []
    for name, entry in values["regimens"].items():
        if not entry["enabled"]:
            continue
        regimen = Regimen(**{**entry, "epochs": 2, "initialization": {"kind": "random"}, "normalization": "imagenet"})
        plain, ours = [], []
        for repeat in range(2):  # alternating, so that a slow spell of the machine hits both
            plain.append(_plain_loop(regimen, coco, images))
            done = fit(regimen, coco, {**coco, "images": coco["images"][:2]}, images, work / f"fit{repeat}")
            ours.append(max(row["images_per_second"] for row in done.history))
        rows.append((name, max(ours), max(plain), max(ours) / max(plain)))
    return rows


def _detector() -> FasterRCNN:
    """The detector of `base`, with random weights: speed does not depend on them, but on how much it finds."""
    torch.manual_seed(0)
    return build_network(Regimen(**parameters()["regimens"]["regimen_1"]).network, 25).eval()


def _predict_batches(batch: int, _work: Path) -> None:
    network, images = _detector(), [torch.rand(3, TARGET_PX, TARGET_PX) for _ in range(batch)]
    with torch.inference_mode():
        for _ in range(max(1, 32 // batch)):
            network(images)


def inference_table(work: Path) -> list[tuple[int, float, float]]:
    """Batch size, images per second of 512 px, and peak memory of the process."""
    network, rows = _detector(), []
    for batch in (1, 16):
        images = [torch.rand(3, TARGET_PX, TARGET_PX) for _ in range(batch)]
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


def _plain_loop(regimen: Regimen, coco: dict[str, Any], images: Path) -> float:
    """The loop of torchvision's reference: forward, sum of losses, backward, clip, step. Best epoch of two."""
    torch.manual_seed(0)
    data = DetectionData(coco, images, regimen.augmentation, regimen.seed)
    classes = len(coco["categories"]) + 1
    start = initialize(regimen.network, Initialization(kind="random"), classes, IMAGENET_MEAN, IMAGENET_STD)
    network, best = start.network, 0.0
    optimizer = torch.optim.SGD(network.parameters(), regimen.optimizer.lr, 0.9, weight_decay=0.0005)
    for epoch in range(2):
        sampler = EpochSampler(data, 0, None, epoch)
        loader = torch.utils.data.DataLoader(data, regimen.batch_size, sampler=sampler, collate_fn=collate)
        network.train()
        begin = time.perf_counter()
        for batch, targets in loader:
            loss = torch.stack(list(network(batch, targets).values())).sum()
            optimizer.zero_grad()
            loss.backward()
            if regimen.optimizer.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(network.parameters(), regimen.optimizer.clip_norm)
            optimizer.step()
        best = max(best, len(data) / (time.perf_counter() - begin))
    return best


def main() -> None:
    """Measure everything, print it, and write docs/benchmarks.md."""
    raw = Path(os.environ.get("BLOOD_KEDRO_RAW", ROOT / "data/01_raw"))
    work = Path(tempfile.mkdtemp(prefix="blood-kedro-bench-"))
    lines = [
        "# Benchmarks",
        "",
        f"Written by `make bench` on {time.strftime('%Y-%m-%d')}: {os.cpu_count()} CPU cores, no GPU used, "
        f"torch {torch.__version__}, OpenCV {cv2.__version__}.",
        "",
        "## Standardization",
        "",
    ]
    try:
        if (raw / "bccd").is_dir():
            lines += ["The same 600 real images (200 each of BCCD, Chula, PBC).", ""]
            lines += ["| way | images/s | against the Pillow loop |", "|---|---|---|"]
            lines += [f"| {n} | {rate:.1f} | {ratio:.2f}x |" for n, rate, ratio in standardization_table(raw, work)]
        else:
            lines += ["Not measured: no real images under raw_root (make bench RAW=<folder>)."]
        lines += ["", "## Peak memory of standardization", "", "| images | peak MB, all processes |", "|---|---|"]
        lines += [f"| {n} | {peak_memory_mb(_standardize_copies, n, work):.0f} |" for n in (500, 5000)]
        lines += ["", "## Simulator", "", "200 fields of 512x512 px with masks and truth, as PNG and COCO.", ""]
        lines += ["| way | fields/s | cells per field |", "|---|---|---|"]
        lines += [f"| {n} | {rate:.1f} | {cells:.0f} |" for n, rate, cells in simulator_table(work)]
        lines += ["", "| fields of 128x128 px | peak MB, all processes |", "|---|---|"]
        lines += [f"| {n} | {peak_memory_mb(_simulate_small_fields, n, work):.0f} |" for n in (500, 10000)]
        lines += ["", "## Training", "", "Regimens of `base`; best epoch of two, twice, alternating.", ""]
        lines += ["| regimen | images/s | torchvision's plain loop | ratio |", "|---|---|---|---|"]
        lines += [f"| {n} | {a:.2f} | {b:.2f} | {r:.2f} |" for n, a, b, r in training_table(work)]
        lines += ["", "## Inference", "", "The detector of `base`, images of 512x512 px.", ""]
        lines += ["| batch | images/s | peak MB |", "|---|---|---|"]
        lines += [f"| {b} | {rate:.2f} | {memory:.0f} |" for b, rate, memory in inference_table(work)]
        lines += ["", "Large images, in tiles of 640 px that overlap by 160 px:", ""]
        lines += ["| image, px | seconds | seconds per megapixel |", "|---|---|---|"]
        lines += [f"| {side} x {side} | {took:.1f} | {each:.2f} |" for side, took, each in tiled_table()]
    finally:
        shutil.rmtree(work, ignore_errors=True)
    text = "\n".join(lines) + "\n"
    print(text)
    (ROOT / "docs" / "benchmarks.md").write_text(text)


if __name__ == "__main__":
    main()
