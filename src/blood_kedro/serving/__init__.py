"""Models as MLflow serves them: code that rebuilds a network from a bundle."""
