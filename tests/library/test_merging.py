"""Algorithm 2, duplicates and the split, on cases with known answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from blood_kedro.library.core.errors import DataContractError
from blood_kedro.library.core.groups import Groups
from blood_kedro.library.core.schemas import DuplicatePairs, ImageGroups, conform
from blood_kedro.library.merging.describe import class_table, composition, to_coco
from blood_kedro.library.merging.duplicates import duplicate_groups, find_duplicates
from blood_kedro.library.merging.merge import Merged, merge_sources
from blood_kedro.library.merging.options import DuplicateOptions, MergingOptions
from blood_kedro.library.merging.split import leak, split_images
from blood_kedro.library.merging.thumbnails import make_thumbnails


class Corpus:
    """Standardized sources under construction: canvases of 512 px without padding."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.annotations: dict[str, list[dict[str, Any]]] = {}
        self.metadata: dict[str, dict[str, dict[str, Any]]] = {}

    def add(self, source: str, name: str, canvas: np.ndarray, cells: list[tuple[str, int, int]], **facts: Any) -> str:
        """Cells are (label, x centre, y centre) of 40 px boxes; a label that starts with ~ is unlabelled."""
        image_id = f"{source}/{name}"
        folder = self.root / source / "images"
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{name}.png"), canvas)
        self.metadata.setdefault(source, {})[f"{name}.png"] = {
            "image_id": image_id,
            "source": source,
            "path": f"{name}.jpg",
            "width_px": 512,
            "height_px": 512,
            "sha256": "0" * 64,
            "group_id": None,
            "official_split": None,
            "new_size_px": [512, 512],
            **facts,
        }
        rows = self.annotations.setdefault(source, [])
        for number, (label, x, y) in enumerate(cells):
            rows.append(
                {
                    "annotation_id": f"{image_id}#{number}",
                    "image_id": image_id,
                    "label_raw": label,
                    "label": label.lstrip("~"),
                    "x_min_px": x - 20.0,
                    "y_min_px": y - 20.0,
                    "x_max_px": x + 20.0,
                    "y_max_px": y + 20.0,
                    "box_origin": "annotated",
                    "ignore": label.startswith("~"),
                }
            )
        return image_id

    def merge(self, out: Path, **options: Any) -> Merged:
        return merge_sources(
            {source: pd.DataFrame(rows) for source, rows in self.annotations.items()},
            self.metadata,
            {source: self.root / source for source in self.annotations},
            out,
            MergingOptions(view="full", min_class_count=0, **options),
            seed=1,
        )


def field(seed: int, size: int = 1200, cells: int = 160) -> np.ndarray:
    """A large field of drawn cells, to be photographed in parts."""
    rng = np.random.default_rng(seed)
    canvas = np.full((size, size, 3), (215, 220, 225), np.uint8)
    for x, y, r in zip(*rng.integers(0, size, (2, cells)), rng.integers(16, 30, cells), strict=True):
        cv2.circle(canvas, (int(x), int(y)), int(r), (120, 110, int(rng.integers(150, 200))), -1)
    return canvas


def photograph(view: np.ndarray, x: int, y: int, noise: int = 0) -> np.ndarray:
    part = view[y : y + 512, x : x + 512].astype(np.int16)
    return np.clip(part + np.random.default_rng(noise).integers(-3, 4, part.shape), 0, 255).astype(np.uint8)


def test_shifted_fields_are_found_and_others_are_not(tmp_path: Path) -> None:
    view = field(0)
    shots = {"a": (0, 0), "b": (180, 60), "c": (330, 330), "d": (688, 688)}  # d shows nothing of a
    corpus = Corpus(tmp_path)
    for name, (x, y) in shots.items():
        corpus.add("bccd", name, photograph(view, x, y, noise=x), [("rbc", 100, 100)])
    for n in range(1, 9):
        corpus.add("bccd", f"other{n}", photograph(field(n), 0, 0), [("rbc", 100, 100)])
    pairs = corpus.merge(tmp_path / "out").pairs
    found = {(a.split("/")[1], b.split("/")[1]) for a, b in zip(pairs["image_a"], pairs["image_b"], strict=True)}
    assert {("a", "b"), ("b", "c")} <= found
    assert not any(name.startswith("other") for pair in found for name in pair)
    assert set(pairs["kind"]) == {"shifted_field"}


@pytest.mark.parametrize("turn", range(8))
def test_copies_that_were_turned_stretched_and_recoloured_are_found(tmp_path: Path, turn: int) -> None:
    """As in sets that are made of others' images: no hash and no shift finds them."""
    fields = [field(seed)[:480, :640] for seed in range(4)]
    copy = np.rot90(cv2.resize(fields[0], (416, 416)), turn % 4)
    copy = copy[:, ::-1] if turn >= 4 else copy
    hsv = cv2.cvtColor(np.ascontiguousarray(copy), cv2.COLOR_RGB2HSV).astype(int)
    hsv[..., 0], hsv[..., 2] = (hsv[..., 0] + 12) % 180, np.clip(hsv[..., 2] * 0.8, 0, 255)
    pictures = [*fields, cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)]
    paths, sizes = [], []
    for number, picture in enumerate(pictures):
        canvas = np.zeros((640, 640, 3), np.uint8)
        top, left = ((640 - side) // 2 for side in picture.shape[:2])
        canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        paths.append(tmp_path / f"{number}.png")
        cv2.imwrite(str(paths[-1]), canvas[..., ::-1])
        sizes.append((picture.shape[1], picture.shape[0]))
    names = list("abcde")
    pairs = find_duplicates(names, ["x"] * 4 + ["y"], make_thumbnails(paths, sizes), DuplicateOptions())
    assert [(row.image_a, row.image_b) for row in pairs.itertuples()] == [("a", "e")]


def test_groups_are_transitive_and_join_slides() -> None:
    ids = ["a", "b", "c", "d", "e", "f"]
    row = {"kind": "near_hash", "similarity": 1.0, "overlap_share": 1.0}
    pairs = conform(DuplicatePairs, [{"image_a": "a", "image_b": "b", **row}, {"image_a": "b", "image_b": "c", **row}])
    groups = duplicate_groups(ids, pairs, [None, None, None, "slide", "slide", None])
    assert groups == ["a", "a", "a", "d", "d", "f"]


def test_equal_pixels_and_near_hashes(tmp_path: Path) -> None:
    canvas = photograph(field(3), 0, 0)
    brighter = np.clip(canvas.astype(int) + 4, 0, 255).astype(np.uint8)
    paths = []
    for name, pixels in {"a": canvas, "b": canvas, "c": brighter}.items():
        paths.append(tmp_path / f"{name}.png")
        cv2.imwrite(str(paths[-1]), pixels)
    thumbnails = make_thumbnails(paths, [(512, 512)] * 3)
    # across sources too: a and c are of different ones
    pairs = find_duplicates(["a", "b", "c"], ["x", "x", "y"], thumbnails, DuplicateOptions())
    kinds = {(p.image_a, p.image_b): p.kind for p in pairs.itertuples()}
    assert kinds[("a", "b")] == "same_pixels"
    assert kinds[("a", "c")] == "near_hash"


def test_identical_images_are_merged_with_the_labels_of_both(tmp_path: Path) -> None:
    canvas = photograph(field(5), 0, 0)
    corpus = Corpus(tmp_path)
    corpus.add("chula", "first", canvas, [("normal_rbc", 100, 100), ("teardrop", 200, 200), ("~rbc", 300, 300)])
    corpus.add(
        "chula",
        "second",
        canvas,
        [("normal_rbc", 103, 101), ("burr_cell", 201, 200), ("macrocyte", 300, 302), ("spherocyte", 400, 400)],
    )
    merged = corpus.merge(tmp_path / "out")
    assert merged.index["image_id"].tolist() == ["chula/first"]
    labelled = merged.annotations[~merged.annotations["ignore"]]
    # said alike: once; unlabelled in one: labelled; only in one: kept; said differently: nobody knows
    assert sorted(labelled["label"]) == ["macrocyte", "normal_rbc", "spherocyte"]
    ignored = merged.annotations[merged.annotations["ignore"]]
    assert ignored["label"].tolist() == ["rbc"]
    assert ignored["x_min_px"].tolist() == [180]
    assert sorted(merged.rejects["kind"]) == ["annotation", "image"]
    assert set(merged.annotations["image_id"]) == {"chula/first"}
    # Algorithm 2 as published looks for no duplicates; they are found all the same, so that leaks are counted.
    kept = corpus.merge(tmp_path / "kept", duplicates=DuplicateOptions(merge_identical=False))
    assert kept.index["image_id"].tolist() == ["chula/first", "chula/second"]
    assert len(kept.annotations) == 7
    assert len(kept.rejects) == 0
    assert kept.pairs["kind"].tolist() == ["same_pixels"]


def test_global_names_are_sequential_and_files_follow(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    canvases = [photograph(field(n), 0, 0) for n in range(4)]
    for n in range(2):
        corpus.add("bccd", f"i{n}", canvases[n], [("rbc", 100, 100)])
        corpus.add("pbc", f"i{n}", canvases[n + 2], [("basophil", 250, 250)])
    corpus.add("bccd", "unlabelled", photograph(field(9), 0, 0), [])
    merged = corpus.merge(tmp_path / "out")
    assert merged.index["global_id"].tolist() == [1, 2, 3, 4]
    assert merged.index["file_name"].tolist() == ["000001.png", "000002.png", "000003.png", "000004.png"]
    assert merged.index["source"].tolist() == ["bccd", "bccd", "pbc", "pbc"]
    for name, canvas in zip(merged.index["file_name"], canvases, strict=True):
        assert (cv2.imread(str(tmp_path / "out/images" / name)) == canvas).all()
    assert composition(merged.index, merged.annotations).to_dict("records") == [
        {"source": "bccd", "images": 2, "annotations": 2},
        {"source": "pbc", "images": 2, "annotations": 2},
        {"source": "total", "images": 4, "annotations": 4},
    ]
    assert class_table(merged.index, merged.annotations)["total"].sum() == 4
    again = corpus.merge(tmp_path / "out")  # a second run over its own output
    pd.testing.assert_frame_equal(again.index, merged.index)


def test_every_image_has_a_group_and_a_part(tmp_path: Path) -> None:
    """Copies that the corpus drops, and images without labels, too: other pipelines read them."""
    views = [field(0), *(field(n, size=520, cells=40) for n in range(1, 24))]
    corpus = Corpus(tmp_path)
    twin = photograph(views[0], 0, 0)
    corpus.add("chula", "a_unlabelled_copy", twin, [])
    corpus.add("chula", "first", twin, [("rbc", 100, 100)])
    corpus.add("chula", "second", twin, [("rbc", 200, 200)])
    corpus.add("chula", "shifted", photograph(views[0], 120, 40, noise=1), [("rbc", 100, 100)])
    corpus.add("pbc", "same_field_elsewhere", photograph(views[0], 60, 20, noise=2), [("wbc", 100, 100)])
    for n in range(1, 24):
        corpus.add("chula", f"other{n:02d}", photograph(views[n], 0, 0), [("rbc", 100, 100)])
    merged = corpus.merge(tmp_path / "out", val_fraction=0.1, parts={"val": 0.15, "test": 0.25})
    table = merged.groups.set_index("image_id")
    assert len(table) == 28
    together = table.loc[
        ["chula/a_unlabelled_copy", "chula/first", "chula/second", "chula/shifted", "pbc/same_field_elsewhere"]
    ]
    assert together["group_id"].nunique() == together["part"].nunique() == 1
    assert (table["group_id"] == "chula/first").sum() == 5
    copies = table["copy_of"].dropna().to_dict()
    assert copies == {"chula/a_unlabelled_copy": "chula/first", "chula/second": "chula/first"}
    assert "chula/first" in set(merged.index["image_id"])
    shares = table["part"].value_counts(normalize=True)
    assert shares["test"] == pytest.approx(0.25, abs=0.08)
    assert shares["val"] == pytest.approx(0.15, abs=0.08)
    # What the detector does not learn from, nothing learns from.
    for name, split in zip(merged.index["image_id"], merged.index["split"], strict=True):
        assert split == "train" or table.loc[name, "part"] == "test"
    for group, name in zip(merged.index["duplicate_group"], merged.index["image_id"], strict=True):
        assert table.loc[name, "group_id"] == group
    pd.testing.assert_frame_equal(corpus.merge(tmp_path / "out").groups, merged.groups)
    facts = Groups.of(merged.groups).facts("chula/second")
    assert facts == {"group_id": "chula/first", "part": together["part"].iloc[0]}
    with pytest.raises(DataContractError, match="not in the table of groups"):
        Groups.of(merged.groups).facts("chula/unheard_of")
    broken = merged.groups.assign(part=np.where(merged.groups["image_id"] == "chula/first", "val", "train"))
    with pytest.raises(DataContractError, match="a group has one part"):
        ImageGroups.validate(broken)


def test_what_a_part_lacks_is_said_and_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    corpus = Corpus(tmp_path)
    for n in range(12):
        corpus.add("bccd", f"i{n}", photograph(field(n), 0, 0), [("rbc", 100, 100)])
    corpus.add("pbc", "one", photograph(field(20), 0, 0), [("basophil", 250, 250)])
    notes = corpus.merge(tmp_path / "out").summary["missing_from_parts"]
    assert any("split of the corpus" in note and "no class basophil" in note for note in notes)
    assert any("split of the corpus" in note and "no source pbc" in note for note in notes)
    assert sum("parts of the groups" in note and "no source pbc" in note for note in notes) == 2
    assert set(notes) <= {record.message for record in caplog.records}


def test_rare_class_is_removed_but_its_cells_stay_ignored(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    cells = [("rbc", 100, 100), ("rbc", 200, 200), ("wbc", 300, 300)]
    corpus.add("bccd", "a", photograph(field(0), 0, 0), cells)
    merged = merge_sources(
        {"bccd": pd.DataFrame(corpus.annotations["bccd"])},
        corpus.metadata,
        {"bccd": tmp_path / "bccd"},
        tmp_path / "out",
        MergingOptions(view="full", min_class_count=2),
        seed=1,
    )
    assert merged.classes == ["rbc"]
    assert merged.annotations["ignore"].tolist() == [False, False, True]
    assert merged.summary["removed_classes"] == [{"class": "wbc", "count": 1, "reason": "fewer than 2 labelled cells"}]


def test_paper_view_rolls_labels_up(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    cells = [("band_neutrophil", 100, 100), ("segmented_neutrophil", 200, 200), ("myelocyte", 300, 300), ("wbc", 9, 9)]
    corpus.add("pbc", "a", photograph(field(0), 0, 0), cells)
    merged = merge_sources(
        {"pbc": pd.DataFrame(corpus.annotations["pbc"])},
        corpus.metadata,
        {"pbc": tmp_path / "pbc"},
        tmp_path / "out",
        MergingOptions(view="sahay_2025", min_class_count=0),
        seed=1,
    )
    labelled = merged.annotations[~merged.annotations["ignore"]]
    assert labelled["label"].tolist() == ["neutrophil", "segmented_neutrophil", "immature_granulocyte"]
    assert merged.summary["removed_classes"][0]["class"] == "wbc"
    assert len(merged.classes) == 24  # with background, the 25 outputs of the paper's predictor


def big_index(groups: int = 200) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 4, groups)
    index = pd.DataFrame(
        {
            "image_id": [f"i{n}" for n in range(sizes.sum())],
            "source": rng.choice(["bccd", "chula"], sizes.sum()),
            "duplicate_group": np.repeat([f"g{n}" for n in range(groups)], sizes),
            "official_split": None,
        }
    )
    counts = pd.DataFrame({"common": rng.integers(5, 30, len(index)), "rare": rng.random(len(index)) < 0.1})
    return index, counts.astype(int)


@pytest.mark.parametrize("test_fraction", [0.0, 0.2])
def test_grouped_split_is_whole_balanced_and_seeded(test_fraction: float) -> None:
    index, counts = big_index()
    options = MergingOptions(val_fraction=0.1, test_fraction=test_fraction)
    splits = split_images(index, counts, options, "grouped", seed=3)
    assert splits.groupby(index["duplicate_group"]).nunique().max() == 1
    for name, fraction in (("val", 0.1), ("test", test_fraction)):
        chosen = (splits == name).to_numpy()
        assert chosen.mean() == pytest.approx(fraction, abs=0.02)
        assert counts.loc[chosen, "rare"].sum() == pytest.approx(fraction * counts["rare"].sum(), abs=2)
        assert counts.loc[chosen, "common"].sum() == pytest.approx(fraction * counts["common"].sum(), rel=0.25, abs=1)
    assert splits.equals(split_images(index, counts, options, "grouped", seed=3))
    assert not splits.equals(split_images(index, counts, options, "grouped", seed=4))


def test_leak_is_counted() -> None:
    index = pd.DataFrame({"image_id": ["a", "b", "c", "d"], "duplicate_group": ["g", "g", "h", "i"]})
    pairs = pd.DataFrame({"image_a": ["a"], "image_b": ["b"]})
    crossing = leak(pd.Series(["train", "val", "val", "train"]), index, pairs)
    assert (crossing["groups_crossing_splits"], crossing["pairs_crossing_splits"]) == (1, 1)
    assert crossing["evaluation_images_exposed"] == 1
    whole = leak(pd.Series(["train", "train", "val", "train"]), index, pairs)
    assert whole["groups_crossing_splits"] == whole["evaluation_images_exposed"] == 0


def test_official_split_is_kept_where_there_is_one() -> None:
    index, counts = big_index(50)
    index.loc[:9, "official_split"] = "test"
    splits = split_images(index, counts, MergingOptions(), "official", seed=1)
    assert (splits[:10] == "test").all()
    assert set(splits[10:]) == {"train", "val"}


def test_paper_split_is_plain_random_ninety_ten() -> None:
    index, counts = big_index()
    splits = split_images(index, counts, MergingOptions(), "paper", seed=1)
    assert (splits == "val").sum() == round(0.1 * len(index))
    assert splits.groupby(index["duplicate_group"]).nunique().max() == 2


def test_coco_of_a_split(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    corpus.add("bccd", "a", photograph(field(0), 0, 0), [("rbc", 100, 110), ("~rbc", 200, 200)])
    merged = corpus.merge(tmp_path / "out")
    coco = to_coco(merged.index.assign(split="train"), merged.annotations, merged.classes, "train", 512)
    assert coco["categories"] == [{"id": 1, "name": "rbc"}]
    assert coco["images"][0]["file_name"] == "000001.png"
    assert [a["bbox"] for a in coco["annotations"]] == [[80, 90, 40, 40], [180, 180, 40, 40]]
    assert [a["iscrowd"] for a in coco["annotations"]] == [0, 1]
    assert to_coco(merged.index.assign(split="train"), merged.annotations, merged.classes, "val", 512)["images"] == []
