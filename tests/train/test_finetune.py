"""Training a single network: it learns, at its arch's resolution, and resumes."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from typing import Any

import pytest
import torch

from ofa_pose import build, load_space
from ofa_pose.errors import ArchError, WeightsError
from ofa_pose.runs import RunFolder
from ofa_pose.supernet import load_weights
from ofa_pose.train import Cadence, Recipe, TrainBudget, finetune

OpenRun = Callable[..., RunFolder]
TOY = load_space("toy")
STILL = {"rotation": 0, "scale": (1, 1), "translation": 0, "flip": 0}
OPTIONS: dict[str, Any] = {
    "space": TOY,
    "arch": TOY.largest,
    "recipe": Recipe.model_validate({"batch_size": 2, "lr": 5e-3, "augmentation": STILL}),
    "budget": TrainBudget(steps=6),
    "cadence": Cadence(log_every=2),
    "workers": 0,
}


def network(arch: Any = TOY.largest) -> torch.nn.Module:
    return build(TOY, arch, skeleton="crowdpose", seed=1)


def test_loss_falls_on_one_picture(scenes: Any, open_run: OpenRun):
    losses = []
    with open_run() as run:
        finetune(
            network(),
            type(scenes)(count=1),
            run=run,
            **{**OPTIONS, "budget": TrainBudget(epochs=40)},  # 20 steps of twice the picture
            progress=lambda step, total, figures: losses.append(figures["loss"]),
        )
    assert len(losses) == 20
    assert losses[-1] < 0.5 * losses[0]


def test_weights_say_what_they_are(scenes: Any, open_run: OpenRun):
    arch = TOY.smallest
    net = network(arch)
    seen = set()
    net.register_forward_pre_hook(lambda _, inputs: seen.add(inputs[0].shape))
    with open_run() as run:
        options = {**OPTIONS, "arch": arch, "validate": lambda step: {"AP": step / 100}}
        result = finetune(net, scenes, run=run, **options)
    assert seen == {(2, 3, arch.resolution, arch.resolution)}
    assert result.best_weights is not None
    state, metadata = load_weights(result.best_weights)
    assert (metadata["kind"], metadata["space_hash"]) == ("network", TOY.hash)
    assert json.loads(metadata["arch"]) == arch.to_dict()
    assert json.loads(metadata["options"]) == {"skeleton": "crowdpose"}
    assert (metadata["step"], metadata["AP"]) == ("6", "0.06")
    for name, tensor in net.state_dict().items():
        assert torch.equal(state[name], tensor)


def test_resume_is_the_same(scenes: Any, open_run: OpenRun):
    whole, part, resumed = network(), network(), network()
    with open_run("whole") as run:
        finetune(whole, scenes, run=run, **OPTIONS)

    def stop(step: int, total: int | None, figures: Any) -> None:
        if step == 3:
            signal.raise_signal(signal.SIGINT)

    with open_run() as run, pytest.raises(KeyboardInterrupt):
        finetune(part, scenes, run=run, progress=stop, **OPTIONS)
    with open_run(resume=True) as run:
        finetune(resumed, scenes, run=run, resume=True, **OPTIONS)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name


class Drawing(torch.nn.Module):
    """Draws from torch's global generator, as dropout does."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network()
        self.drawn: list[float] = []

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        self.drawn.append(float(torch.rand((), device=images.device)))
        return self.network(images)


def test_what_a_network_draws_follows_from_the_seed(scenes: Any, open_run: OpenRun):
    drawn = []
    for start in (1, 2):
        torch.manual_seed(start)
        before = torch.get_rng_state()
        drawing = Drawing()
        with open_run(str(start)) as run:
            finetune(drawing, scenes, run=run, **OPTIONS)
        assert torch.equal(torch.get_rng_state(), before)
        drawn.append(drawing.drawn)
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 6


def test_heatmaps_only(scenes: Any, open_run: OpenRun):
    net = network()
    before = [p.detach().clone() for p in net.parameters()]
    recipe = OPTIONS["recipe"].model_copy(update={"tags": False, "grad_clip": 1.0})
    with open_run() as run:
        finetune(net, scenes, run=run, **{**OPTIONS, "recipe": recipe})
        rows = run.file("metrics.csv").read_text().splitlines()
    assert any(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert rows[0] == "step,epoch,lr,loss,heatmap,pull,push"
    assert {tuple(row.split(",")[-2:]) for row in rows[1:]} == {("0.0", "0.0")}


def test_weight_decay_spares_biases_and_norms(scenes: Any, open_run: OpenRun):
    """AdamW with lr * decay = 1 sets a decayed tensor to its Adam update, at most lr a cell."""
    net = network()
    recipe = OPTIONS["recipe"].model_copy(
        update={"optimizer": "adamw", "weight_decay": 1e6, "lr": 1e-6}
    )
    with open_run() as run:
        budget = TrainBudget(steps=1)
        finetune(net, scenes, run=run, **{**OPTIONS, "recipe": recipe, "budget": budget})
    for name, parameter in net.named_parameters():
        if parameter.ndim > 1:
            assert parameter.abs().max() <= 1.01e-6, name
        elif name.endswith("weight"):  # batch norm, 1 at the start
            assert parameter.min() > 0.99, name


def test_checkpoint_of_another_arch(scenes: Any, open_run: OpenRun):
    with open_run() as run:
        finetune(network(), scenes, run=run, **OPTIONS)
    options = {**OPTIONS, "arch": TOY.smallest}
    with open_run(resume=True) as run, pytest.raises(WeightsError, match="arch.resolution was 48"):
        finetune(network(TOY.smallest), scenes, run=run, resume=True, **options)


def test_arch_of_another_space(scenes: Any, open_run: OpenRun):
    foreign = load_space("litepose").largest
    with open_run() as run, pytest.raises(ArchError, match="belongs to space 'litepose'"):
        finetune(network(), scenes, run=run, **{**OPTIONS, "arch": foreign})
