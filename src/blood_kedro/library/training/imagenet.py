"""Channel statistics of ImageNet, images in 0..1: what torchvision's networks and DINOv2 were trained with."""

from __future__ import annotations

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
