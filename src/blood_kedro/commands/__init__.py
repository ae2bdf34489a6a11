"""The command `blood-kedro`: pictures in, cells and read-outs out, without Kedro, MLflow or training."""
