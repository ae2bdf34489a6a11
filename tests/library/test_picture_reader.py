"""The one reader of pictures: what strangers' files of each kind come out as, and which are refused."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from blood_kedro.library.core.errors import BadInputError
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.imaging import files, large
from blood_kedro.library.imaging.large import image_files, opened, pixels_of
from blood_kedro.library.imaging.read import decode, inspect_image, read_grey, read_rgb, size_of
from blood_kedro.library.imaging.tiff import map_tiff

SHAPE = (24, 30)


@pytest.fixture
def rgb() -> np.ndarray:
    """A bright picture in which no two channels, rows or columns are alike."""
    made = np.random.default_rng(0).integers(60, 250, (*SHAPE, 3)).astype(np.uint8)
    made[0, 0] = 255
    return made


@pytest.fixture
def grey(rgb: np.ndarray) -> np.ndarray:
    return rgb[..., 1].copy()


def of_grey(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def tiff(path: Path, values: np.ndarray, **options: object) -> Path:
    options.setdefault("photometric", "rgb" if values.ndim >= 3 and values.shape[-1] in {3, 4} else "minisblack")
    tifffile.imwrite(path, values, **options)
    return path


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *before: tuple[bytes, bytes]) -> bytes:
    """A PNG, chunk by chunk; `before` stand between its header and its pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = [(b"IHDR", head), *before, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def deep_png(values: np.ndarray, colour: int, *before: tuple[bytes, bytes]) -> bytes:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png(values.shape[1], values.shape[0], 16, colour, rows, *before)


# Range of values


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("coloured", [False, True])
def test_bits_in_sixteen_give_what_eight_give(tmp_path: Path, rgb: np.ndarray, bits: int, coloured: bool) -> None:
    eight = rgb if coloured else rgb[..., 1]
    made = decode(tiff(tmp_path / "a.tif", eight.astype(np.uint16) << (bits - 8)))
    assert np.array_equal(made.rgb, eight if coloured else of_grey(eight))
    assert f"{bits} bits" in made.levels


def test_bits_that_are_filled_from_the_top_are_sixteen(tmp_path: Path, grey: np.ndarray) -> None:
    path = tiff(tmp_path / "a.tif", (grey.astype(np.uint16) << 4) << 4)
    assert np.array_equal(read_rgb(path), of_grey(grey))


@pytest.mark.parametrize(
    ("scaled", "said"),
    [
        (lambda v: v / np.float32(255), "0 to 1,"),
        (lambda v: v.astype(np.float32), "0 to 255,"),
        (lambda v: v.astype(np.float64) * 257, "16 bits"),
        (lambda v: v.astype(np.int16) << 4, "12 bits"),
        (lambda v: v.astype(np.uint32), "8 bits"),
    ],
    ids=["share", "float", "double", "signed", "32 bits"],
)
def test_other_types_keep_their_range(
    tmp_path: Path, grey: np.ndarray, scaled: Callable[[np.ndarray], np.ndarray], said: str
) -> None:
    made = decode(tiff(tmp_path / "a.tif", scaled(grey)))
    assert np.array_equal(made.rgb, of_grey(grey))
    assert said in made.levels


@pytest.mark.parametrize(
    "scaled", [lambda v: v * 1e-4, lambda v: v - 3000.0, lambda v: v * 1e6], ids=["tiny", "negative", "huge"]
)
def test_values_of_no_usual_range_are_stretched_and_that_is_said(
    tmp_path: Path, grey: np.ndarray, scaled: Callable[[np.ndarray], np.ndarray]
) -> None:
    made = decode(tiff(tmp_path / "a.tif", scaled(grey.astype(np.float32)).astype(np.float32)))
    assert "no usual range" in made.levels
    assert made.rgb.max() == 255
    assert np.corrcoef(made.rgb[..., 0].ravel(), grey.ravel())[0, 1] > 0.999


def test_a_hot_pixel_does_not_make_twelve_bits_sixteen(tmp_path: Path) -> None:
    values = np.full((200, 200), 3600, np.uint16)
    values[3, 3] = 65535
    made = decode(tiff(tmp_path / "a.tif", values))
    assert made.rgb[0, 0, 0] == 3600 >> 4


def test_a_range_that_is_declared_comes_before_one_that_is_found(tmp_path: Path, grey: np.ndarray) -> None:
    dim = (grey // 8).astype(np.uint16) << 4  # looks like 10 bits
    plain = decode(tiff(tmp_path / "plain.tif", dim))
    assert "10 bits" in plain.levels
    tag = decode(tiff(tmp_path / "tag.tif", dim, extratags=[(281, 3, 1, 4095, True)]))
    ome = decode(tiff(tmp_path / "ome.tif", dim, ome=True, metadata={"axes": "YX", "SignificantBits": 12}))
    path = tmp_path / "a.png"
    path.write_bytes(deep_png(dim, 0, (b"sBIT", bytes([12]))))
    for made in (tag, ome, decode(path)):
        assert np.array_equal(made.rgb, of_grey(dim >> 4))
        assert "declares" in made.levels
    # Programs declare the bits of the type where they do not know those of the camera.
    told = decode(tiff(tmp_path / "b.tif", grey.astype(np.uint16) << 4, extratags=[(281, 3, 1, 65535, True)]))
    assert np.array_equal(told.rgb, of_grey(grey))
    wrong = decode(tiff(tmp_path / "c.tif", grey.astype(np.uint16) << 4, extratags=[(281, 3, 1, 255, True)]))
    assert np.array_equal(wrong.rgb, of_grey(grey))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(tmp_path: Path, bad: float) -> None:
    values = np.ones(SHAPE, np.float32)
    values[2, 3] = bad
    with pytest.raises(BadInputError, match="no finite numbers"):
        read_rgb(tiff(tmp_path / "a.tif", values))
    with pytest.raises(BadInputError, match="complex64"):
        read_rgb(tiff(tmp_path / "b.tif", np.ones(SHAPE, np.complex64)))


@pytest.mark.parametrize("colour", [0, 2, 4, 6])
def test_png_of_sixteen_bits_keeps_twelve(tmp_path: Path, rgb: np.ndarray, colour: int) -> None:
    samples = {0: rgb[..., :1], 2: rgb, 4: rgb[..., :1], 6: rgb}[colour].astype(np.uint16) << 4
    if colour in {4, 6}:
        samples = np.concatenate([samples, np.full((*SHAPE, 1), 65535, np.uint16)], axis=2)
    path = tmp_path / "a.png"
    path.write_bytes(deep_png(samples, colour))
    made = decode(path)
    assert np.array_equal(made.rgb, rgb if colour in {2, 6} else of_grey(rgb[..., 0]))
    assert "12 bits" in made.levels


# Planes, pages, pyramids


@pytest.mark.parametrize("depth", [0, 4])
@pytest.mark.parametrize(
    "options",
    [
        {"photometric": "rgb", "planarconfig": "separate"},
        {"photometric": "rgb", "planarconfig": "separate", "compression": "zlib", "tile": (16, 16)},
        {"photometric": "rgb", "planarconfig": "separate", "rowsperstrip": 5},
        {"imagej": True, "metadata": {"axes": "CYX"}},
        {"ome": True, "metadata": {"axes": "CYX"}},
        {"ome": True, "metadata": {"axes": "CYX"}, "compression": "zlib"},
        {"ome": True, "metadata": {"axes": "CYX"}, "tile": (16, 16)},
    ],
    ids=["planar", "planar packed", "planar strips", "imagej", "ome", "ome packed", "ome tiles"],
)
def test_planes_become_colour(tmp_path: Path, rgb: np.ndarray, options: dict[str, object], depth: int) -> None:
    values = np.moveaxis(rgb, -1, 0)
    values = values.astype(np.uint16) << depth if depth else values
    assert np.array_equal(read_rgb(tiff(tmp_path / "a.tif", np.ascontiguousarray(values), **options)), rgb)


def test_an_array_with_its_planes_first_is_colour(tmp_path: Path, rgb: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ascontiguousarray(np.moveaxis(rgb, -1, 0)))
    assert np.array_equal(read_rgb(tmp_path / "a.tif"), rgb)


def test_channels_are_joined_by_their_names(tmp_path: Path, rgb: np.ndarray) -> None:
    planes = np.ascontiguousarray(np.moveaxis(rgb[..., ::-1], -1, 0))
    names = ["Blue", "Green", "Red"]
    ome = tiff(tmp_path / "a.tif", planes, ome=True, metadata={"axes": "CYX", "Channel": {"Name": names}})
    imagej = tiff(tmp_path / "b.tif", planes, imagej=True, metadata={"axes": "CYX", "Labels": names})
    assert np.array_equal(read_rgb(ome), rgb)
    assert np.array_equal(read_rgb(imagej), rgb)


def test_other_channels_are_refused(tmp_path: Path, grey: np.ndarray) -> None:
    for count in (2, 4, 5):
        values = np.stack([grey] * count)
        path = tiff(tmp_path / f"{count}.tif", values, imagej=True, metadata={"axes": "CYX"}, photometric="minisblack")
        with pytest.raises(BadInputError, match=f"{count} channels"):
            read_rgb(path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "2 of 3 pages"),
        ({"compression": "zlib"}, "2 of 3 pages"),
        ({"imagej": True, "metadata": {"axes": "ZYXS"}}, "2 of 3 focal planes"),
        ({"imagej": True, "metadata": {"axes": "TYXS"}}, "2 of 3 times"),
        ({"ome": True, "metadata": {"axes": "ZYXS"}}, "2 of 3 focal planes"),
    ],
    ids=["pages", "packed", "imagej z", "imagej t", "ome z"],
)
def test_of_several_pages_the_first_is_read_and_that_is_said(
    tmp_path: Path, rgb: np.ndarray, options: dict[str, object], said: str
) -> None:
    stack = np.stack([rgb, 255 - rgb, rgb // 2])
    made = decode(tiff(tmp_path / "a.tif", stack, **options))
    assert np.array_equal(made.rgb, rgb)
    assert said in made.unused[0]
    assert "the first is read" in made.unused[0]


def test_stacks_of_channels_and_planes(tmp_path: Path, rgb: np.ndarray) -> None:
    planes = np.moveaxis(rgb, -1, 0)
    values = np.stack([planes, 255 - planes])
    path = tiff(tmp_path / "a.tif", values, imagej=True, metadata={"axes": "ZCYX"}, photometric="minisblack")
    made = decode(path)
    assert np.array_equal(made.rgb, rgb)
    assert any("1 of 2 focal planes" in each for each in made.unused)


def test_pages_of_other_programs(tmp_path: Path, rgb: np.ndarray) -> None:
    pages = [Image.fromarray(each) for each in (rgb, 255 - rgb)]
    for packed in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        path = tmp_path / f"{packed}.tif"
        pages[0].save(path, save_all=True, append_images=pages[1:], compression=packed)
        made = decode(path)
        assert np.array_equal(made.rgb, rgb)
        assert "1 of 2 pages" in made.unused[0]


def test_of_a_pyramid_the_full_picture_is_read(tmp_path: Path, rgb: np.ndarray) -> None:
    with tifffile.TiffWriter(tmp_path / "sub.tif") as writer:
        writer.write(rgb, photometric="rgb", subifds=1, tile=(16, 16))
        writer.write(rgb[::2, ::2], photometric="rgb", subfiletype=1, tile=(16, 16))
    with tifffile.TiffWriter(tmp_path / "pages.tif") as writer:
        writer.write(rgb, photometric="rgb")
        writer.write(rgb[::2, ::2], photometric="rgb", subfiletype=1)
    with tifffile.TiffWriter(tmp_path / "thumbnail.tif") as writer:
        writer.write(rgb[::2, ::2], photometric="rgb", subfiletype=1)
        writer.write(rgb, photometric="rgb")
    with tifffile.TiffWriter(tmp_path / "rising.tif") as writer:
        writer.write(np.ascontiguousarray(rgb[::2, ::2]), photometric="rgb", metadata=None)
        writer.write(rgb, photometric="rgb", metadata=None)
    with tifffile.TiffWriter(tmp_path / "label.tif") as writer:  # slide scanners add pictures of the label
        writer.write(rgb, photometric="rgb", metadata=None)
        writer.write(np.zeros((60, 10, 3), np.uint8), photometric="rgb", metadata=None)
    for path in sorted(tmp_path.iterdir()):
        made = decode(path)
        assert np.array_equal(made.rgb, rgb), path.name
        assert "1 smaller or other pictures" in made.unused[0]
        assert size_of(path) == (30, 24)


def test_an_ome_file_opens_no_other_file(tmp_path: Path, grey: np.ndarray) -> None:
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="P:0" DimensionOrder="XYZCT" Type="uint8" SizeX="30" SizeY="24" SizeZ="1" SizeC="1" SizeT="1">'
        '<TiffData IFD="0"><UUID FileName="other.tif">urn:uuid:1</UUID></TiffData></Pixels></Image></OME>'
    )
    tiff(tmp_path / "other.tif", grey // 2)
    path = tiff(tmp_path / "a.tif", grey, description=xml, metadata=None)
    try:
        assert np.array_equal(read_rgb(path), of_grey(grey))
    except BadInputError as error:
        assert "another file" in error.what or "TIFF" in error.what


# Orientation


def viewed(rgb: np.ndarray, orientation: int) -> np.ndarray:
    """By hand, from the table of TIFF 6: where row 0 and column 0 of what is stored are seen."""
    turn = {
        1: rgb,
        2: np.fliplr(rgb),
        3: np.rot90(rgb, 2),
        4: np.flipud(rgb),
        5: np.transpose(rgb, (1, 0, 2)),
        6: np.rot90(rgb, -1),
        7: np.rot90(np.transpose(rgb, (1, 0, 2)), 2),
        8: np.rot90(rgb),
    }
    return turn[orientation]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_the_same_whichever_way_a_file_is_read(
    tmp_path: Path, rgb: np.ndarray, orientation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = {"extratags": [(274, 3, 1, orientation, True)]}
    wanted = viewed(rgb, orientation)
    paths = [
        tiff(tmp_path / "plain.tif", rgb, **tag),
        tiff(tmp_path / "packed.tif", rgb, compression="zlib", **tag),
        tiff(tmp_path / "tiles.tif", rgb, tile=(16, 16), **tag),
        tiff(tmp_path / "deep.tif", rgb.astype(np.uint16) << 4, **tag),
        tiff(
            tmp_path / "planes.tif",
            np.ascontiguousarray(np.moveaxis(rgb, -1, 0)),
            planarconfig=2,
            **tag | {"photometric": "rgb"},
        ),
    ]
    for packed in ("tiff_lzw", "packbits"):
        paths.append(tmp_path / f"{packed}.tif")
        Image.fromarray(rgb).save(paths[-1], compression=packed, tiffinfo={274: orientation})
    exif = Image.Exif()
    exif[274] = orientation
    for name in ("a.png", "a.webp"):
        paths.append(tmp_path / name)
        Image.fromarray(rgb).save(paths[-1], exif=exif, **({"lossless": True} if name == "a.webp" else {}))
    for path in paths:
        assert np.array_equal(read_rgb(path), wanted), path.name
        assert size_of(path) == wanted.shape[1::-1], path.name
    Image.fromarray(np.kron(rgb, np.ones((8, 8, 1), np.uint8))).save(tmp_path / "a.jpg", exif=exif, quality=95)
    plain = cv2.resize(read_rgb(tmp_path / "a.jpg"), wanted.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(plain.astype(int) - wanted).mean() < 6
    monkeypatch.setattr(large, "_UNPACKED_PIXELS", 10)
    for path in paths:
        found = opened(path, tmp_path / "work", RejectLog("t"))
        assert found is not None
        assert (found.width_px, found.height_px) == wanted.shape[1::-1]
        assert np.array_equal(pixels_of(found.file), wanted), path.name
    assert map_tiff(tmp_path / "plain.tif") is not None
    assert map_tiff(tmp_path / "packed.tif") is None


# Colour models


def test_negatives_bilevel_palettes_and_transparency(tmp_path: Path, rgb: np.ndarray, grey: np.ndarray) -> None:
    for name, options in (("a", {}), ("b", {"compression": "zlib"})):
        negative = tiff(tmp_path / f"{name}.tif", 255 - grey, photometric="miniswhite", **options)
        assert np.array_equal(read_rgb(negative), of_grey(grey))
    deep = tiff(tmp_path / "c.tif", 65535 - (grey.astype(np.uint16) * 257), photometric="miniswhite")
    assert np.array_equal(read_rgb(deep), of_grey(grey))
    shown = Image.fromarray(rgb).quantize(64)
    for name, packed in (("d", None), ("e", "tiff_lzw")):
        shown.save(tmp_path / f"{name}.tif", compression=packed)
        assert np.array_equal(read_rgb(tmp_path / f"{name}.tif"), np.asarray(shown.convert("RGB")))
    bits = Image.fromarray(grey > 150)
    for name, packed in (("f", None), ("g", "group4")):
        bits.save(tmp_path / f"{name}.tif", compression=packed)
        assert np.array_equal(read_rgb(tmp_path / f"{name}.tif"), of_grey((grey > 150) * np.uint8(255)))
    cmyk = Image.fromarray(rgb).convert("CMYK")
    cmyk.save(tmp_path / "h.tif")
    assert np.array_equal(read_rgb(tmp_path / "h.tif"), np.asarray(cmyk.convert("RGB")))


@pytest.mark.parametrize("deep", [False, True])
def test_what_is_transparent_is_white(tmp_path: Path, rgb: np.ndarray, deep: bool) -> None:
    alpha = np.full((*SHAPE, 1), 255, np.uint8)
    alpha[:, :10] = 0
    values = np.concatenate([rgb, alpha], axis=2)
    wanted = rgb.copy()
    wanted[:, :10] = 255
    stored = values.astype(np.uint16) << 4 if deep else values
    assert np.array_equal(read_rgb(tiff(tmp_path / "a.tif", stored, extrasamples=["unassalpha"])), wanted)
    stored = np.concatenate([stored[..., :3] * (alpha > 0), stored[..., 3:]], axis=2)
    assert np.array_equal(read_rgb(tiff(tmp_path / "b.tif", stored, extrasamples=["assocalpha"])), wanted)
    # A fourth value that is no transparency, and transparency that hides all, change nothing.
    other = decode(tiff(tmp_path / "c.tif", stored, extrasamples=["unspecified"]))
    assert np.array_equal(other.rgb[:, 10:], rgb[:, 10:])
    assert "1 further values" in other.unused[0]
    values[..., 3] = 0
    for path in (tmp_path / "d.png", tmp_path / "d.webp"):
        Image.fromarray(values).save(path, **({"lossless": True, "exact": True} if path.suffix == ".webp" else {}))
        assert np.array_equal(read_rgb(path), rgb)
    assert np.array_equal(read_rgb(tiff(tmp_path / "d.tif", values, extrasamples=["unassalpha"])), rgb)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 2)])
def test_pictures_of_a_pixel_or_a_line(tmp_path: Path, shape: tuple[int, int]) -> None:
    values = np.random.default_rng(1).integers(100, 255, (*shape, 3)).astype(np.uint8)
    for path in (tiff(tmp_path / "a.tif", values), tiff(tmp_path / "b.tif", values, compression="zlib")):
        assert np.array_equal(read_rgb(path), values)
    for channel in (0, 1):
        assert np.array_equal(read_rgb(tiff(tmp_path / "c.tif", values[..., channel])), of_grey(values[..., channel]))
    Image.fromarray(values).save(tmp_path / "d.png")
    assert np.array_equal(read_rgb(tmp_path / "d.png"), values)


def test_moving_pictures_are_read_at_their_first(tmp_path: Path, rgb: np.ndarray) -> None:
    frames = [Image.fromarray(each) for each in (rgb, 255 - rgb)]
    for name, options in (("a.webp", {"lossless": True}), ("a.png", {})):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=100, **options)
        made = decode(tmp_path / name)
        assert np.array_equal(made.rgb, rgb)
        assert "1 of 2" in made.unused[0]


# What is refused


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    (tmp_path / "empty.jpg").touch()
    Image.new("RGB", (20, 20), "white").save(tmp_path / "good.png")
    (tmp_path / os.fsdecode(b"\xff\xfe.png")).write_bytes((tmp_path / "good.png").read_bytes())
    rejects = RejectLog("own")
    assert [path.name for path in image_files([tmp_path], rejects)] == ["good.png"]
    said = {Path(str(row["path"])).name: str(row["reason"]) for row in rejects.rows}
    assert all(row["action"] == "dropped" for row in rejects.rows)
    assert said == {
        "folder.jpg": "not a file but a folder",
        "pipe.jpg": "not a file but a pipe",
        "loop.jpg": "file cannot be opened: Too many levels of symbolic links",
        "gone.jpg": "file cannot be opened: No such file or directory",
        "device.jpg": "not a file but a device",
        "empty.jpg": "zero-byte file",
        "\\xff\\xfe.png": "the name of the file, or of its folder, is not UTF-8",
    }
    for name in ("folder.jpg", "pipe.jpg", "loop.jpg", "gone.jpg", "device.jpg", "empty.jpg"):
        for read in (read_rgb, read_grey, inspect_image, size_of):
            with pytest.raises(BadInputError):
                read(tmp_path / name)
        assert opened(tmp_path / name, tmp_path / "work", rejects) is None


def header_of_tiff(width: int, height: int, compression: int = 1) -> bytes:
    tags = {256: width, 257: height, 258: 8, 259: compression, 262: 1, 273: 8, 277: 1, 278: height, 279: 100}
    entries = b"".join(struct.pack("<HHII", code, 4, 1, value) for code, value in tags.items())
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + b"\0\0\0\0"


def bmp(width: int, height: int) -> bytes:
    return struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    "content",
    [
        png(60_000, 60_000, 8, 2, b""),
        png(2**31 - 1, 2**31 - 1, 8, 2, b""),
        header_of_tiff(60_000, 60_000),
        header_of_tiff(60_000, 60_000, 5),
        header_of_tiff(60_000, 60_000, 8),
        header_of_tiff(2**31, 2**31),
        bmp(60_000, 60_000),
    ],
    ids=["png", "largest png", "tiff", "lzw", "deflate", "largest tiff", "bmp"],
)
def test_a_picture_that_is_too_large_is_refused_by_its_header(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / ("a.tif" if content[:2] == b"II" else "a.png")
    path.write_bytes(content)
    rejects = RejectLog("own")
    assert opened(path, tmp_path / "work", rejects) is None
    for read in (read_rgb, inspect_image, size_of):
        with pytest.raises(BadInputError, match=r"too large|exceeds limit|limit of"):
            read(path)


@pytest.mark.parametrize("compression", [1, 5, 8])
def test_a_header_without_its_pixels_is_refused(tmp_path: Path, compression: int) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(header_of_tiff(20_000, 20_000, compression))
    with pytest.raises(BadInputError):
        read_rgb(path)


def test_the_limit_is_one(tmp_path: Path, rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_PIXELS", 700)
    for name in ("a.png", "a.jpg", "a.bmp", "a.webp", "a.tif"):
        Image.fromarray(rgb).save(tmp_path / name)
        with pytest.raises(BadInputError, match="too large: 30x24 px, at most 700"):
            read_rgb(tmp_path / name)


def test_bombs_are_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_bytes(
        png(10, 10, 8, 0, bytes(110), (b"zTXt", b"a\0\0" + zlib.compress(bytes(100_000_000), 9)))
    )
    head = header_of_tiff(16, 16, 8)
    packed = zlib.compress(bytes(50_000_000), 9)
    (tmp_path / "strip.tif").write_bytes(
        head.replace(struct.pack("<HHII", 273, 4, 1, 8), struct.pack("<HHII", 273, 4, 1, len(head))).replace(
            struct.pack("<HHII", 279, 4, 1, 100), struct.pack("<HHII", 279, 4, 1, len(packed))
        )
        + packed
    )
    for name, reason in (("text.png", "cannot be decoded"), ("strip.tif", "unpacks to more")):
        with pytest.raises(BadInputError, match=reason):
            read_rgb(tmp_path / name)


def test_a_file_that_ends_early_is_refused(tmp_path: Path, rgb: np.ndarray) -> None:
    large_rgb = np.kron(rgb, np.ones((6, 6, 1), np.uint8))
    for name in ("a.jpg", "a.png", "a.bmp", "a.webp"):
        Image.fromarray(large_rgb).save(tmp_path / name)
    tiff(tmp_path / "a.tif", large_rgb)
    tiff(tmp_path / "b.tif", large_rgb, compression="zlib", rowsperstrip=8)
    tiff(tmp_path / "c.tif", large_rgb, tile=(16, 16))
    Image.fromarray(large_rgb).save(tmp_path / "d.tif", compression="tiff_lzw")
    for path in sorted(tmp_path.iterdir()):
        content = path.read_bytes()
        for share in (0.3, 0.6, 0.9, 0.98):
            path.write_bytes(content[: int(len(content) * share)])
            with pytest.raises(BadInputError):
                read_rgb(path)


def test_damaged_files_give_pixels_or_an_error_of_ours(tmp_path: Path, rgb: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    made: dict[str, bytes] = {}
    for name, form in (("a.jpg", "JPEG"), ("a.png", "PNG"), ("a.bmp", "BMP"), ("a.webp", "WEBP")):
        stream = io.BytesIO()
        Image.fromarray(rgb).save(stream, form)
        made[name] = stream.getvalue()
    for name, options in (
        ("a.tif", {}),
        ("b.tif", {"compression": "zlib"}),
        ("c.tif", {"tile": (16, 16)}),
        ("d.tif", {"ome": True}),
        ("e.tif", {"imagej": True}),
    ):
        made[name] = tiff(tmp_path / name, rgb, **options).read_bytes()
    for name, content in made.items():
        for _ in range(30):
            damaged = bytearray(content)
            for place in rng.integers(0, len(content), rng.integers(1, 8)):
                damaged[place % (200 if rng.random() < 0.7 else len(content))] = rng.integers(256)
            path = tmp_path / name
            path.write_bytes(damaged)
            for read in (read_rgb, inspect_image, size_of):
                try:
                    read(path)
                except BadInputError as error:
                    assert error.what
