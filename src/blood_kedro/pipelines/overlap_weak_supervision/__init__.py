"""The overlap_weak_supervision pipeline."""

from blood_kedro.pipelines.overlap_weak_supervision.pipeline import create_pipeline

__all__ = ["create_pipeline"]
