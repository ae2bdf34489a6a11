"""What runs: wiring (`pipeline.py`) and thin nodes (`nodes.py`)."""
