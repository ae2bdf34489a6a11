"""The standardization pipeline."""

from blood_kedro.pipelines.standardization.pipeline import create_pipeline

__all__ = ["create_pipeline"]
