"""Writes a record with every result of every node: the one place where they are made (`library/core/records.py`)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline.node import Node

from blood_kedro.datasets.folder import ModelBundleDataset
from blood_kedro.environments import name_of
from blood_kedro.library.core.crop_set import CropSet
from blood_kedro.library.core.git import commit_of
from blood_kedro.library.core.hashing import table_fingerprint
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.core.records import CORPUS, IN_MODEL, Data, Record, merged, place, read_record, write_record

_SAMPLED = 64
_RAW = "01_raw"


class ResultRecords:
    """Follows what rests on what: a result inherits the data of all inputs, and adds what it is itself, if it is data.

    Data are image indices, the unified corpus, cells and trained models; each is known by a fingerprint of its content,
    so that making the same again changes nothing.
    """

    def __init__(self) -> None:
        self._environment, self._root = "", Path()
        self._commit: str | None = None
        self._made: dict[str, Record] = {}
        self._in_memory: dict[str, Record] = {}
        self._catalog: DataCatalog | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where and as what we run."""
        project = Path(str(context.project_path))
        self._environment = name_of(context.env)
        self._root = (project / context.config_loader["globals"]["results_root"]).absolute()
        self._commit = commit_of(project)

    @hook_impl
    def after_node_run(self, node: Node, catalog: DataCatalog, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
        """Gather what the outputs rest on; they are saved, and the records with them, one by one after this."""
        records, missing = [], []
        for name in inputs:
            file = self._place(catalog, name)
            record = self._in_memory.get(name) if file is None else read_record(file)
            if record is not None:
                records.append(record)
            elif file is not None and catalog.exists(name):
                missing.append(name)
        options = [value for name, value in inputs.items() if name.startswith("params:")]
        records += [record for value in options for record in _models_named_in(value)]
        data, unknown = merged(records)
        for name, value in outputs.items():
            if (described := _data_of(name, value, outputs)) is not None:
                data[name] = [described]
        now = datetime.now(UTC).isoformat(timespec="seconds")
        unknown = sorted({*unknown, *missing})
        self._catalog = catalog
        result = Record("", node.name, self._environment, now, self._commit, data, unknown)
        self._made[node.name] = result
        self._in_memory |= {name: result for name in outputs if self._place(catalog, name) is None}

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Write the record."""
        file = None if self._catalog is None else self._place(self._catalog, dataset_name)
        if file is not None:
            write_record(file, replace(self._made[node.name], dataset=dataset_name))

    def _place(self, catalog: DataCatalog, name: str) -> Path | None:
        """Where the record of a dataset stands; None for what is no result: parameters, raw data, work folders."""
        dataset = None if name.startswith("params:") or name == "parameters" else catalog.get(name)
        described = {} if dataset is None else dataset._describe()
        path = described.get("filepath")
        if path is None or described.get("must_exist") is False:
            return None
        full = Path(str(path)).absolute()
        if not full.is_relative_to(self._root) or full.is_relative_to(self._root / _RAW):
            return None
        return place(full, is_model=isinstance(dataset, ModelBundleDataset))


def _data_of(name: str, value: Any, outputs: dict[str, Any]) -> Data | None:  # noqa: ANN401 - any output of a node
    """What an output is, if other results are to be told apart by it."""
    if isinstance(value, CropSet):
        pixels = np.ascontiguousarray(value.crops[:: max(1, len(value) // _SAMPLED)])
        seen = hashlib.sha256(pixels.tobytes()).hexdigest()[:16]
        return Data(f"{table_fingerprint(value.table)}-{seen}", _pictures(value.table))
    if isinstance(value, ModelBundle):
        return Data(_weights_fingerprint(value))
    if name == CORPUS:
        return Data(str(value["data_fingerprint"]), _pictures(outputs["unified_index"]))
    if name.endswith(".image_index"):
        labels = outputs[f"{name.removesuffix('image_index')}raw_annotations"]
        return Data(table_fingerprint(value, labels), _pictures(value))
    return None


def _pictures(table: pd.DataFrame) -> dict[str, int]:
    pictures = table.groupby("source")["image_id"].nunique()
    return {str(source): int(number) for source, number in pictures.items()}


def _weights_fingerprint(model: ModelBundle) -> str:
    import torch

    digest = hashlib.sha256()
    for name, values in sorted(model.weights.items()):
        digest.update(name.encode())
        digest.update(values.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _models_named_in(value: Any) -> Iterator[Record]:  # noqa: ANN401 - parameters of any shape
    """Records of trained models that parameters name by their folder."""
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    if isinstance(value, dict):
        for part in value.values():
            yield from _models_named_in(part)
    elif isinstance(value, str) and "/" in value and (record := read_record(Path(value) / IN_MODEL)) is not None:
        yield record
