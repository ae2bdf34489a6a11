"""Every broken input has a clear reason in rejects, and the rest of the source stays intact."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from blood_kedro.library.core.errors import BadInputError, SourceNotFoundError
from blood_kedro.library.imaging.read import read_rgb
from blood_kedro.library.sources.ingest import SourceTables, ingest
from blood_kedro.library.sources.options import SourceOptions
from blood_kedro.library.sources.registry import SOURCES, adapter
from tests.fixtures.trees import Bccd, chula, pbc, picture, voc

GOOD = ("RBC", 2, 3, 20, 30)


def read(source: str, folder: Path, strict: bool = False) -> SourceTables:
    return ingest(SOURCES[source], folder, strict=strict)


def reasons(tables: SourceTables, action: str = "dropped") -> list[str]:
    return tables.rejects.loc[tables.rejects["action"] == action, "reason"].tolist()


def truncated(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def jpeg_of(mode: str) -> Callable[[Path], None]:
    return lambda path: picture().convert(mode).save(path, "JPEG")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (truncated, "cannot be decoded"),
        (lambda p: p.write_bytes(b""), "zero-byte file"),
        (lambda p: p.write_text("this is no picture"), "not an image"),
    ],
    ids=["truncated", "empty", "text"],
)
def test_unreadable_image_is_dropped(tmp_path: Path, damage: Callable[[Path], None], reason: str) -> None:
    tree = Bccd(tmp_path)
    tree.add("good", [GOOD])
    tree.add("bad", [GOOD], seed=1)
    damage(tmp_path / "BCCD/JPEGImages/bad.jpg")
    tables = read("bccd", tmp_path)
    assert tables.index["image_id"].tolist() == ["bccd/BCCD/JPEGImages/good"]
    assert len(tables.annotations) == 1
    assert [reason in text for text in reasons(tables)] == [True]


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_colour_modes_are_converted_and_said(tmp_path: Path, mode: str) -> None:
    tree = Bccd(tmp_path)
    tree.add("odd", [GOOD])
    jpeg_of(mode)(tmp_path / "BCCD/JPEGImages/odd.jpg")
    tables = read("bccd", tmp_path)
    assert reasons(tables, "repaired") == [f"converted from mode {mode} to 8-bit RGB"]
    assert read_rgb(tmp_path / "BCCD/JPEGImages/odd.jpg").shape == (48, 64, 3)


def test_sixteen_bit_image_keeps_its_range(tmp_path: Path) -> None:
    tree = Bccd(tmp_path)
    tree.label("deep", voc([GOOD]))
    grey = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)
    path = tmp_path / "BCCD/JPEGImages/deep.png"
    Image.fromarray(grey).save(path)
    assert "converted from mode I;16" in reasons(read("bccd", tmp_path), "repaired")[0]
    rgb = read_rgb(path)
    assert (rgb.min(), rgb.max()) == (0, 255)
    assert 120 <= np.median(rgb) <= 135


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    tree = Bccd(tmp_path)
    image = picture(width=48, height=64)
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees to view
    path = tmp_path / "BCCD/JPEGImages/turned.jpg"
    image.save(path, exif=exif)
    tree.label("turned", voc([GOOD], size=(64, 48)))
    tables = read("bccd", tmp_path)
    assert tables.index[["width_px", "height_px"]].to_numpy().tolist() == [[64, 48]]
    assert read_rgb(path).shape == (48, 64, 3)
    assert "EXIF orientation 6 applied" in reasons(tables, "repaired")[0]


def test_png_named_jpg_is_read_and_noted(tmp_path: Path) -> None:
    chula(tmp_path, {"1": "10 10 0\n"})
    buffer = io.BytesIO()
    picture().save(buffer, "PNG")
    (tmp_path / "Dataset/1.jpg").write_bytes(buffer.getvalue())
    tables = read("chula", tmp_path)
    assert len(tables.index) == 1
    assert reasons(tables, "noted") == ["content is PNG, name says .jpg"]


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        (("RBC", 20, 3, 2, 30), "inverted box"),
        (("RBC", 5, 5, 5, 30), "zero-area box"),
        (("RBC", 500, 500, 600, 600), "outside the image"),
        (("RBC", "x", 3, 20, 30), "not a number"),
        (("RBC", "nan", 3, 20, 30), "not a number"),
        (("RBC", "inf", 3, 20, 30), "not a number"),
        (("Blob", 2, 3, 20, 30), "unknown label 'Blob'"),
        (("", 2, 3, 20, 30), "without a name"),
    ],
)
def test_bad_box_is_dropped_with_its_row(
    tmp_path: Path, box: tuple[str, object, object, object, object], reason: str
) -> None:
    Bccd(tmp_path).add("a", [GOOD, box])
    tables = read("bccd", tmp_path)
    assert len(tables.annotations) == 1
    dropped = tables.rejects.iloc[0]
    assert reason in dropped["reason"]
    assert (dropped["row"], dropped["kind"], dropped["path"]) == (2, "annotation", "BCCD/Annotations/a.xml")


def test_box_over_the_border_is_cut(tmp_path: Path) -> None:
    Bccd(tmp_path).add("a", [("RBC", 50, 40, 90, 90)])
    tables = read("bccd", tmp_path)
    row = tables.annotations.iloc[0]
    assert [row.x_min_px, row.y_min_px, row.x_max_px, row.y_max_px] == [49, 39, 64, 48]
    assert len(reasons(tables, "repaired")) == 1


def test_voc_is_one_based(tmp_path: Path) -> None:
    Bccd(tmp_path).add("a", [("RBC", 1, 1, 64, 48)])
    row = read("bccd", tmp_path).annotations.iloc[0]
    assert [row.x_min_px, row.y_min_px, row.x_max_px, row.y_max_px] == [0, 0, 64, 48]


def test_same_cell_boxed_twice_is_merged(tmp_path: Path) -> None:
    Bccd(tmp_path).add("a", [("RBC", 2, 2, 40, 40), ("RBC", 2, 2, 40, 41), ("WBC", 2, 2, 40, 40)])
    tables = read("bccd", tmp_path)
    assert tables.annotations["label"].tolist() == ["rbc", "wbc"]
    assert len(reasons(tables, "merged")) == 1
    kept = ingest(SOURCES["bccd"], tmp_path, strict=False, merge_twins=False)
    assert len(kept.annotations) == len(tables.annotations) + 1
    assert reasons(kept, "merged") == []


WHITE, OTHER = ("WBC", 2, 3, 20, 30), ("WBC", 30, 3, 50, 30)
LISTS = {
    "as published": ',Image,Category\n,0,NEUTROPHIL\n,1,"EOSINOPHIL, EOSINOPHIL"\n,2,"NEUTROPHIL, MONOCYTE"\n,3,\n',
    "by name": "image,types\nBloodImage_00000,neutrophil\nBloodImage_00001,eosinophil;eosinophil\n"
    "BloodImage_00002,neutrophil;monocyte\n",
}


@pytest.mark.parametrize("text", LISTS.values(), ids=LISTS)
def test_white_cells_get_the_type_that_is_listed_where_it_is_clear_whose_it_is(tmp_path: Path, text: str) -> None:
    tree = Bccd(tmp_path)
    for number, boxes in enumerate(([WHITE, GOOD], [WHITE, OTHER], [WHITE, OTHER], [OTHER], [GOOD])):
        tree.add(f"BloodImage_{number:05d}", boxes, seed=number)
    (tmp_path / "labels.csv").write_text(text)
    options = SourceOptions(name="bccd", adapter="bccd", wbc_types="labels.csv")
    tables = ingest(adapter(options), tmp_path, strict=True)
    by_image = tables.annotations.groupby("image_id")["label"].agg(list).tolist()
    assert by_image == [["neutrophil", "rbc"], ["eosinophil"] * 2, ["wbc"] * 2, ["wbc"], ["rbc"]]
    assert reasons(tables, "noted") == [
        "white cells stay of no type: 2 boxes, types listed: neutrophil, monocyte",
        "white cells stay of no type: 1 boxes, types listed: none",
    ]
    assert set(read("bccd", tmp_path).annotations["label"]) == {"rbc", "wbc"}


def test_a_list_of_types_that_is_not_one_is_said(tmp_path: Path) -> None:
    Bccd(tmp_path).add("a", [WHITE])
    reader = adapter(SourceOptions(name="bccd", adapter="bccd", wbc_types="labels.csv"))
    with pytest.raises(SourceNotFoundError, match="no list of types"):
        ingest(reader, tmp_path, strict=False)
    (tmp_path / "labels.csv").write_text("file,kind\n1,x\n")
    with pytest.raises(SourceNotFoundError, match="Image and Category"):
        ingest(reader, tmp_path, strict=False)
    with pytest.raises(ValueError, match="adapter bccd"):
        SourceOptions(name="chula", adapter="chula", wbc_types="labels.csv")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<annotation><object>", "malformed XML"),
        ("<html></html>", "not a VOC file"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "malformed XML"),
    ],
)
def test_unreadable_voc_drops_its_image_too(tmp_path: Path, text: str, reason: str) -> None:
    tree = Bccd(tmp_path)
    tree.add("good", [GOOD])
    tree.image("bad", 1)
    tree.label("bad", text)
    tables = read("bccd", tmp_path)
    assert len(tables.index) == 1
    assert sorted(tables.rejects["kind"]) == ["image", "label_file"]
    assert any(reason in text for text in reasons(tables))


def test_voc_without_size_is_noted_and_used(tmp_path: Path) -> None:
    tree = Bccd(tmp_path)
    tree.image("a")
    tree.label("a", voc([GOOD], size=None))
    tables = read("bccd", tmp_path)
    assert len(tables.annotations) == 1
    assert "no usable <size>" in reasons(tables, "noted")[0]


def test_voc_of_another_size_is_dropped(tmp_path: Path) -> None:
    tree = Bccd(tmp_path)
    tree.add("good", [GOOD])
    tree.image("bad", 1)
    tree.label("bad", voc([GOOD], size=(640, 480)))
    assert "640x480" in reasons(read("bccd", tmp_path))[0]


def test_image_and_label_without_each_other(tmp_path: Path) -> None:
    tree = Bccd(tmp_path)
    tree.add("good", [GOOD])
    tree.image("lonely", 1)
    tree.label("ghost", voc([GOOD]))
    assert sorted(reasons(read("bccd", tmp_path))) == ["image without label file", "label file without image"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("10 10", "2 fields"),
        ("10 10 0 7", "4 fields"),
        ("ten 10 0", "not a number"),
        ("10 10 99", "unknown label '99'"),
        ("900 10 0", "outside the image"),
        ("nan 10 0", "position is not a number"),
    ],
)
def test_bad_chula_line_is_dropped_with_its_row(tmp_path: Path, line: str, reason: str) -> None:
    chula(tmp_path, {"1": f"10 10 0\n{line}\n20 20 7\n"})
    tables = read("chula", tmp_path)
    assert tables.annotations["label"].tolist() == ["normal_rbc", "teardrop"]
    assert reason in tables.rejects.iloc[0]["reason"]
    assert tables.rejects.iloc[0]["row"] == 2


def test_empty_chula_label_drops_the_image(tmp_path: Path) -> None:
    chula(tmp_path, {"1": "10 10 0\n", "2": ""})
    tables = read("chula", tmp_path)
    assert len(tables.index) == 1
    assert reasons(tables) == ["its label file holds no usable point"]


def test_litter_is_noted_and_never_read(tmp_path: Path) -> None:
    tree = Bccd(tmp_path)
    tree.add("a", [GOOD])
    (tmp_path / "BCCD/JPEGImages/.DS_Store").write_bytes(b"\x00\x00\x00\x01Bud1")
    (tmp_path / "__MACOSX/BCCD").mkdir(parents=True)
    (tmp_path / "__MACOSX/BCCD/._a.jpg").write_bytes(b"junk")
    tables = read("bccd", tmp_path)
    assert len(tables.index) == 1
    assert tables.rejects["kind"].tolist() == ["litter", "litter"]


def test_pbc_ids_repeat_across_folders(tmp_path: Path) -> None:
    pbc(tmp_path, ["basophil/BA_1.jpg", "eosinophil/EO_1.jpg", "neutrophil/BNE_1.jpg", "ig/XYZ_1.jpg"])
    tables = read("pbc", tmp_path)
    assert tables.annotations["label"].tolist() == ["basophil", "eosinophil", "band_neutrophil"]
    assert tables.index["image_id"].is_unique
    assert "unknown label 'XYZ'" in reasons(tables)[0]


def test_names_with_spaces_and_letters_beyond_ascii(tmp_path: Path) -> None:
    Bccd(tmp_path).add("Blut Ausstrich é ü 血", [GOOD])
    assert len(read("bccd", tmp_path).annotations) == 1


def test_two_images_of_one_name(tmp_path: Path) -> None:
    tree = Bccd(tmp_path)
    tree.add("a", [GOOD])
    tree.image("a", 1, ".png")
    tables = read("bccd", tmp_path)
    assert len(tables.index) == 1
    assert "second file of the name" in reasons(tables)[0]


def test_missing_folder_names_folder_and_remedy(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="is missing") as caught:
        read("bccd", tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in str(caught.value)
    assert "git clone" in str(caught.value)


def test_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="is empty"):
        read("chula", tmp_path)


def test_folder_of_nothing_usable_says_why(tmp_path: Path) -> None:
    tree = Bccd(tmp_path)
    tree.image("a")
    with pytest.raises(SourceNotFoundError, match="image without label file"):
        read("bccd", tmp_path)


def test_strict_raises_at_the_first_bad_thing(tmp_path: Path) -> None:
    Bccd(tmp_path).add("a", [GOOD, ("Blob", 2, 3, 20, 30)])
    with pytest.raises(BadInputError, match=r"row 2"):
        read("bccd", tmp_path, strict=True)


def test_official_lists_are_kept(tmp_path: Path) -> None:
    tree = Bccd(tmp_path)
    for seed, name in enumerate(("a", "b", "c")):
        tree.add(name, [GOOD], seed)
    (tmp_path / "BCCD/ImageSets/Main/train.txt").write_text("a\n")
    (tmp_path / "BCCD/ImageSets/Main/test.txt").write_text("b\n")
    splits = read("bccd", tmp_path).index["official_split"]
    assert splits.iloc[:2].tolist() == ["train", "test"]
    assert pd.isna(splits.iloc[2])
