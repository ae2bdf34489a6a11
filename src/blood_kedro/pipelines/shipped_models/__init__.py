"""The pipeline that trains the models that ship with the project."""

from blood_kedro.pipelines.shipped_models.pipeline import create_pipeline

__all__ = ["create_pipeline"]
