"""How things are computed. Nothing in here imports Kedro or MLflow."""
