"""Small sound inputs of every form that is read, each written into an empty folder; seeded."""

from __future__ import annotations

import json
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import tifffile

from tests.fixtures import trees

LABELS = {"RBC": "rbc", "WBC": "wbc"}
SIDE = (96, 128)


def field(seed: int) -> np.ndarray:
    """Some red discs of 20 px and a violet one on a light ground, `(96, 128, 3) uint8`."""
    rng = np.random.default_rng(seed)
    made = np.full((*SIDE, 3), (228, 224, 225), np.uint8)
    for x in range(16, 128, 32):
        cv2.circle(made, (x + int(rng.integers(-3, 4)), 24 + int(rng.integers(-3, 4))), 10, (150, 135, 200), -1)
    cv2.circle(made, (60, 68), 16, (140, 50, 90), -1)
    return np.clip(made + rng.normal(0, 2, made.shape), 0, 255).astype(np.uint8)


def save(path: Path, seed: int) -> Path:
    """A field as a file of the format that the suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = field(seed)
    if path.suffix == ".tif":
        tifffile.imwrite(path, made[..., ::-1], photometric="rgb", resolution=(1, 1))
    else:
        assert cv2.imwrite(str(path), made)
    return path


def pictures(folder: Path) -> None:
    """Every format of picture that is read."""
    for number, suffix in enumerate((".jpg", ".png", ".tif", ".bmp", ".webp")):
        save(folder / f"p{number}{suffix}", number)
    made = field(7)[..., ::-1]
    tifffile.imwrite(folder / "planes.tif", np.moveaxis(made, 2, 0), photometric="rgb", planarconfig="separate")
    tifffile.imwrite(folder / "twelve.tif", made[..., 1].astype(np.uint16) * 16, photometric="minisblack")
    tifffile.imwrite(
        folder / "tiled.tif", np.tile(made, (3, 3, 1)), photometric="rgb", tile=(64, 64), compression="zlib"
    )
    tifffile.imwrite(
        folder / "stack.ome.tif", np.stack([made[..., 0]] * 3), photometric="minisblack", metadata={"axes": "ZYX"}
    )


def coco(folder: Path, pictures: int = 3) -> None:
    """Boxes, a polygon and a run-length mask."""
    images, annotations = [], []
    for n in range(pictures):
        save(folder / "images" / f"a{n}.png", n)
        images.append({"id": n, "file_name": f"a{n}.png", "width": 128, "height": 96})
        polygon = [[50, 50, 70, 50, 70, 80, 50, 80]]
        annotations += [
            {"id": 3 * n, "image_id": n, "category_id": 1, "bbox": [6, 14, 20, 20], "area": 400, "iscrowd": 0},
            {"id": 3 * n + 1, "image_id": n, "category_id": 2, "bbox": [44, 52, 32, 32], "segmentation": polygon},
            {
                "id": 3 * n + 2,
                "image_id": n,
                "category_id": 1,
                "bbox": [38, 14, 20, 20],
                "segmentation": {"size": [96, 128], "counts": [4000, 20, 8268]},
            },
        ]
    categories = [{"id": 1, "name": "RBC"}, {"id": 2, "name": "WBC"}]
    (folder / "annotations.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories}, indent=1)
    )


def voc(folder: Path) -> None:
    """Three pictures with a label file each."""
    for n in range(3):
        save(folder / "JPEGImages" / f"a{n}.jpg", n)
        path = folder / "Annotations" / f"a{n}.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(trees.voc([("RBC", 6, 14, 26, 34), ("WBC", 44, 52, 76, 84)], (128, 96)))


def yolo(folder: Path) -> None:
    """Three pictures with a label file each, and names."""
    for n in range(3):
        save(folder / "images/train" / f"a{n}.jpg", n)
        path = folder / "labels/train" / f"a{n}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("0 0.125 0.25 0.15 0.2\n1 0.47 0.7 0.25 0.33\n0 0.3 0.1 0.4 0.1 0.4 0.3 0.3 0.3\n")
    names = "path: .\ntrain: images/train\nval: images/train\nnc: 2\nnames:\n  0: RBC\n  1: WBC\n"
    (folder / "data.yaml").write_text(names)


def folders(folder: Path) -> None:
    """Single cells, by folder."""
    for n in range(4):
        save(folder / ("RBC", "WBC")[n % 2] / f"a{n}.png", n)


def bccd(folder: Path) -> None:
    """The published layout."""
    made = trees.Bccd(folder)
    for n in range(3):
        made.add(f"BloodImage_0000{n}", [("RBC", 5, 5, 25, 25), ("WBC", 30, 20, 60, 44)], n)


def chula(folder: Path) -> None:
    """The published layout."""
    trees.chula(folder, {str(n): "10 10 0\n30 20 3\n50 40 7\n" for n in range(1, 4)})


def pbc(folder: Path) -> None:
    """The published layout."""
    trees.pbc(folder, [f"{name}/{name[:2].upper()}_{n}.jpg" for n, name in enumerate(("neutrophil", "basophil", "ig"))])


def archives(folder: Path) -> None:
    """A zip and a tar file of the same set."""
    inner = folder.parent / f"{folder.name}-content"
    folders(inner)
    with zipfile.ZipFile(folder / "set.zip", "w", zipfile.ZIP_DEFLATED) as made:
        for path in sorted(inner.rglob("*.png")):
            made.write(path, path.relative_to(inner.parent))
    with tarfile.open(folder / "set.tar.gz", "w:gz") as tar:
        tar.add(inner, inner.name)


def table(folder: Path) -> None:
    """A table as runs leave it."""
    pd.DataFrame({"a": np.arange(50)}).to_parquet(folder / "table.parquet")
