"""Apply a trained detector."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.detection.options import Regimen

if TYPE_CHECKING:
    from torchvision.models.detection import FasterRCNN


def load_detector(bundle: ModelBundle) -> FasterRCNN:
    """The network of a bundle, ready to predict."""
    from blood_kedro.library.detection.network import build_network

    config = bundle.config
    network = build_network(
        Regimen(**config["regimen"]).network,
        len(config["classes"]) + 1,
        config["image_mean"],
        config["image_std"],
    )
    network.load_state_dict(bundle.weights)
    return network.eval()


def predict(bundle: ModelBundle, coco: dict[str, Any], images: Path) -> tuple[list[dict[str, Any]], float]:
    """Detections on every image of a COCO json.

    Returns:
        COCO results (`image_id`, `category_id`, `bbox` xywh px, `score`), and images per second.
    """
    import torch

    from blood_kedro.library.detection.data import DetectionData, eval_loader

    regimen = Regimen(**bundle.config["regimen"])
    device = torch.device("cuda" if torch.cuda.is_available() and regimen.accelerator != "cpu" else "cpu")
    network = load_detector(bundle).to(device)
    data = DetectionData(coco, images, regimen.augmentation, regimen.seed)
    results: list[dict[str, Any]] = []
    start = time.perf_counter()
    with torch.inference_mode():
        for batch, targets in eval_loader(data, regimen.batch_size, regimen.workers):
            for output, target in zip(network([image.to(device) for image in batch]), targets, strict=True):
                results += _to_results(output, int(target["image_id"]))
    return results, len(data) / (time.perf_counter() - start)


def _to_results(output: dict[str, Any], image_id: int) -> list[dict[str, Any]]:
    boxes = output["boxes"].cpu().double()
    boxes[:, 2:] -= boxes[:, :2]
    rows = zip(boxes.tolist(), output["labels"].tolist(), output["scores"].tolist(), strict=True)
    return [
        {"image_id": image_id, "category_id": label, "bbox": [round(v, 3) for v in box], "score": round(score, 6)}
        for box, label, score in rows
    ]
