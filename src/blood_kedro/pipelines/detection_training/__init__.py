"""The detection_training pipeline."""

from blood_kedro.pipelines.detection_training.pipeline import create_pipeline

__all__ = ["create_pipeline"]
