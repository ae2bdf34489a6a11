"""The reporting pipeline."""

from blood_kedro.pipelines.reporting.pipeline import create_pipeline

__all__ = ["create_pipeline"]
