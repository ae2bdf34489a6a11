"""Write generated smears to a folder in the layout of the `synthetic` source."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np

from blood_kedro.library.core.files import write_bytes_atomically
from blood_kedro.library.core.hashing import fingerprint
from blood_kedro.library.core.masks import encode_rle
from blood_kedro.library.core.taxonomy import CLASS_IDS
from blood_kedro.library.smears.field import SIMULATOR_VERSION, SmearOptions, simulate_field


def write_smears(folder: Path, options: SmearOptions, seed: int) -> bool:
    """Generate `images/*.png` and `annotations.json` (COCO with run-length masks, slide and scanner).

    A folder that already holds the smears of these options, seed and simulator version is left as it is.
    Images are written first and `annotations.json` last, so an interrupted call is simply repeated.

    Returns:
        Whether anything was written.
    """
    made_by = {"seed": seed, "simulator_version": SIMULATOR_VERSION, "options": options.model_dump()}
    label_file = folder / "annotations.json"
    wanted = fingerprint(made_by)
    if label_file.is_file() and json.loads(label_file.read_text())["info"].get("fingerprint") == wanted:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for slide in range(options.slides):
        for field in range(options.fields_per_slide):
            smear = simulate_field(options, seed, slide, field)
            name = f"{smear.slide}_field_{field:03d}.png"
            encoded = cv2.imencode(".png", smear.rgb[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
            write_bytes_atomically(folder / "images" / name, encoded.tobytes())
            images.append(
                {
                    "id": len(images) + 1,
                    "file_name": name,
                    "width": options.width_px,
                    "height": options.height_px,
                    "slide": smear.slide,
                    "scanner": smear.scanner,
                }
            )
            for cell in smear.cells:
                x_min, y_min, x_max, y_max = cell.box_xyxy_px
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": len(images),
                        "category_id": CLASS_IDS[cell.label],
                        "bbox": [x_min, y_min, x_max - x_min, y_max - y_min],
                        "area": int(np.count_nonzero(cell.mask)),
                        "iscrowd": 0,
                        "segmentation": {
                            "size": [options.height_px, options.width_px],
                            "counts": encode_rle(cell.mask),
                        },
                    }
                )
    content = {
        "info": {"fingerprint": wanted, **made_by},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in CLASS_IDS.items()],
    }
    write_bytes_atomically(label_file, json.dumps(content).encode())
    return True
