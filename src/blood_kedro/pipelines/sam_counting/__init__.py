"""The sam_counting pipeline."""

from blood_kedro.pipelines.sam_counting.pipeline import create_pipeline

__all__ = ["create_pipeline"]
