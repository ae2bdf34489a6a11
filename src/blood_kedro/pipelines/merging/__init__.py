"""The merging pipeline."""

from blood_kedro.pipelines.merging.pipeline import create_pipeline

__all__ = ["create_pipeline"]
