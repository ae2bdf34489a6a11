"""ONNX Runtime and plain PyTorch under the shipped detector: seconds to the first count, megapixels per second."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from common import Step, glance, peak_memory_mb, seconds, table

import blood_kedro
from blood_kedro.library.imaging.read import RgbImage
from blood_kedro.library.shipped.bundle import load_shipped
from blood_kedro.library.shipped.cell_detector import detect_at
from blood_kedro.library.shipped.cells import maps_of
from blood_kedro.library.shipped.networks import CellMaps, Floats

_LARGE_PX = (4000, 3000)
_COUNT = """
import sys
from pathlib import Path
from blood_kedro.assembly.namers import parts_of
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.counting.chain import count_pictures
from blood_kedro.library.counting.open.smear import open_smears
from blood_kedro.library.counting.options import SmearInput
from blood_kedro.library.shipped.detect_pictures import at_measured_scale
picture, work = Path(sys.argv[1]), Path(sys.argv[2])
options = SmearInput(path=str(picture), segmenter="shipped", measure_scale=True, name_types=True, workers=1)
rejects = RejectLog("own")
smears = open_smears([picture], options.tile_px, options.overlap_px, work, rejects)
options = at_measured_scale(options, smears)
count_pictures(smears, options, parts_of(options, None), work, rejects)
"""


def report(field: RgbImage, work: Path) -> list[str]:
    """Lines of docs/benchmarks.md, of a field."""
    cv2.imwrite(str(work / "field.png"), field[..., ::-1])
    lines = ["From the start of Python to a count with types and shapes, the scale measured:", ""]
    imports = "import torch, torchvision, timm"
    rows = [f"the count | {_process(_COUNT, work)}", f"`{imports}`, for comparison | {_process(imports, work)}"]
    lines += table("what | seconds | CPU seconds", rows)
    cells = blood_kedro.load("cells")
    zoom = cells.config["cell_px"] / cells.scale(field).cell_px
    picture = _large(np.asarray(cv2.resize(field, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA), np.uint8))
    np.save(work / "large.npy", picture)
    megapixels = picture.shape[0] * picture.shape[1] / 1e6
    rates: dict[str, tuple[float, float]] = {}
    for name, engine, alone in (("ONNX Runtime", by_onnx, _onnx_alone), ("plain PyTorch", by_torch, _torch_alone)):
        maps = engine()
        took = min(seconds(lambda maps=maps: detect_at(maps, picture, 1.0)) for _ in range(2))  # type: ignore[misc]
        rates[name] = megapixels / took, peak_memory_mb(alone, 1, work)
    rows = [f"{name} | {rate:.2f} | {memory:.0f}" for name, (rate, memory) in rates.items()]
    said = "12 megapixels with red cells as wide as the network was trained for, model `cells`, in tiles, best of two:"
    lines += [said, "", *table("network by | megapixels/s | peak MB of a process", rows)]
    ours, memory = rates["ONNX Runtime"]
    peer = ("plain PyTorch", rates["plain PyTorch"][0])
    limit = ("its network alone", _bare_rate())
    return lines + glance([Step("cells of 12 megapixels, megapixels/s", limit, ours, peer, memory)])


def _bare_rate() -> float:
    """Megapixels per second of the network on a ready square of 640 px, no tiles, no boxes."""
    maps, picture = by_onnx(), np.random.default_rng(0).random((1, 3, 640, 640), np.float32)
    maps(picture)
    return 10 * 0.4096 / seconds(lambda: [maps(picture) for _ in range(10)])


def by_onnx() -> CellMaps:
    """The detector's network as users have it."""
    return maps_of(load_shipped("cells"))


def by_torch() -> CellMaps:
    """The same network and weights as it is trained."""
    import torch

    from blood_kedro.library.core.model_bundle import rebuilt
    from blood_kedro.library.shipped.centre_net import CentreNet

    def network(config: dict) -> CentreNet:  # type: ignore[type-arg]
        return CentreNet(len(config["classes"]), int(config["recipe"]["channels"]))

    trained = rebuilt(load_shipped("cells"), network).to(memory_format=torch.channels_last)

    def maps(pictures: Floats) -> tuple[Floats, Floats]:
        with torch.inference_mode():
            said = trained(torch.from_numpy(pictures))
        return said.middles.numpy(), said.sides.numpy()

    return maps


def _onnx_alone(_count: int, folder: Path) -> None:
    _detect(by_onnx, folder)


def _torch_alone(_count: int, folder: Path) -> None:
    _detect(by_torch, folder)


def _detect(engine: Callable[[], CellMaps], folder: Path) -> None:
    detect_at(engine(), np.load(folder.parent / "large.npy", mmap_mode="r"), 1.0)


def _large(field: RgbImage) -> RgbImage:
    width, height = _LARGE_PX
    times = -(-height // field.shape[0]), -(-width // field.shape[1]), 1
    return np.ascontiguousarray(np.tile(field, times)[:height, :width])


def _process(code: str, work: Path) -> str:
    """Wall-clock and CPU seconds of the second of two processes: files of modules are then in memory."""
    command = [sys.executable, "-c", code, str(work / "field.png"), str(work / "counted")]
    subprocess.run(command, check=True, capture_output=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = seconds(lambda: subprocess.run(command, check=True, capture_output=True))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return f"{took:.1f} | {cpu:.1f}"
