"""Configuration and code say the same, in every environment."""

from __future__ import annotations

import copy
import functools
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blood_kedro.environments import config_loader
from blood_kedro.library.cells.options import CellOptions
from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.counting.options import CutoutOptions, KindClassifier, SmearInput
from blood_kedro.library.detection.options import Pretraining, Regimen
from blood_kedro.library.download.options import DownloadOptions
from blood_kedro.library.merging.options import MergingOptions
from blood_kedro.library.morphology.options import Classifier, Segmenter
from blood_kedro.library.overlap.options import CropOptions, OverlapClassifier, RuleOptions
from blood_kedro.library.reporting import published_rao_2024
from blood_kedro.library.smears.kinds import LABELS
from blood_kedro.library.smears.options import SmearOptions
from blood_kedro.library.sources.options import SourceOptions
from blood_kedro.library.sources.registry import adapter
from blood_kedro.library.standardization.options import StandardizationOptions
from blood_kedro.plan import build, written_out
from blood_kedro.plan.complete import with_repetitions
from tests.conftest import PROJECT

ENVIRONMENTS = ("base", "laptop", "paper", "bccd")


def load(environment: str, what: str = "parameters") -> dict[str, Any]:
    return copy.deepcopy(_read(environment, what))


@functools.cache
def _read(environment: str, what: str) -> dict[str, Any]:
    """Merged once: it costs seconds, and the tests ask dozens of times."""
    return dict(config_loader(PROJECT, environment)[what])


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_parameters_are_valid_options(environment: str) -> None:
    parameters = written_out(load(environment))
    DownloadOptions.model_validate(parameters["download"])
    StandardizationOptions(**parameters["standardization"])
    MergingOptions(**parameters["merging"])
    Pretraining(**parameters["pretraining"])
    SmearOptions.model_validate(parameters["pretraining"]["smears"])
    smears = SmearOptions(**parameters["sources"]["synthetic"]["smears"])
    assert set(smears.cells_per_field) <= set(LABELS)
    for name, entry in parameters["regimens"].items():
        assert Regimen(**entry).name == name
    for section, options in (("cells", CellOptions), ("segmenters", Segmenter), ("classifiers", Classifier)):
        for name, entry in parameters["morphology"][section].items():
            assert options(**entry).name == name
    RuleOptions(**parameters["overlap"]["rules"])
    for section, options in (("crops", CropOptions), ("classifiers", OverlapClassifier)):
        for name, entry in parameters["overlap"][section].items():
            assert options(**entry).name == name
    for name, entry in parameters["sources"].items():
        assert adapter(SourceOptions.model_validate({**entry, "name": name})).name == name


def test_paper_environment_is_what_the_paper_says() -> None:
    parameters = load("paper")
    first, second = (Regimen(**parameters["regimens"][name]) for name in ("regimen_1", "regimen_2"))
    for regimen in (first, second):
        options = regimen.optimizer
        assert (options.lr, options.momentum, options.weight_decay) == (0.005, 0.9, 0.0005)
        assert (options.gamma, options.step_epochs, options.warmup_steps, regimen.epochs) == (0.1, 7, 0, 25)
        assert (regimen.network.backbone, regimen.network.input_px) == ("resnet50_fpn", 512)
        assert (regimen.network.roi_samples, regimen.network.proposals_train) == (512, 2000)
        assert regimen.images_per_epoch is None
    assert (first.first_weights.kind, first.augmentation, first.optimizer.clip_norm) == ("random", "paper_r1", None)
    assert (second.first_weights.kind, second.augmentation, second.optimizer.clip_norm) == ("coco", "paper_r2", 1.0)
    assert (first.normalization, second.normalization) == ("training_set", "imagenet")
    # torchvision's own: live batch norm for random weights, frozen with three learning stages for those of COCO
    assert (first.network.norm, first.first_weights.trainable_layers) == ("batch", None)
    assert (second.network.norm, second.first_weights.trainable_layers) == ("frozen_batch", 3)
    assert parameters["standardization"]["boxes"] == "paper"
    assert (parameters["merging"]["split"], parameters["merging"]["view"]) == ("paper", "sahay_2025")
    # Neither algorithm looks for duplicates, of images or of boxes.
    assert not MergingOptions(**parameters["merging"]).duplicates.merge_identical
    assert not SourceOptions.model_validate(parameters["sources"]["bccd"]).merge_twins


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize(
    ("name", "origin", "differs"),
    [
        ("random_augmentation_1", "random_augmentation_2", {"augmentation"}),
        ("transfer_augmentation_1", "transfer_augmentation_2", {"augmentation"}),
        ("random_augmentation_1", "transfer_augmentation_1", {"first_weights"}),
        ("random_augmentation_2", "transfer_augmentation_2", {"first_weights"}),
        ("balanced", "regimen_2", {"sampler"}),
        ("focal", "regimen_2", {"head_loss"}),
        ("rare_class_copy_paste", "regimen_2", {"copy_paste"}),
        ("balanced_copy_paste", "regimen_2", {"copy_paste", "sampler"}),
        ("source_aware", "regimen_2", {"ignore_regions", "label_space"}),
        ("fitted_anchors", "regimen_2", {"network"}),
        ("without_bccd", "source_aware", {"leave_out"}),
        ("without_chula", "source_aware", {"leave_out"}),
        ("without_pbc", "source_aware", {"leave_out"}),
    ],
)
def test_a_study_changes_one_thing(environment: str, name: str, origin: str, differs: set[str]) -> None:
    regimens = load(environment)["regimens"]
    one, other = (Regimen(**regimens[n]).model_dump(exclude={"name", "enabled"}) for n in (name, origin))
    assert {key for key in one if one[key] != other[key]} == differs


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_arms_of_the_2x2_can_be_normalised_alike(environment: str) -> None:
    """Frozen batch norm leaves random weights without any; live batch norm needs eight images (decision 14)."""
    regimens = load(environment)["regimens"]
    for weights, number in itertools.product(("random", "transfer"), (1, 2)):
        arm = Regimen(**regimens[f"{weights}_augmentation_{number}"])
        assert (arm.first_weights.kind == "random") == (weights == "random")
        assert arm.augmentation == f"paper_r{number}"
        assert arm.network.norm == "group" or (arm.network.norm == "batch" and arm.batch_size >= 8)


def test_seeds_and_search_write_a_regimen_out() -> None:
    plain = {"optimizer": {"lr": 0.1, "momentum": 0.9}, "seed": 5, "name": "x"}
    parameters = {
        "seed": 1,
        "regimens": {
            "plain": plain,
            "again": {**plain, "seeds": [3, 4]},
            "tuned": {**plain, "search": {"optimizer.lr": [0.01, 0.02], "augmentation": ["none", "paper_r2"]}},
        },
    }
    regimens = with_repetitions(parameters)["regimens"]
    assert list(regimens) == [
        "plain",
        "again_seed_3",
        "again_seed_4",
        "tuned_lr_0_01_augmentation_none",
        "tuned_lr_0_01_augmentation_paper_r2",
        "tuned_lr_0_02_augmentation_none",
        "tuned_lr_0_02_augmentation_paper_r2",
    ]
    assert regimens["plain"] == plain
    assert regimens["again_seed_4"] == {**plain, "seed": 4, "name": "again_seed_4", "repeats": "again"}
    last = regimens["tuned_lr_0_02_augmentation_none"]
    assert last["optimizer"] == {"lr": 0.02, "momentum": 0.9}
    assert plain["optimizer"]["lr"] == 0.1
    for name, entry in regimens.items():
        if name != "plain":
            assert Regimen(**entry).name == name
    once = with_repetitions(parameters)
    assert with_repetitions(once) == once


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_entry_of_counting_is_valid(environment: str) -> None:
    parameters = load(environment)
    section = parameters["sam_counting"]
    for name, entry in section["cutouts"].items():
        assert CutoutOptions(**entry).name == name
    for name, entry in section["classifiers"].items():
        made = KindClassifier(**entry)
        assert made.name == name
        assert set(made.cutouts) <= set(section["cutouts"])
        start = made.first_weights.model
        assert start is None or start in section["classifiers"]
    for name, entry in section["inputs"].items():
        made_input = SmearInput(**entry)
        assert made_input.name == name
        assert made_input.classifier in {None, *section["classifiers"]}
    plan = build(parameters)
    assert "own" not in plan.counted_inputs
    assert set(plan.kind_classifiers) <= set(section["classifiers"])


def test_the_published_classifier_is_that_of_rao_2024() -> None:
    made = KindClassifier(**load("paper")["sam_counting"]["classifiers"]["kinds_published"])
    assert {key: list(values) for key, values in made.search.model_dump().items()} == {
        key: list(values) for key, values in published_rao_2024.SEARCH_SPACE.items()
    }
    base = KindClassifier(**load("base")["sam_counting"]["classifiers"]["kinds_published"])
    assert {key: values[0] for key, values in base.search.model_dump().items()} == published_rao_2024.BEST
    assert (base.kinds, base.copies, base.ratio, base.augmented) == (("rbc", "wbc"), 10, 2, ("wbc",))


def test_the_authors_smears_are_counted_as_in_rao_2024() -> None:
    section = load("paper")["sam_counting"]
    inputs = [SmearInput(**entry) for name, entry in section["inputs"].items() if re.match("count_(ojaghi|test)", name)]
    assert {each.segmenter for each in inputs if each.enabled} == {"sam", "precomputed"}
    for each in inputs:
        assert (each.classifier, each.filter_rule, each.count_rule) == ("kinds_published", "published", "kde_peaks")
        assert (each.min_brightness, each.tile_px, each.overlap_px) == (140, 512, 0)
    made = KindClassifier(**section["classifiers"]["kinds_published"])
    assert (made.enabled, made.split, made.kinds) == (True, "published", ("rbc", "wbc"))
    # As published beside the paper; its text says 128 px (docs/counting.md).
    assert {CutoutOptions(**section["cutouts"][name]).side_px for name in made.cutouts} == {96}
    test_smear = SmearInput(**section["inputs"]["count_test_smear"])
    assert test_smear.counted_by_hand == {"test_smear": {"rbc": published_rao_2024.COUNTS["first smear"][1]}}


def test_a_smear_of_ones_own_is_counted_alone_and_nothing_is_trained() -> None:
    parameters = load("base")
    parameters["sam_counting"]["input"] = "/smears/mine.tif"
    plan = build(parameters)
    assert list(plan.counted_inputs) == ["own"]
    assert plan.counts_own_smear
    own = plan.counted_inputs["own"]
    assert (own.path, own.enabled, own.classifier) == ("/smears/mine.tif", True, None)
    assert (own.segmenter, own.measure_scale) == ("shipped", True), "a fresh clone has nothing else"
    completed = written_out(parameters)
    assert written_out(completed) == completed


def test_scored_split_is_val_or_test() -> None:
    with pytest.raises(ConfigurationError, match=r"evaluation\.split: Input should be 'val' or 'test'"):
        build({"evaluation": {"split": "train"}})


def test_environments_change_single_keys() -> None:
    base, laptop = load("base"), load("laptop")
    assert (
        laptop["regimens"]["regimen_1"]["network"]["input_px"] != base["regimens"]["regimen_1"]["network"]["input_px"]
    )
    assert laptop["regimens"]["regimen_1"]["augmentation"] == base["regimens"]["regimen_1"]["augmentation"]
    assert laptop["regimens"]["regimen_1"]["network"]["norm"] == "batch"


def test_regimens_of_base_and_laptop_need_no_download() -> None:
    for environment in ("base", "laptop"):
        regimens = [Regimen(**entry) for entry in load(environment)["regimens"].values()]
        assert {each.first_weights.kind for each in regimens} == {"random", "imagenet", "simulated"}
        packaged = {each.network.backbone for each in regimens if each.first_weights.kind == "imagenet"}
        assert packaged == {"efficientnet_lite0_fpn"}
        assert Regimen(**load(environment)["regimens"]["regimen_2"]).first_weights.kind == "imagenet"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_dataset_is_declared_and_every_wildcard_is_known(environment: str) -> None:
    """A factory would quietly accept a typo; so every dataset must match one, with a name that configuration has."""
    from blood_kedro.pipeline_registry import register_pipelines

    parameters = load(environment)
    plan = build(parameters)
    patterns = [name for name in load(environment, "catalog") if not name.startswith("_")]
    morphology = parameters["morphology"]
    known = {*parameters["sources"], *parameters["regimens"], "pretraining"}
    known |= {*morphology["cells"], *morphology["segmenters"], *morphology["classifiers"]}
    known |= {*parameters["overlap"]["crops"], *parameters["overlap"]["classifiers"]}
    known |= {name for part in ("cutouts", "classifiers", "inputs") for name in parameters["sam_counting"][part]}
    known |= {*parameters["shipped"]["cells"]["trainings"], *parameters["shipped_types"]}
    used = set()
    datasets = set(register_pipelines(plan)["__default__"].datasets())
    # Labelled pictures and cells pass in memory.
    passed = {"shipped_pictures", *(f"{name}.typed_cells" for name in parameters["shipped_types"])}
    datasets |= set(register_pipelines(plan)["shipped_models"].datasets()) - passed
    # Images of a user's own have pipelines of their own.
    own = {"detection": {**parameters["detection"], "input": "x"}}
    own["sam_counting"] = {**parameters["sam_counting"], "input": "x"}
    plan = build({**parameters, **own})
    for name in ("detection_training", "sam_counting"):
        datasets |= set(register_pipelines(plan)[name].datasets())
    for dataset in datasets:
        if dataset.startswith(("params:", "parameters")) or dataset == "run_record":
            continue
        matching = [p for p in patterns if re.fullmatch(re.sub(r"\\{\w+\\}", r"([^.]+)", re.escape(p)), dataset)]
        assert matching, f"{dataset} is not in the catalog"
        used |= set(matching)
        if "." in dataset:
            assert dataset.split(".")[0] in known, dataset
    optional = {
        "synthetic.target_folder",
        "synthetic.raw_folder",
        "synthetic.simulated_truth",
        "{regimen}.cutouts",
        "{source}.target_folder",
    }
    if environment != "bccd":  # detection only
        assert set(patterns) - used <= optional


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_builds_alone(environment: str) -> None:
    """Free inputs are parameters, records of the run and folders to be filled: nothing of another environment."""
    from kedro.io import DataCatalog

    from blood_kedro.pipeline_registry import register_pipelines

    parameters = written_out(load(environment))
    pipeline = register_pipelines(build(parameters))["__default__"]
    catalog = DataCatalog.from_config(load(environment, "catalog"))
    for name in pipeline.datasets() - {"parameters", "run_record", "result_records"}:
        if name.startswith("params:"):
            keys = name.removeprefix("params:").split(".")
            functools.reduce(lambda part, key: part[key], keys, parameters)  # KeyError: no such parameter
            continue
        entry = catalog.config_resolver.resolve_pattern(name)
        assert entry, f"{name} is not in the catalog"
        if name in pipeline.inputs():
            empty = entry["type"].endswith("FolderDataset") and entry.get("must_exist") is False
            assert empty, f"{name} is made by no enabled node"


def _texts(entry: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Key and text of every text in parameters, without what is switched off."""
    if isinstance(entry, dict):
        if entry.get("enabled", True):
            for name, value in entry.items():
                yield from _texts(value, f"{key}.{name}")
    elif isinstance(entry, (list, tuple)):
        for value in entry:
            yield from _texts(value, key)
    elif isinstance(entry, str):
        yield key, entry


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_nothing_that_is_enabled_reads_a_file_of_another_run(environment: str) -> None:
    """A path below data/ in parameters is a dependency that no pipeline shows."""
    hidden = [(key, text) for key, text in _texts(load(environment)) if re.search(r"(^|/)0[2-8]_", text)]
    assert not hidden


def test_namespaces_follow_the_configuration() -> None:
    from blood_kedro.pipeline_registry import register_pipelines

    parameters = load("base")
    pasting = {"copy_paste": {"classes": ["teardrop"]}}
    parameters["regimens"]["third"] = {**parameters["regimens"]["regimen_1"], **pasting, "name": "third"}
    parameters["regimens"]["generated_smears"]["enabled"] = True
    parameters["sources"]["bccd"]["enabled"] = True
    pipelines = register_pipelines(build(parameters))
    assert set(pipelines) == {
        "__default__",
        "ingestion",
        "standardization",
        "merging",
        "detection_training",
        "rbc_morphology",
        "reporting",
        "overlap_weak_supervision",
        "sam_counting",
        "shipped_models",
    }
    names = {node.name for node in pipelines["__default__"].nodes}
    assert {"third.train", "bccd.ingest", "synthetic.truth", "third.cells_to_paste", "pretraining.pretrain"} <= names
    assert "regimen_1.cells_to_paste" not in names
    inference = pipelines["detection_training"].only_nodes_with_tags("inference")
    assert {node.name for node in inference.nodes} == {
        f"{r}.predict" for r in ("regimen_1", "regimen_2", "generated_smears", "third")
    }


def test_repository_holds_no_pictures_of_data_and_no_registry() -> None:
    lock = (PROJECT / "requirements.lock").read_text()
    assert "://" not in lock
    assert "--index" not in lock
    assert lock.count("--hash=sha256:") > 500
    assert (PROJECT / ".telemetry").read_text() == "consent: false\n"
    assert not list(Path(PROJECT / "tests").rglob("*.jpg"))


def test_the_container_for_cpus_leaves_cuda_and_nothing_else_out() -> None:
    import runpy

    lock = (PROJECT / "requirements.lock").read_text()
    kept, torch = runpy.run_path(str(PROJECT / "scripts/cpu_lock.py"))["split"](lock)
    names = [set(re.findall(r"(?m)^([A-Za-z0-9][\w.-]*)==", text)) for text in (lock, kept)]
    gone = {name for name in names[0] - names[1] if not name.startswith(("nvidia-", "cuda-"))}
    assert gone == {"torch", "torchvision", "triton"}
    assert [line.partition("==")[0] for line in torch.split()] == ["torch", "torchvision"]
