"""`make simulator`: contact sheets of everything the simulator draws, and how far it is from real images.

Writes docs/simulator/*.jpg (simulated only) and docs/simulator_realism.md; sheets beside real crops go to
build/simulator, because real pixels are never part of the project.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from common import parameters
from PIL import Image, ImageDraw, ImageFont

from blood_kedro.library.imaging.read import read_rgb
from blood_kedro.library.smears.crops import ELMANNA_2024_KINDS, simulate_crop
from blood_kedro.library.smears.field import simulate_field
from blood_kedro.library.smears.fit_style import fit_styles
from blood_kedro.library.smears.kinds import LABELS as KINDS
from blood_kedro.library.smears.kinds import MIXTURES, PRECIPITATE, role
from blood_kedro.library.smears.options import ReferenceImages, SmearOptions
from blood_kedro.library.smears.realism import Auc, Sample, auc_of_measures, auc_of_pixels, compare, sample

ROOT = Path(__file__).parents[1]
SHEETS, BESIDE_REAL = ROOT / "docs/simulator", ROOT / "build/simulator"
IMAGES = 60  # real, and as many simulated
Rgb = npt.NDArray[np.uint8]

# Cells per field as they are seen on each set: Chula labels mostly what is unusual, most of the others are normal.
REAL: dict[str, dict[str, Any]] = {
    "chula": {
        "folder": "chula/Dataset",
        "px_per_um": 5.25,
        "styles": 40,
        "cells": {
            "normal_rbc": 50,
            "macrocyte": 3,
            "microcyte": 3,
            "spherocyte": 6,
            "target_cell": 7,
            "stomatocyte": 7,
            "ovalocyte": 8,
            "teardrop": 2,
            "burr_cell": 4,
            "schistocyte": 4,
            "hypochromia": 4,
            "elliptocyte": 2,
            "angled_rbc": 6,
            "platelet": 3,
        },
    },
    "bccd": {
        "folder": "bccd/BCCD/JPEGImages",
        "px_per_um": 14.2,
        "styles": 20,
        "cells": {
            "normal_rbc": 12,
            "ovalocyte": 4,
            "angled_rbc": 2,
            "platelet": 1,
            "segmented_neutrophil": 0.5,
            "lymphocyte": 0.3,
            "eosinophil": 0.2,
        },
    },
}


def write_sheet(path: Path, rgb: Rgb) -> None:
    """Small enough for a page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path, quality=88)


def titled(rgb: Rgb, title: str, height: int = 22) -> Rgb:
    """The picture under a line of text."""
    bar = Image.new("RGB", (rgb.shape[1], height), "white")
    ImageDraw.Draw(bar).text((4, 3), title, fill="black", font=ImageFont.load_default(14))
    return np.concatenate([np.asarray(bar), rgb])


def grid(tiles: list[Rgb], columns: int) -> Rgb:
    """Tiles of one size in rows."""
    blank = np.full_like(tiles[0], 255)
    tiles = tiles + [blank] * (-len(tiles) % columns)
    return np.concatenate([np.concatenate(tiles[k : k + columns], axis=1) for k in range(0, len(tiles), columns)])


def class_sheets() -> None:
    """Eight cells of every kind: two slides of each scanner."""
    slides = (1, 25, 2, 11, 14, 24, 10, 21)
    for name, wanted in (("red_cells", "red"), ("nucleated_cells", "nucleated"), ("platelets", "platelet")):
        kinds = [k for k in KINDS if k not in MIXTURES and role(k) == wanted]
        if wanted == "platelet":
            kinds.append(PRECIPITATE)
        scale, side = (8.0, 112) if wanted != "nucleated" else (6.0, 128)
        rows = []
        for kind in kinds:
            cells = grid(
                [simulate_crop(kind, 0, slide, n, side, scale).rgb for n, slide in enumerate(slides)], len(slides)
            )
            rows.append(titled(cells, f"{kind}" + (f" ({KINDS[kind]})" if KINDS.get(kind, kind) != kind else "")))
        half = -(-len(rows) // 2)
        left, right = rows[:half], rows[half:]
        right += [np.full_like(rows[0], 255)] * (half - len(right))
        write_sheet(SHEETS / f"{name}.jpg", np.concatenate([np.concatenate(left), np.concatenate(right)], axis=1))


def elmanna_2024_sheet() -> None:
    """The eight classes of Elmanna et al. 2024 as 80 px crops, twelve slides each."""
    rows = []
    for name, kinds in ELMANNA_2024_KINDS.items():
        crops = [simulate_crop(kinds[n % len(kinds)], 0, 2 * n + 1, n, 80, 5.0).rgb for n in range(12)]
        rows.append(titled(grid(crops, 12), name))
    write_sheet(SHEETS / "elmanna_2024_classes.jpg", np.concatenate(rows))


def field_sheets() -> None:
    """A field of each scanner; sparse, crowded, and with rouleaux."""
    cells = {
        "normal_rbc": 22,
        "target_cell": 2,
        "ovalocyte": 3,
        "teardrop": 2,
        "burr_cell": 2,
        "schistocyte": 2,
        "segmented_neutrophil": 0.7,
        "lymphocyte": 0.7,
        "monocyte": 0.4,
        "eosinophil": 0.4,
        "platelet": 4,
    }
    base = {"fields_per_slide": 1, "width_px": 480, "height_px": 360, "cells_per_field": cells, "density_spread": 0.0}
    styled = SmearOptions.model_validate({**base, "marks": {"scale_bar": 1.0}})
    fields = [simulate_field(styled, 3, slide, 0) for slide in (1, 2, 14, 10)]
    write_sheet(SHEETS / "scanners.jpg", grid([titled(f.rgb, f"{f.style.name}, {f.slide}") for f in fields], 2))
    ways: dict[str, dict[str, Any]] = {
        "sparse": {"cells_per_field": {k: v / 4 for k, v in cells.items()}},
        "crowded": {"cells_per_field": {k: v * 3 for k, v in cells.items()}, "overlap_share": 0.3},
        "rouleaux": {"rouleaux_share": 0.8},
        "clumps": {"overlap_share": 0.9, "platelet_clumps": 0.9},
    }
    shown = [
        titled(simulate_field(SmearOptions.model_validate({**base, **w}), 5, 5, 0).rgb, n) for n, w in ways.items()
    ]
    write_sheet(SHEETS / "densities.jpg", grid(shown, 2))


def truth_sheet() -> None:
    """One field with its truth: outlines, clump sizes, overlap shares."""
    options = SmearOptions.model_validate(
        {
            "fields_per_slide": 1,
            "cells_per_field": {"normal_rbc": 26, "platelet": 3, "lymphocyte": 1},
            "overlap_share": 0.5,
        }
    )
    field = simulate_field(options, 11, 2, 0)
    scale = 2
    shown = cv2.resize(field.rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    colours = [(27, 158, 119), (217, 95, 2), (117, 112, 179), (231, 41, 138)]
    for cell in field.cells:
        mask = cv2.resize(cell.mask(*field.rgb.shape[:2]).astype(np.uint8), None, fx=scale, fy=scale)
        outline = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
        colour = colours[min(cell.clump_cells, 4) - 1]
        cv2.drawContours(shown, outline, -1, colour, 1)
        if cell.overlap_share > 0:
            x, y = (int(v * scale) for v in cell.box_xyxy_px[:2])
            text = f"{cell.overlap_share:.2f}"
            cv2.putText(shown, text, (x + 14, y + 30), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    write_sheet(SHEETS / "truth.jpg", np.asarray(shown, np.uint8))


def against_real(name: str, raw: Path) -> tuple[pd.DataFrame, Auc, Auc, Sample, Sample]:
    """Real and simulated cells of one set: styles are fitted to some images, the comparison is with others."""
    facts = REAL[name]
    folder, cell_px = raw / facts["folder"], float(parameters()["sources"][name]["cell_px"])
    styles = fit_styles(
        ReferenceImages(folder=str(folder), cell_px=cell_px, px_per_um=facts["px_per_um"], images=facts["styles"])
    )
    fitted = {style.name for style in styles}
    stems = [p for p in sorted(folder.glob("*.jpg")) if p.stem not in fitted]
    real_images = [read_rgb(p) for p in stems[:: max(1, len(stems) // IMAGES)][:IMAGES]]
    height, width = real_images[0].shape[:2]
    options = SmearOptions(
        fields_per_slide=1,
        width_px=width,
        height_px=height,
        px_per_um=facts["px_per_um"],
        styles=styles,
        cells_per_field=facts["cells"],
        overlap_share=0.25,
        rouleaux_share=0.05,
    )
    fields = [simulate_field(options, 7, 1 + k % len(styles), k).rgb for k in range(IMAGES)]
    pairs = [np.concatenate([real_images[k], fields[k]], axis=1) for k in range(0, 40, 10)]
    write_sheet(BESIDE_REAL / f"{name}_fields.jpg", np.concatenate(pairs))
    real, simulated = sample(real_images, cell_px), sample(fields, cell_px)
    rng = np.random.default_rng(0)
    sheets = [grid(list(s.crops[rng.permutation(len(s.crops))[:96]]), 12) for s in (real, simulated)]
    tall = max(len(s) for s in sheets)
    gap = np.full((tall, 16, 3), 255, np.uint8)
    padded = [np.pad(s, ((0, tall - len(s)), (0, 0), (0, 0)), constant_values=255) for s in sheets]
    write_sheet(BESIDE_REAL / f"{name}_cells.jpg", np.concatenate([padded[0], gap, padded[1]], axis=1))
    return (
        compare(real, simulated),
        auc_of_measures(real, simulated, 0),
        auc_of_pixels(real, simulated, 0),
        real,
        simulated,
    )


def realism_page(raw: Path) -> str:
    """The numbers as Markdown."""
    lines = [
        "# Simulated against real: numbers",
        "",
        f"Written by `make simulator` ({time.strftime('%Y-%m-%d')}). Single, whole red cells, found and measured the "
        "same way on both sides; styles were fitted to other images of the set than those compared with. p5, p50, p95: "
        "percentiles over cells. KS: Kolmogorov-Smirnov distance (0 the same, 1 disjoint). Measures: "
        "`library/imaging/measures.py`.",
    ]
    for name in REAL:
        table, by_measures, by_pixels, real, simulated = against_real(name, raw)
        lines += [
            "",
            f"## {name}: {len(real.image)} real cells of {len(np.unique(real.image))} images, "
            f"{len(simulated.image)} simulated of {len(np.unique(simulated.image))}",
            "",
            "| measure | real p5 / p50 / p95 | simulated p5 / p50 / p95 | KS |",
            "|---|---|---|---|",
        ]
        for row in table.to_dict("records"):
            three = {w: " / ".join(f"{row[f'{w}_p{p}']:.3g}" for p in (5, 50, 95)) for w in ("real", "simulated")}
            lines.append(f"| {row['measure']} | {three['real']} | {three['simulated']} | {row['ks']:.2f} |")
        lines += ["", "Real or simulated? Area under the ROC curve, five folds by image, 95% interval over images:", ""]
        for what, auc in (
            ("gradient boosting on these measures", by_measures),
            ("small CNN on 48 px crops", by_pixels),
        ):
            lines.append(f"- {what}: **{auc.value:.3f}** [{auc.low:.3f}, {auc.high:.3f}], {auc.cells} cells")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Sheets always; numbers where there are real images."""
    class_sheets()
    elmanna_2024_sheet()
    field_sheets()
    truth_sheet()
    raw = Path(os.environ.get("BLOOD_KEDRO_RAW", ROOT / "data/01_raw")).expanduser()
    if all((raw / facts["folder"]).is_dir() for facts in REAL.values()):
        text = realism_page(raw)
        print(text)
        (ROOT / "docs/simulator_realism.md").write_text(text)
    else:
        print(f"no real images under {raw}: only the sheets were written (make simulator RAW=<folder>)")


if __name__ == "__main__":
    main()
