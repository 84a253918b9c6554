"""The memory of a step is told beforehand: by arithmetic, and against what a machine has free."""

import logging
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

import ofa_pose as op
from ofa_pose.train import footprint
from ofa_pose.train.footprint import check_memory, free_bytes, kept_bytes, rehearse
from ofa_pose.train.recipe import Recipe
from ofa_pose.train.sampler import ArchSampler, FixedSampler, UniformSampler

MIB = 1 << 20
TOY = op.load_space("toy")


def run(model: nn.Module, images: torch.Tensor) -> Any:
    return model(images)


def test_what_a_convolution_and_its_activation_keep() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
    # The picture, for the weights' gradient, and ReLU's result: 3 and 8 maps of 16 x 16 float32.
    assert kept_bytes(network, run, resolution=16) == (3 + 8) * 16 * 16 * 4


def test_a_map_that_two_operations_need_counts_once_and_weights_do_not() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    # The picture, the first result, and ReLU's, which ReLU and the last one need.
    assert kept_bytes(network, run, resolution=8) == (3 + 4 + 4) * 8 * 8 * 4


def test_the_network_is_left_alone() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert kept_bytes(network, run, resolution=8)
    assert not network.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


class Looks(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images if images.sum() > 0 else -images


class Numpy(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(images.numpy())


class Remembers(nn.Module):
    """Cannot be copied once it has run."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)
        self.last = self.layer(torch.zeros(1, 3, 2, 2))


@pytest.mark.parametrize("kind", [Looks, Numpy, Remembers])
def test_nothing_is_told_of_a_network_that_cannot_run_without_values(kind: type) -> None:
    assert kept_bytes(kind(), run, resolution=8) is None


def test_hooks_do_not_hear_of_it() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    heard: list[str] = []
    network[0].register_forward_pre_hook(lambda *_: heard.append("before"))
    network.register_forward_hook(lambda *_: heard.append("after"))
    assert kept_bytes(network, run, resolution=8)
    assert heard == []
    network(torch.zeros(1, 3, 8, 8))
    assert heard == ["before", "after"]


def test_a_pictures_share_does_not_depend_on_how_many_there_are() -> None:
    network = op.build(TOY, TOY.largest)
    one = kept_bytes(network, run, resolution=64)
    twice = kept_bytes(network, lambda model, x: model(torch.cat([x, x])), resolution=64)
    assert one is not None
    assert twice is not None
    assert twice / one == pytest.approx(2, rel=0.05)


def test_free_memory_of_this_machine_and_of_a_container(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  4096 kB\nMemAvailable:   2048 kB\n")
    monkeypatch.setattr(footprint, "_MEMINFO", meminfo)
    monkeypatch.setattr(footprint, "_CGROUP", tmp_path)
    cpu = torch.device("cpu")
    assert free_bytes(cpu) == 2 * MIB
    (tmp_path / "memory.max").write_text("1048576\n")
    (tmp_path / "memory.current").write_text("786432\n")
    stat = "anon 524288\nfile 262144\ninactive_file 131072\nactive_file 131072\n"
    (tmp_path / "memory.stat").write_text(stat)
    assert free_bytes(cpu) == MIB // 2
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes(cpu) == 2 * MIB
    meminfo.unlink()
    assert free_bytes(cpu) is None


@dataclass
class Training:
    """What `check_memory` reads of a job."""

    model: nn.Module
    sampler: ArchSampler
    recipe: Recipe
    device: torch.device = torch.device("cpu")

    def forward(self, model: nn.Module, images: torch.Tensor, arch: op.Arch) -> Any:
        return model(images, arch) if isinstance(model, op.Supernet) else model(images)


@pytest.mark.parametrize("supernet", [True, False])
def test_a_step_that_does_not_fit_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, supernet: bool
) -> None:
    largest = TOY.largest
    model = op.Supernet(TOY) if supernet else op.build(TOY, largest)
    sampler = UniformSampler(TOY, 0) if supernet else FixedSampler(largest)
    picture = kept_bytes(op.build(TOY, largest), run, resolution=largest.resolution)
    assert picture is not None
    job: Any = Training(model, sampler, Recipe(batch_size=8))
    for free, warned in ((8.2 * picture, False), (7.8 * picture, True)):
        caplog.clear()
        monkeypatch.setattr(footprint, "free_bytes", lambda _, free=free: int(free))
        with caplog.at_level(logging.WARNING):
            check_memory(job)
        assert ("--batch-size" in caplog.text) is warned
        assert (f"8 pictures at {largest.resolution} px" in caplog.text) is warned
    caplog.clear()
    job.recipe = Recipe(batch_size=8, accumulate=2)
    check_memory(job)
    assert not caplog.text


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_rehearsal_runs_the_largest_and_leaves_the_model_alone(precision: Any) -> None:
    model = op.Supernet(TOY).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ran: list[tuple[tuple[int, ...], op.Arch]] = []

    class Noted(Training):
        def forward(self, model: nn.Module, images: torch.Tensor, arch: op.Arch) -> Any:
            ran.append((tuple(images.shape), arch))
            return super().forward(model, images, arch)

    job: Any = Noted(model, UniformSampler(TOY, 0), Recipe(batch_size=8, precision=precision))
    rehearse(job, pictures=4)
    side = TOY.largest.resolution
    assert ran == [((4, 3, side, side), TOY.largest)]
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
