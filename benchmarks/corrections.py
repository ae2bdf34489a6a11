"""How much a classifier gains from so many corrected cells of a laboratory that it never saw: docs/corrections.md.

    python -m benchmarks.corrections <folder of models> <folder of bccd> [out.json]

A user is simulated whose pictures are BCCD's and who knows the type of each white cell (`wbc_types.csv`). The
model must not have learnt from BCCD. Of five parts of the groups of pictures each is held out once; of the others, 25,
50 or 100 cells are corrected, the most uncertain first or at random, and the whole held-out part is judged.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.corrections.compare import BeforeAfter, compare
from blood_kedro.library.corrections.head import calibration_of, features_of, fit_head, head_of, log_probabilities_by
from blood_kedro.library.corrections.options import RetrainOptions
from blood_kedro.library.corrections.order import uncertain_first
from blood_kedro.library.shipped.bundle import load_shipped
from blood_kedro.library.shipped.classifiers import TypeClassifier, classifier_of
from blood_kedro.library.shipped.train_and_judge_types import meant_classes
from blood_kedro.library.shipped.type_cells import bccd_white_cells
from blood_kedro.library.shipped.views import plain_view
from blood_kedro.library.training.splits import fold_groups

FOLDS, SEEDS = 5, 3
HOLD = RetrainOptions().hold


@dataclass(frozen=True)
class Arm:
    """So many corrected cells, chosen in an order, and how dear it is for the head to move."""

    cells: int
    order: str
    hold: float = HOLD
    seed: int = 0


ARMS = (
    *(Arm(100, "random", hold) for hold in (0.1, 10.0)),
    *(Arm(cells, "random", seed=seed) for cells in (25, 50, 100) for seed in range(SEEDS)),
    *(Arm(cells, order) for cells in (25, 50, 100) for order in ("uncertain_first", "margin")),
    Arm(1000, "random"),  # all there are
)


def main(models: Path, bccd: Path, out: Path | None) -> None:
    """Print a line for each arm."""
    parent = load_shipped("white_cells", models)
    if any(name.startswith("bccd/") for name in parent.config["learnt_from"]):
        sys.exit("this model learnt from BCCD: train one without it")
    classifier = classifier_of(parent)
    cells = bccd_white_cells(bccd, classifier.view, RejectLog("bccd"))
    features = features_of(classifier, plain_view(cells.crops, classifier.view))
    rows = []
    for arm in ARMS:
        judged, mix = corrected(classifier, features, cells.table, arm)
        rows.append({**asdict(arm), "judged": asdict(judged), "corrected_by_type": mix})
        print(arm, mix, judged.text(), sep="\n", flush=True)
        if out is not None:
            out.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def corrected(
    classifier: TypeClassifier, features: np.ndarray, table: pd.DataFrame, arm: Arm
) -> tuple[BeforeAfter, dict[str, float]]:
    """Before and after on all cells, and how many of each type were corrected in the mean."""
    start, calibration = head_of(classifier), calibration_of(classifier)
    meant = meant_classes(table["type"].tolist(), classifier.classes)
    groups = np.asarray(pd.factorize(table["group_id"])[0], np.int64)
    labels = table["type"].to_numpy(object)
    before = log_probabilities_by(start, features, calibration)
    named = pd.DataFrame(np.exp(before), columns=[f"p_{name}" for name in classifier.classes])
    after, mixes = np.full_like(before, np.nan), []
    for train, test in fold_groups(np.arange(len(table)), labels, groups, FOLDS, 0):
        pool = named.loc[train]
        if arm.order == "uncertain_first":
            chosen = uncertain_first(pool).index.to_numpy()[: arm.cells]
        elif arm.order == "margin":
            two = np.sort(pool.to_numpy(), axis=1)[:, -2:]
            chosen = train[np.argsort(two[:, 1] - two[:, 0], kind="stable")][: arm.cells]
        else:
            chosen = np.random.default_rng(arm.seed).permutation(train)[: arm.cells]
        head = fit_head(features[chosen], meant[chosen], start, calibration, arm.hold)
        after[test] = log_probabilities_by(head, features[test], calibration)
        mixes.append(table["type"].iloc[chosen].value_counts())
    mean = pd.concat(mixes, axis=1).fillna(0).mean(axis=1).round(1)
    mix = {str(name): float(share) for name, share in mean.items()}
    types, named_groups = table["type"].tolist(), table["group_id"].tolist()
    return compare(types, named_groups, before, after, classifier, RetrainOptions()), mix


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
