"""The rbc_morphology pipeline."""

from blood_kedro.pipelines.rbc_morphology.pipeline import create_pipeline

__all__ = ["create_pipeline"]
