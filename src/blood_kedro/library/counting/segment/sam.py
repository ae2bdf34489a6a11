"""Masks by a model of the SAM family (transformers): every cell of a tile from a grid of points.

What the library's own mask-generation pipeline does for one crop, without its run-length coding in pure Python, which
takes most of its time (docs/facts/versions.md#sam): image features once, points in batches, masks that the model
itself doubts dropped before they are brought to full size, and the rest thinned out by their boxes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.ops import batched_nms, masks_to_boxes

from blood_kedro.library.core.errors import WeightsNotFoundError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.core.weights import check_finite
from blood_kedro.library.counting.pieces import Piece, piece
from blood_kedro.library.counting.segment.options import SamOptions


class SamSegmenter:
    """A loaded model; call it with tiles.

    Raises:
        WeightsNotFoundError: the checkpoint is not there; nothing falls back to random weights.
    """

    in_one_process = True  # one model, which may be on a GPU

    def __init__(self, options: SamOptions) -> None:
        from transformers import SamModel, SamProcessor

        self.options = options
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        kind = torch.float16 if options.half_precision and self.device.type == "cuda" else torch.float32
        local = not options.download or Path(options.checkpoint).is_dir()
        try:
            model: Any = SamModel.from_pretrained(options.checkpoint, local_files_only=local, dtype=kind)
            self.processor: Any = SamProcessor.from_pretrained(options.checkpoint, local_files_only=local)
        except Exception as error:  # transformers and safetensors raise many kinds for files that are cut or foreign
            raise WeightsNotFoundError(
                "there is no SAM checkpoint",
                where=options.checkpoint,
                got=f"{type(error).__name__}: {error}"[:300],
                expected="a folder with config.json, model.safetensors and preprocessor_config.json",
                remedy="set sam.checkpoint to such a folder, or sam.download: true where the hub can be reached (2.6 GB"
                " for facebook/sam-vit-huge), or choose segmenter: watershed, unet or precomputed, which need none",
            ) from error
        check_finite(model.state_dict(), options.checkpoint, "fetch the checkpoint again (sam.checkpoint)")
        self.model: Any = model.to(self.device).eval()

    @property
    def rests_on(self) -> Path:
        """Another checkpoint there, other results."""
        return Path(self.options.checkpoint)

    def __call__(self, _name: str, rgb: npt.NDArray[np.uint8], _rejects: RejectLog) -> list[Piece]:
        """Masks of a tile `(H, W, 3) uint8`, best first, as the model gives them: clumps and repetitions included."""
        height, width = rgb.shape[:2]
        inputs = self.processor.image_processor(rgb, return_tensors="pt")
        with torch.inference_mode():
            pixels = inputs["pixel_values"].to(self.device, self.model.dtype)
            features = self.model.get_image_embeddings(pixels)
            parts = [self._asked(batch, features, inputs) for batch in self._points(height, width)]
        masks, scores = (torch.cat(part) for part in zip(*parts, strict=True))
        if not len(masks):
            return []
        boxes = masks_to_boxes(masks)
        best = batched_nms(boxes, scores, torch.zeros(len(boxes), device=boxes.device), self.options.box_nms_thresh)
        pairs = zip(masks[best].cpu().numpy(), scores[best].tolist(), strict=True)
        pieces = (piece(mask, score=score) for mask, score in pairs)
        return [each for each in pieces if each is not None]

    def _points(self, height: int, width: int) -> list[Tensor]:
        """Points in px of the tile, in the middle of the cells of a grid, in batches."""
        side = self.options.points_per_side
        at = (torch.arange(side, dtype=torch.float32) + 0.5) / side
        y, x = torch.meshgrid(at * height, at * width, indexing="ij")
        return list(torch.stack([x.ravel(), y.ravel()], dim=1).split(self.options.points_per_batch))

    def _asked(self, points: Tensor, features: Tensor, inputs: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        """Masks `(n, H, W) bool` and scores `(n,)` that points bring and that are worth keeping."""
        options = self.options
        original, reshaped = inputs["original_sizes"], inputs["reshaped_input_sizes"]
        scale = reshaped[0].float() / original[0].float()  # height, width
        asked = (points * scale.flip(0))[None, :, None].to(self.device, self.model.dtype)
        outputs = self.model(image_embeddings=features, input_points=asked, multimask_output=True)
        scores = outputs.iou_scores.flatten().float()
        sure = scores > options.pred_iou_thresh
        logits = outputs.pred_masks.flatten(0, 2)[sure].float()
        scores = scores[sure]
        height, width = (int(v) for v in original[0])
        if not len(logits):
            return torch.zeros((0, height, width), dtype=torch.bool, device=self.device), scores
        full = self.processor.image_processor.post_process_masks(
            logits[None, None].cpu(), original, reshaped, binarize=False
        )[0][0].to(self.device)
        high, low = (full > options.stability_score_offset), (full > -options.stability_score_offset)
        stability = high.flatten(1).sum(1) / low.flatten(1).sum(1).clamp(min=1)
        masks = full > 0
        good = (stability > options.stability_score_thresh) & masks.flatten(1).any(1)
        return masks[good], scores[good]
