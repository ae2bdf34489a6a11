"""What a model says of pictures of the laboratories that it learnt from, which it never saw: is anything forgotten?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.core.reject_log import RejectLog
from blood_kedro.library.corrections.compare import BeforeAfter, compare
from blood_kedro.library.corrections.head import Head, calibration_of, features_of, head_of, log_probabilities_by
from blood_kedro.library.corrections.options import RetrainOptions
from blood_kedro.library.shipped.classifiers import TypeClassifier
from blood_kedro.library.shipped.train_and_judge_types import gather_types
from blood_kedro.library.shipped.type_cells import TypedCrops
from blood_kedro.library.shipped.type_options import TypeModel
from blood_kedro.library.shipped.views import plain_view

# Sets that shipped classifiers learn from: the first part of the names of their pictures.
_SETS = ("bccd", "chula", "pbc")


def originals_of(
    parent: ModelBundle,
    classifier: TypeClassifier,
    head: Head,
    raw_root: Path | None,
    options: RetrainOptions,
    rejects: RejectLog,
) -> dict[str, BeforeAfter]:
    """Before and after on cells of the original sets whose groups the model never learnt from, by laboratory.

    Args:
        parent: model that was started from; it says what it learnt from.
        classifier: of that bundle.
        head: new last layer.
        raw_root: folder of the public sets; None, or one that lacks them, gives nothing.
        options: of the retraining.
        rejects: files of the sets that cannot be used.
    """
    learnt = {str(name) for name in parent.config["learnt_from"]}
    sets = [name for name in _SETS if any(each.startswith(f"{name}/") for each in learnt)]
    present = [name for name in sets if raw_root is not None and (raw_root / name).is_dir()]
    if raw_root is None or not present:
        return {}
    settings = TypeModel.model_validate(
        {"name": "originals", "sources": present, "classes": classifier.classes, "recipe": parent.config["recipe"]}
    )
    cells = gather_types(raw_root, settings, rejects)
    unseen = cells.where(never_learnt(cells, learnt))
    features = features_of(classifier, plain_view(unseen.crops, classifier.view))
    before, after = (
        log_probabilities_by(each, features, calibration_of(classifier)) for each in (head_of(classifier), head)
    )
    judged = {}
    for laboratory in present:
        mine = (unseen.table["laboratory"] == laboratory).to_numpy()
        table = unseen.table[mine]
        types, groups = table["type"].tolist(), table["group_id"].tolist()
        judged[laboratory] = compare(types, groups, before[mine], after[mine], classifier, options)
    return judged


def never_learnt(cells: TypedCrops, learnt: set[str]) -> npt.NDArray[np.bool_]:
    """Which cells are of groups of which a model has learnt no picture, `(N,)`."""
    table = cells.table
    groups = set(table.loc[table["image_id"].isin(learnt), "group_id"])
    return ~table["group_id"].isin(groups).to_numpy(np.bool_)
