"""A training that diverges, or cannot read its data, stops and keeps what was good."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from ofa_pose import Supernet, load_space
from ofa_pose.errors import (
    DataError,
    TrainingDivergedError,
    WeightsError,
)
from ofa_pose.runs import RunFolder
from ofa_pose.train import load_checkpoint

OpenRun = Callable[..., RunFolder]


class Poisoned(Supernet):
    """Returns NaN (or a gradient of infinity) from one step on."""

    def __init__(self, fault: str, step: int) -> None:
        super().__init__(load_space("toy"), skeleton="crowdpose", seed=3)
        self.fault, self.left = fault, step

    def forward(self, images: Tensor, arch: Any) -> list[Tensor]:
        outputs = super().forward(images, arch)
        self.left -= 1
        if self.left < 0 and self.fault == "loss":
            return [output * float("nan") for output in outputs]
        if self.left < 0 and self.fault == "gradient":
            outputs[1].register_hook(lambda gradient: gradient * float("inf"))
        return outputs


@pytest.mark.parametrize("fault", ["loss", "gradient"])
def test_divergence_names_the_last_good_checkpoint(
    short: Any, fault: str, scenes: Any, open_run: OpenRun, tmp_path: Path
):
    with pytest.raises(TrainingDivergedError) as caught:
        short.train(Poisoned(fault, 7), scenes, open_run())
    message = str(caught.value)
    assert f"the {fault} became nan in step 8 (arch " in message
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    assert f"the last good checkpoint is {checkpoint} (step 6)" in message
    saved = load_checkpoint(checkpoint)
    assert saved.state.step == 6
    assert all(bool(t.isfinite().all()) for t in saved.model.values())
    assert not (tmp_path / "run" / "last.safetensors").exists()


def test_divergence_before_any_checkpoint(short: Any, scenes: Any, open_run: OpenRun):
    with pytest.raises(TrainingDivergedError, match="no checkpoint had been written yet"):
        short.train(Poisoned("loss", 0), scenes, open_run())


def test_nan_weights_are_never_saved(short: Any, scenes: Any, open_run: OpenRun, tmp_path: Path):
    """A NaN that no step notices: in the statistics that only evaluation reads."""
    supernet = short.fresh()

    def poison(step: int, total: int | None, figures: Mapping[str, float]) -> None:
        if step == 5:
            name = next(n for n, _ in supernet.named_buffers() if n.endswith("running_var"))
            supernet.get_buffer(name).fill_(float("nan"))

    with pytest.raises(TrainingDivergedError, match=r"running_var holds a NaN .* \(step 4\)"):
        short.train(supernet, scenes, open_run(), progress=poison)
    saved = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert all(bool(t.isfinite().all()) for t in saved.model.values())


def test_data_that_cannot_be_read_saves_first(
    short: Any, scenes: Any, open_run: OpenRun, tmp_path: Path
):
    class Broken(type(scenes)):
        def __getitem__(self, index: int) -> Any:
            if index == 9:
                raise DataError("photo9.jpg is truncated")
            return super().__getitem__(index)

    with pytest.raises(DataError, match="photo9"):
        short.train(short.fresh(), Broken(), open_run(), workers=1)
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt").state.step < short.steps


def test_validation_that_gives_nan_is_divergence(short: Any, scenes: Any, open_run: OpenRun):
    def validate(step: int) -> dict[str, float]:
        raise WeightsError("the network gives NaN")

    with pytest.raises(TrainingDivergedError, match=r"the network gives NaN; .* \(step 3\)"):
        short.train(short.fresh(), scenes, open_run(), validate=validate)
