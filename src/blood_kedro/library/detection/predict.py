"""Apply a trained detector."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blood_kedro.library.core.model_bundle import ModelBundle, rebuilt
from blood_kedro.library.core.plain_options import from_plain

if TYPE_CHECKING:
    from torchvision.models.detection import FasterRCNN

    from blood_kedro.library.detection.data import DetectionData


def load_detector(bundle: ModelBundle) -> FasterRCNN:
    """The network of a bundle, ready to predict.

    Raises:
        DataContractError: the config does not describe a detector, or the weights are not its own.
    """
    network: FasterRCNN = rebuilt(bundle, network_of)
    return network


def network_of(config: dict[str, Any]) -> FasterRCNN:
    """The network that a config describes, with random weights."""
    from blood_kedro.library.detection.network import build_network
    from blood_kedro.library.detection.transforms import preprocessing

    preprocessing(config["regimen"]["augmentation"])  # a detector without it cannot be shown a picture
    return build_network(
        from_plain(config["regimen"]["network"]),
        len(config["classes"]) + 1,
        config["image_mean"],
        config["image_std"],
        config["anchors_px"],
    )


def predict(bundle: ModelBundle, coco: dict[str, Any], images: Path) -> tuple[list[dict[str, Any]], float]:
    """Detections on every image of a COCO json.

    Returns:
        COCO results (`image_id`, `category_id`, `bbox` xywh px, `score`), and images per second.
    """
    import torch

    from blood_kedro.library.detection.data import DetectionData

    recipe = from_plain(bundle.config["regimen"])
    # Earlier versions kept the compute among the options of the recipe.
    compute = from_plain(bundle.config.get("compute") or bundle.config["regimen"])
    on_gpu = torch.cuda.is_available() and compute.accelerator != "cpu"
    network = load_detector(bundle).to("cuda" if on_gpu else "cpu")
    data = DetectionData(coco, images, recipe.augmentation, recipe.seed)
    start = time.perf_counter()
    results = detect(network, data, recipe.batch_size, compute.workers)
    return results, len(data) / (time.perf_counter() - start)


def detect(network: FasterRCNN, data: DetectionData, batch_size: int, workers: int) -> list[dict[str, Any]]:
    """COCO results of a network, where it is, on every image of a data set."""
    import torch

    from blood_kedro.library.detection.data import eval_loader

    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    results: list[dict[str, Any]] = []
    with torch.inference_mode():
        for batch, targets in eval_loader(data, batch_size, workers):
            for output, target in zip(network([image.to(device) for image in batch]), targets, strict=True):
                results += _to_results(output, int(target["image_id"]))
    network.train(was_training)
    return results


def _to_results(output: dict[str, Any], image_id: int) -> list[dict[str, Any]]:
    boxes = output["boxes"].cpu().double()
    boxes[:, 2:] -= boxes[:, :2]
    rows = zip(boxes.tolist(), output["labels"].tolist(), output["scores"].tolist(), strict=True)
    return [
        {"image_id": image_id, "category_id": label, "bbox": [round(v, 3) for v in box], "score": round(score, 6)}
        for box, label, score in rows
    ]
