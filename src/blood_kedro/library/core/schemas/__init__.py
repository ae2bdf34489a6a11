"""Schemas of the tables that pass between pipelines: each is the `validator:` of a table of the catalog."""

from __future__ import annotations

from blood_kedro.library.core.schemas.corpus import (
    Annotations,
    CanvasAnnotations,
    ClassCounts,
    Composition,
    DuplicatePairs,
    ImageGroups,
    UnifiedIndex,
)
from blood_kedro.library.core.schemas.counting import (
    CellMasks,
    CountedCells,
    CountedTiles,
    FieldChoice,
    KindSearch,
    MaskKinds,
    OpenedTiles,
    SegmentedTiles,
    SmearCounts,
)
from blood_kedro.library.core.schemas.crops import (
    CropCounts,
    CropTable,
    RunPredictions,
    SmearFindings,
    VariantComparison,
)
from blood_kedro.library.core.schemas.detection import DetectedCells, DetectedCounts, TrainingHistory
from blood_kedro.library.core.schemas.overlap import ClassifierAnswers, OverlapCrops, RuleReport, Votes, WeakLabels
from blood_kedro.library.core.schemas.shipped import CellScores, ScaleScores, TypeAnswers
from blood_kedro.library.core.schemas.sources import ImageIndex, InstanceMasks, RawAnnotations, Rejects, SimulatedTruth
from blood_kedro.library.core.schemas.table import SPLITS, Table, column, conform, empty

__all__ = [
    "SPLITS",
    "Annotations",
    "CanvasAnnotations",
    "CellMasks",
    "CellScores",
    "ClassCounts",
    "ClassifierAnswers",
    "Composition",
    "CountedCells",
    "CountedTiles",
    "CropCounts",
    "CropTable",
    "DetectedCells",
    "DetectedCounts",
    "DuplicatePairs",
    "FieldChoice",
    "ImageGroups",
    "ImageIndex",
    "InstanceMasks",
    "KindSearch",
    "MaskKinds",
    "OpenedTiles",
    "OverlapCrops",
    "RawAnnotations",
    "Rejects",
    "RuleReport",
    "RunPredictions",
    "ScaleScores",
    "SegmentedTiles",
    "SimulatedTruth",
    "SmearCounts",
    "SmearFindings",
    "Table",
    "TrainingHistory",
    "TypeAnswers",
    "UnifiedIndex",
    "VariantComparison",
    "Votes",
    "WeakLabels",
    "column",
    "conform",
    "empty",
]
