"""Train a regimen of a pack without Kedro and MLflow: `python scripts/train_detector.py PACK REGIMEN OUT`.

Needs torch, torchvision, lightning, numpy, pandas, pillow and pycocotools, and this repository beside it (it need not
be installed). Under torchrun it trains with as many processes: docs/regimens.md.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from blood_kedro.library.detection.train_pack import main

if __name__ == "__main__":
    sys.exit(main())
