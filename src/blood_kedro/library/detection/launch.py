"""Train one regimen with several processes of this machine, from a program that must not be started several times."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from blood_kedro.library.core.cell_patch import CellPatch
from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.core.model_bundle import ModelBundle
from blood_kedro.library.detection.fit import Fit
from blood_kedro.library.detection.pack import pack_data, pack_regimen
from blood_kedro.library.detection.taken_over import take_over

if TYPE_CHECKING:
    from blood_kedro.library.detection.options import Regimen

_POLL_S = 0.5


def fit_in_processes(
    regimen: Regimen,
    train: dict[str, Any],
    val: dict[str, Any],
    images: Path,
    work_folder: Path,
    *,
    pretrained: ModelBundle | None = None,
    cutouts: Sequence[CellPatch] = (),
    on_epoch: Callable[[dict[str, float]], None] = lambda _: None,
) -> Fit:
    """As `fit`, with one process for each device of `compute`: torchrun runs `job.py` on a pack in `work_folder`.

    Lightning alone would start the calling program (Kedro, with its whole pipeline) once more for each device.

    Raises:
        ConfigurationError: the regimen asks for several machines; those are started by hand.
        RuntimeError: the training failed; its own messages are above.
    """
    if regimen.compute.num_nodes > 1:
        raise ConfigurationError(
            "several machines cannot be started from here",
            where=f"regimen {regimen.name}: compute.num_nodes",
            got=str(regimen.compute.num_nodes),
            expected="1",
            remedy="make pack, scripts/train_detector.py under torchrun on each machine, then trained_in "
            "(docs/regimens.md)",
        )
    pack, out = work_folder / "pack", work_folder / "out"
    pack_data(pack, {"train": train, "val": val}, images, copy=False)
    pack_regimen(pack, regimen, pretrained, cutouts)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={regimen.compute.devices}",
        "-m",
        "blood_kedro.library.detection.train_pack",
        str(pack),
        regimen.name,
        str(out),
        "--predict",
    ]
    reported = 0
    with subprocess.Popen(command) as process:  # noqa: S603
        try:
            while process.poll() is None:
                time.sleep(_POLL_S)
                reported = _tell(out / "history.csv", reported, on_epoch)
        except BaseException:
            process.terminate()  # torchrun ends its processes
            raise
    if process.returncode:
        processes = regimen.compute.devices
        raise RuntimeError(f"training of {regimen.name} in {processes} processes ended with {process.returncode}")
    _tell(out / "history.csv", reported, on_epoch)
    return take_over(out, regimen, train, val)


def _tell(path: Path, reported: int, on_epoch: Callable[[dict[str, float]], None]) -> int:
    """Pass on the rows that are new; how many there are now."""
    rows = pd.read_csv(path).to_dict("records") if path.is_file() else []
    for row in rows[reported:]:
        on_epoch({str(name): float(value) for name, value in row.items()})
    return max(reported, len(rows))
