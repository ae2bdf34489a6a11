"""Truth and detections as metrics look at them: what nobody labelled is not judged, and the coarse view of both."""

from __future__ import annotations

from typing import Any

from blood_kedro.library.core import boxes as boxlib
from blood_kedro.library.core import taxonomy
from blood_kedro.library.core.limits import SAME_CELL_IOU

Coco = dict[str, Any]
Results = list[dict[str, Any]]


def with_judged(truth: Coco, results: Results) -> Results:
    """The results, each with `judged`: whether its image's source labels its class wherever it shows.

    One that is not judged may be right, but is never wrong (decision 0012). A source that nobody knows, or an image
    that names none, labels everything.

    Args:
        truth: COCO json; images may name their `source`.
        results: COCO results.
    """
    known = taxonomy.labelled_by(truth)
    names = {category["id"]: category["name"] for category in truth["categories"]}
    source_of = {image["id"]: image.get("source") for image in truth["images"]}
    judged = {
        (source, number): taxonomy.is_labelled(name, known[source])
        for source in set(source_of.values()) & known.keys()
        for number, name in names.items()
    }
    return [{**r, "judged": judged.get((source_of.get(r["image_id"]), r["category_id"]), True)} for r in results]


def with_ignores(truth: Coco) -> Coco:
    """Repeat each ignore region for every class the cell may have: COCO matches within one class only.

    A cell that is labelled coarsely (`rbc`) is such a region for the classes below its label: nobody said which it is.
    """
    annotations = []
    for annotation in truth["annotations"]:
        label, crowd = annotation["label"], annotation["iscrowd"]
        if not crowd:
            annotations.append(annotation)
        for category in truth["categories"]:
            name = category["name"]
            if (taxonomy.is_a(name, label) and (crowd or name != label)) or (crowd and taxonomy.is_a(label, name)):
                annotations.append({**annotation, "category_id": category["id"], "iscrowd": 1})
    numbered = [{**annotation, "id": number} for number, annotation in enumerate(annotations, start=1)]
    return {**truth, "annotations": numbered}


def coarse_view(truth: Coco, results: Results) -> tuple[Coco, Results]:
    """Both with the classes rbc, wbc and platelet; detections of one cell under several fine names become one."""
    number_of = {name: number for number, name in enumerate(taxonomy.COARSE, start=1)}
    to_coarse = {c["id"]: number_of[taxonomy.coarse(c["name"])] for c in truth["categories"]}
    annotations = [
        {**a, "category_id": number_of[taxonomy.coarse(a["label"])], "label": taxonomy.coarse(a["label"])}
        for a in truth["annotations"]
    ]
    categories = [{"id": number, "name": name} for name, number in number_of.items()]
    coarse_results = [{**r, "category_id": to_coarse[r["category_id"]]} for r in results]
    return {**truth, "annotations": annotations, "categories": categories}, one_per_cell(coarse_results)


def one_per_cell(results: Results) -> Results:
    """Results without those that overlap a better one of their class and image by half or more, in their order."""
    import torch  # reports read what evaluation names without it
    from torchvision.ops import batched_nms

    if not results:
        return []
    images = {image: k for k, image in enumerate(sorted({r["image_id"] for r in results}))}
    most = 1 + max(r["category_id"] for r in results)
    indices = batched_nms(
        torch.from_numpy(boxlib.from_coco(results)),
        torch.tensor([r["score"] for r in results], dtype=torch.float64),
        torch.tensor([images[r["image_id"]] * most + r["category_id"] for r in results]),
        SAME_CELL_IOU,
    )
    return [results[k] for k in sorted(indices.tolist())]
