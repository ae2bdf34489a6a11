"""How networks of single cells are trained: when the rate falls, when it stops, what a loss weighs, what is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor, nn

from blood_kedro.library.core.errors import ConfigurationError
from blood_kedro.library.training.crops import CropData, flips, in_order
from blood_kedro.library.training.draws import drawn_from
from blood_kedro.library.training.epochs import fit_or_stop
from blood_kedro.library.training.losses import ClassWeighted
from blood_kedro.library.training.options import Compute, Training
from blood_kedro.library.training.predict import device_for
from blood_kedro.library.training.supervised import Trained, fit_supervised, training_seconds

ON_CPU = Compute(accelerator="cpu")


def trained_through(val_losses: list[float], work_folder: Path, compute: Compute = ON_CPU, **more: Any) -> Trained:
    """A training whose validation loss takes these values, one an epoch."""
    changes = {key: more.pop(key) for key in ("stop_patience", "schedule") if key in more}
    settings = Training(epochs=len(val_losses), batch_size=8, lr=0.1, **changes)
    coming = {"losses": list(val_losses)}
    data = CropData(np.zeros((8, 4, 4, 3), np.uint8), np.arange(8), np.arange(8) % 2, 0)

    def val_loss(_: Tensor, __: Tensor) -> Tensor:
        return torch.tensor(coming["losses"].pop(0))

    return fit_supervised(
        nn.Sequential(nn.Flatten(), nn.Linear(48, 2)),
        lambda logits, _: (logits * 0).sum(),
        data,
        data,
        settings,
        seed=0,
        identity="known",
        work_folder=work_folder,
        compute=compute,
        val_loss=val_loss,
        **more,
    )


def test_rate_falls_after_four_epochs_without_a_fall_of_the_loss(tmp_path: Path) -> None:
    """As Keras counts (Elmanna et al. 2024, 4.4): a fall by less than 0.0001 is none, a larger one starts anew."""
    losses = [1.0, 0.9, 0.9, 0.9, 0.89995, 0.89995, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8]
    rates = [row["lr"] for row in trained_through(losses, tmp_path / "w").history]
    assert rates == pytest.approx([0.1] * 6 + [0.01] * 5 + [0.001])


def test_training_stops_after_ten_epochs_without_any_fall(tmp_path: Path) -> None:
    slowly = [1 - 1e-5 * k for k in range(16)]  # less than min_delta each time, and yet a fall
    assert len(trained_through(slowly, tmp_path / "slowly").history) == 16
    made = trained_through([1.0, 0.5, *[0.5] * 20], tmp_path / "flat")
    assert (len(made.history), made.best_epoch) == (12, 2)


@pytest.mark.parametrize("schedule", ["plateau", "cosine"])
def test_resumed_training_keeps_its_schedule(tmp_path: Path, schedule: str) -> None:
    losses = [1.0] * 8
    whole = trained_through(losses, tmp_path / "whole", schedule=schedule)

    def dies(row: dict[str, float]) -> None:
        if row["epoch"] == 4:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        trained_through(losses, tmp_path / "cut", schedule=schedule, on_epoch=dies)
    resumed = trained_through(losses, tmp_path / "cut", schedule=schedule)
    assert [row["lr"] for row in resumed.history] == pytest.approx([row["lr"] for row in whole.history])
    assert resumed.history[0]["lr"] == 0.1  # the rate that the epoch had, not the next one's
    assert training_seconds(resumed.history) == sum(row["seconds"] for row in resumed.history)


@pytest.mark.parametrize(
    ("changes", "continues"),
    [({"compute": Compute(accelerator="cpu", workers=1)}, True), ({"stop_patience": 9}, False)],
)
def test_a_training_continues_with_another_compute_and_not_with_another_recipe(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, Any], continues: bool
) -> None:
    def dies(row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        trained_through([1.0] * 3, tmp_path / "w", on_epoch=dies)
    with caplog.at_level("INFO"):
        assert len(trained_through([1.0] * 3, tmp_path / "w", **changes).history) == 3
    assert ("training continues from" in caplog.text) is continues


def test_class_weights_are_per_cell_and_not_divided_by_those_of_the_batch() -> None:
    """Keras' class_weight: sum of weight times loss over the cells of the batch, by hand."""
    logits = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    wanted, weight = torch.tensor([1, 0, 1]), torch.tensor([0.5, 3.0])
    each = [np.log(2), np.log(1 + np.exp(-2)), np.log(1 + np.exp(-1))]
    by_hand = (3 * each[0] + 0.5 * each[1] + 3 * each[2]) / 3
    assert float(ClassWeighted(weight)(logits, wanted)) == pytest.approx(by_hand)
    assert float(ClassWeighted(weight)(logits, nn.functional.one_hot(wanted, 2).float())) == pytest.approx(by_hand)
    alone = float(ClassWeighted(weight)(logits[:1], wanted[:1]))
    assert alone == pytest.approx(3 * each[0])  # torch's weighted mean says log 2 here, whatever the weight


def test_augmented_copies_are_added_to_the_originals() -> None:
    crops = np.random.default_rng(0).integers(0, 255, (5, 8, 8, 3), dtype=np.uint8)
    chosen = np.array([4, 1, 3])
    plain = CropData(crops, chosen, np.arange(5), 0)
    both = CropData(crops, chosen, np.arange(5), 0, flips(36), keep_originals=True)
    instead = CropData(crops, chosen, np.arange(5), 0, flips(36))
    assert (len(plain), len(instead), len(both)) == (3, 3, 6)
    for k in range(3):
        assert torch.equal(both[(7, k)][0], plain[k][0])
        assert torch.equal(both[(7, 3 + k)][0], instead[(7, k)][0])
        assert int(both[(7, k)][1]) == int(both[(7, 3 + k)][1]) == chosen[k]
    assert not torch.equal(both[(7, 3)][0], both[(8, 3)][0])  # new copies in each epoch
    assert [int(label) for _, labels in in_order(both, 4) for label in labels] == [4, 1, 3, 4, 1, 3]


def test_a_gpu_that_is_asked_for_and_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert device_for(Compute(accelerator="auto")).type == "cpu"
    with pytest.raises(ConfigurationError, match="there is no GPU"):
        device_for(Compute(accelerator="gpu"))


def test_a_training_that_sigterm_stopped_is_not_taken_for_a_finished_one() -> None:
    """Lightning's own exit has no status, where the signal came while Python could not raise ours."""

    class Stopped:
        interrupted = False

        def fit(self, *_: Any, **__: Any) -> None:
            raise SIGTERMException

    with pytest.raises(SystemExit) as ended:
        fit_or_stop(Stopped(), None, None, None)  # type: ignore[arg-type]
    assert ended.value.code == 143


def test_numbers_drawn_from_a_seed_are_those_of_torch_and_leave_no_trace() -> None:
    torch.manual_seed(3)
    wanted, next_one = torch.rand(4), torch.rand(1)
    torch.manual_seed(3)
    torch.rand(4)
    waiting = len(torch.cuda._queued_calls)
    with pytest.raises(ZeroDivisionError), drawn_from(3):
        assert torch.equal(torch.rand(4), wanted)
        raise ZeroDivisionError
    assert torch.equal(torch.rand(1), next_one)
    assert len(torch.cuda._queued_calls) == waiting
