"""Training on partly labelled images: an unlabelled cell is not punished, and all off is plain Faster R-CNN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from blood_kedro.library.core.taxonomy import LABELLED_BY, SOURCE_LABELS, labelled_by
from blood_kedro.library.detection.balance import class_balanced_weights, repeat_factors
from blood_kedro.library.detection.losses import asks_for_partial_labels, with_regimen_losses
from blood_kedro.library.detection.network import build_network
from blood_kedro.library.detection.options import Network, Regimen
from blood_kedro.library.detection.partial_labels import (
    Losses,
    accepted_classes,
    never_labelled,
    on_regions,
    partial_label_loss,
    with_losses,
)
from blood_kedro.library.training.sampling import EpochSampler

TINY = Network(
    backbone="resnet18_fpn",
    norm="group",
    input_px=64,
    anchor_sizes_px=(8, 16, 32, 64, 128),
    proposals_train=50,
    proposals_test=20,
    roi_samples=16,
    representation=16,
)
CLASSES = ["rbc", "normal_rbc", "teardrop", "lymphocyte"]
SOURCES = list(labelled_by({}))


def target(
    boxes: list[list[float]], labels: list[int], ignore: list[list[float]], source: str = "pbc"
) -> dict[str, Any]:
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "ignore": torch.tensor(ignore, dtype=torch.float32).reshape(-1, 4),
        "source": torch.tensor(SOURCES.index(source)),
    }


def losses(*, source_aware: bool = False, use_regions: bool = False, focus: float = 0.0) -> Losses:
    return Losses(
        accepted_classes(CLASSES, source_aware=source_aware),
        never_labelled(CLASSES, labelled_by({}), source_aware=source_aware),
        torch.ones(len(CLASSES) + 1),
        focus,
        use_regions,
    )


def test_every_source_says_what_it_labels() -> None:
    assert LABELLED_BY.keys() == SOURCE_LABELS.keys()


def test_what_is_right_for_a_label() -> None:
    assert accepted_classes(CLASSES, source_aware=False).equal(torch.eye(5, dtype=torch.bool))
    aware = accepted_classes(CLASSES, source_aware=True)
    assert aware[1].tolist() == [False, True, True, True, False]  # rbc: itself and its shapes
    assert aware[2].tolist() == [False, False, True, False, False]
    never = never_labelled(CLASSES, labelled_by({}), source_aware=True)
    assert never[SOURCES.index("pbc")].tolist() == [False, True, True, True, False]
    assert never[SOURCES.index("chula")].tolist() == [False, False, False, False, True]
    assert not never[SOURCES.index("bccd")].any() and not never[-1].any()
    assert not never_labelled(CLASSES, labelled_by({}), source_aware=False).any()
    own = labelled_by({"labelled_by": {"a_lab": ["wbc"]}})  # a source in a format says it in its entry
    assert list(own).index("a_lab") == 0
    assert never_labelled(CLASSES, own, source_aware=True)[0].tolist() == [False, True, True, True, False]


def test_which_boxes_lie_on_a_region() -> None:
    regions = torch.tensor([[10.0, 10, 30, 30]])
    boxes = torch.tensor([[12.0, 12, 20, 20], [0, 0, 12, 12], [5, 5, 35, 35], [20, 10, 45, 30], [50, 50, 60, 60]])
    assert on_regions(boxes, regions).tolist() == [True, False, True, False, False]
    assert on_regions(boxes, regions[:0]).tolist() == [False] * 5
    assert on_regions(boxes[:0], regions).tolist() == []


def test_loss_of_single_right_classes_is_cross_entropy_and_its_box_loss_torchvisions() -> None:
    from torchvision.models.detection.roi_heads import fastrcnn_loss

    torch.manual_seed(0)
    logits, deltas = torch.randn(12, 5), torch.randn(12, 20)
    labels, wanted = torch.randint(0, 5, (12,)), torch.randn(12, 4)
    ours = partial_label_loss(logits, deltas, labels, torch.eye(5, dtype=torch.bool)[labels], wanted, torch.ones(5), 0)
    theirs = fastrcnn_loss(logits, deltas, [labels], [wanted])
    assert ours[0].item() == pytest.approx(theirs[0].item(), rel=1e-6)
    assert ours[1].item() == pytest.approx(theirs[1].item(), rel=1e-6)


def test_loss_by_hand() -> None:
    # probabilities 0.5, 0.3, 0.2: right are classes 0 and 1 for the first proposal, class 2 for the second
    logits = torch.tensor([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]).log()
    right = torch.tensor([[True, True, False], [False, False, True]])
    labels, rest = torch.tensor([0, 2]), (torch.zeros(2, 4),)
    deltas = torch.zeros(2, 12)
    plain, _ = partial_label_loss(logits, deltas, labels, right, *rest, torch.ones(3), 0)
    assert plain.item() == pytest.approx(-(np.log(0.8) + np.log(0.2)) / 2, rel=1e-5)
    focal, _ = partial_label_loss(logits, deltas, labels, right, *rest, torch.ones(3), 2.0)
    assert focal.item() == pytest.approx(-(0.2**2 * np.log(0.8) + 0.8**2 * np.log(0.2)) / 2, rel=1e-5)
    weighted, _ = partial_label_loss(logits, deltas, labels, right, *rest, torch.tensor([1.0, 1, 3]), 0)
    assert weighted.item() == pytest.approx(-(np.log(0.8) + 3 * np.log(0.2)) / 4, rel=1e-5)


def test_gradients_do_not_punish_an_unlabelled_cell() -> None:
    """A proposal on a red cell of a PBC image: the head says normal_rbc, the image labels none."""
    logits = torch.tensor([[0.0, 0.0, 3.0, 0.0, 0.0]], requires_grad=True)
    label, deltas, wanted = torch.tensor([0]), torch.zeros(1, 20), torch.zeros(1, 4)

    def gradient(right: torch.Tensor) -> torch.Tensor:
        loss, _ = partial_label_loss(logits, deltas, label, right, wanted, torch.ones(5), 0)
        return torch.autograd.grad(loss, logits)[0][0]

    background = torch.eye(5, dtype=torch.bool)[:1]
    naive = gradient(background)
    aware = gradient(background | never_labelled(CLASSES, labelled_by({}), source_aware=True)[[SOURCES.index("pbc")]])
    assert naive[2] > 0.5  # plain training pushes the right answer down
    assert aware[2] <= 0  # source-aware training does not
    assert aware[4] > 0  # a class that PBC does label is still pushed down
    bccd = gradient(background | never_labelled(CLASSES, labelled_by({}), source_aware=True)[[SOURCES.index("bccd")]])
    assert bccd.equal(naive)


def test_a_coarse_label_accepts_its_shapes() -> None:
    """BCCD says rbc; the head says teardrop."""
    logits = torch.tensor([[0.0, 0.0, 0.0, 3.0, 0.0]], requires_grad=True)
    deltas = torch.zeros(1, 20, requires_grad=True)
    right = accepted_classes(CLASSES, source_aware=True)[[1]]
    loss, box = partial_label_loss(logits, deltas, torch.tensor([1]), right, torch.ones(1, 4), torch.ones(5), 0)
    gradient = torch.autograd.grad(loss, logits)[0][0]
    assert gradient[3] <= 0 and gradient[0] > 0 and gradient[4] > 0
    # the box is learnt by the class that answers
    moved = torch.autograd.grad(box, deltas)[0].reshape(5, 4).abs().sum(dim=1)
    assert moved[3] > 0 and moved[[0, 1, 2, 4]].sum() == 0


def network_pair(used: Losses) -> tuple[Any, Any]:
    torch.manual_seed(1)
    plain = build_network(TINY, len(CLASSES) + 1).train()
    torch.manual_seed(1)
    partial = with_losses(build_network(TINY, len(CLASSES) + 1), used).train()
    assert plain.state_dict().keys() == partial.state_dict().keys()
    return plain, partial


def test_all_off_is_plain_faster_rcnn() -> None:
    plain, partial = network_pair(losses())
    images = [torch.rand(3, 64, 64), torch.rand(3, 64, 64)]
    targets = [target([[10, 10, 26, 26]], [2], [[30, 30, 50, 50]], "chula"), target([], [], [[0, 0, 20, 20]], "bccd")]
    found = []
    for network in (plain, partial):
        torch.manual_seed(2)  # which anchors and proposals are sampled
        found.append(network(images, [dict(t) for t in targets]))
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        assert value.item() == pytest.approx(found[1][name].item(), rel=1e-5), name
    plain.eval(), partial.eval()
    with torch.inference_mode():
        for a, b in zip(plain(images), partial(images), strict=True):
            assert a["boxes"].equal(b["boxes"]) and a["scores"].equal(b["scores"])


def test_anchors_and_proposals_on_a_region_are_no_negatives() -> None:
    _, partial = network_pair(losses(use_regions=True))
    region = [[32.0, 32, 60, 60]]
    anchors = [torch.tensor([[34.0, 34, 50, 50], [2, 2, 18, 18], [10, 10, 26, 26]])]
    labels, _ = partial.rpn.assign_targets_to_anchors(anchors, [target([[10, 10, 26, 26]], [2], region)])
    assert labels[0].tolist() == [-1, 0, 1]
    partial.roi_heads._regions = [torch.tensor(region)]
    _, classes = partial.roi_heads.assign_targets_to_proposals(
        anchors, [torch.tensor([[10.0, 10, 26, 26]])], [torch.tensor([2])]
    )
    assert classes[0].tolist() == [-1, 0, 2]


def test_regions_move_with_the_image() -> None:
    _, partial = network_pair(losses(use_regions=True))
    _, targets = partial.transform([torch.rand(3, 128, 96)], [target([[10, 10, 20, 20]], [1], [[20, 40, 60, 80]])])
    assert targets[0]["ignore"].tolist() == [[10, 20, 30, 40]]
    assert targets[0]["boxes"].tolist() == [[5, 5, 10, 10]]


def test_regimens_that_ask_for_nothing_stay_plain() -> None:
    coco = {"categories": [{"id": 1, "name": "rbc"}], "annotations": [{"category_id": 1}], "images": []}
    assert not asks_for_partial_labels(Regimen())
    for change in ({"ignore_regions": True}, {"label_space": "source_aware"}, {"head_loss": "focal"}):
        regimen = Regimen.model_validate(change)
        assert asks_for_partial_labels(regimen)
        network = with_regimen_losses(build_network(TINY, 2), regimen, coco)
        assert network.roi_heads.losses.use_regions == regimen.ignore_regions
        assert network.roi_heads.losses.focus == (2.0 if regimen.head_loss == "focal" else 0.0)


# --- imbalance


def imbalanced() -> dict[str, Any]:
    """100 images with class 1; one of them also shows class 2; class 3 never."""
    rows = [{"image_id": n, "category_id": 1, "iscrowd": 0} for n in range(100)]
    rows += [{"image_id": 7, "category_id": 2, "iscrowd": 0}, {"image_id": 8, "category_id": 2, "iscrowd": 1}]
    return {
        "images": [{"id": n} for n in range(100)],
        "annotations": rows,
        "categories": [{"id": 1, "name": "rbc"}, {"id": 2, "name": "wbc"}, {"id": 3, "name": "platelet"}],
    }


def test_repeat_factor_by_hand() -> None:
    factors = repeat_factors(imbalanced())
    assert factors[7] == pytest.approx(np.sqrt(0.1 / 0.01))
    assert (np.delete(factors, 7) == 1).all()  # an ignore region does not count


def test_rare_images_come_as_often_as_their_factor_says() -> None:
    factors = repeat_factors(imbalanced())
    counts = np.zeros(100)
    for epoch in range(200):
        sampler = EpochSampler(range(100), 0, None, epoch, factors)
        chosen = [index for _, index in sampler]
        assert len(chosen) == len(sampler) == 100
        np.add.at(counts, chosen, 1)
    assert counts[7] / np.delete(counts, 7).mean() == pytest.approx(np.sqrt(10), rel=0.1)
    again = [list(EpochSampler(range(100), 0, None, 3, factors)) for _ in range(2)]
    assert again[0] == again[1]


def test_class_balanced_weights() -> None:
    weights = class_balanced_weights(imbalanced())
    assert weights[0] == 1
    assert weights[2] / weights[1] == pytest.approx((1 - 0.999**100) / (1 - 0.999), rel=1e-4)
    assert (100 * weights[1] + weights[2]) / 101 == pytest.approx(1, rel=1e-4)
    assert weights[3] == weights[2]


def test_weights_reach_the_loss() -> None:
    logits = torch.zeros(2, 3)
    labels = torch.tensor([1, 2])
    right = torch.eye(3, dtype=torch.bool)[labels]
    loss, _ = partial_label_loss(
        logits, torch.zeros(2, 12), labels, right, torch.zeros(2, 4), torch.tensor([1.0, 1, 5]), 0
    )
    assert loss.item() == pytest.approx(functional.cross_entropy(logits, labels).item())
