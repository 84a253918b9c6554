"""A module sent in a few blocks of memory comes back as it was."""

import copy
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from multiprocessing import resource_sharer
from multiprocessing.reduction import ForkingPickler

import pytest
import torch
from torch import nn

import ofa_pose as op
from ofa_pose.data import SyntheticScenes
from ofa_pose.evaluate import SubnetEvaluator
from ofa_pose.evaluate.in_blocks import in_blocks


def by_pickle(module: nn.Module) -> nn.Module:
    return pickle.loads(pickle.dumps(in_blocks(module)))


def by_copy(module: nn.Module) -> nn.Module:
    return copy.deepcopy(in_blocks(module))


class Parts(nn.Module):
    """Tensors of every sort: two types, other layouts, unlearnt, empty, unsaved, of two names."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.kernel = nn.Parameter(torch.randn(3, 5, 2, 2, generator=generator))
        self.kernel.data = self.kernel.data.contiguous(memory_format=torch.channels_last)
        self.fixed = nn.Parameter(torch.randn(7, generator=generator), requires_grad=False)
        self.scalar = nn.Parameter(torch.tensor(2.5, dtype=torch.float64))
        self.register_buffer("count", torch.tensor(3))
        self.register_buffer("empty", torch.zeros(0))
        self.register_buffer("unsaved", torch.arange(4.0), persistent=False)
        self.register_buffer("turned", torch.arange(6.0).view(2, 3).t())
        self.other_name = self.kernel
        self.plain = torch.ones(2)


@pytest.fixture
def sharing() -> Iterator[None]:
    yield
    resource_sharer.stop()  # what nobody fetches would stay open


@pytest.mark.parametrize("sent", [by_pickle, by_copy])
def test_every_tensor_comes_back_as_it_was(sent: Callable[[nn.Module], nn.Module]) -> None:
    module = Parts()
    before = copy.deepcopy(module)
    came = sent(module)
    for other in (came, module):
        assert type(other) is Parts
        for kind in ("_parameters", "_buffers"):
            expected = getattr(before, kind)
            assert list(getattr(other, kind)) == list(expected)
            for name, tensor in getattr(other, kind).items():
                assert type(tensor) is type(expected[name])
                assert tensor.equal(expected[name]), name
                assert tensor.stride() == expected[name].stride()
                assert tensor.dtype == expected[name].dtype
                assert tensor.requires_grad == expected[name].requires_grad
        assert other.other_name is other.kernel
        assert other.plain.equal(before.plain)  # pyright: ignore[reportCallIssue, reportArgumentType]
        assert list(other.state_dict()) == list(before.state_dict())


def test_what_came_learns_by_itself() -> None:
    module = nn.Linear(2, 2)
    came = by_pickle(module)
    with torch.no_grad():
        came.weight.fill_(7)  # pyright: ignore[reportCallIssue]
    assert not (module.weight == 7).any()
    module(torch.ones(2)).sum().backward()
    assert module.weight.grad is not None


def test_the_module_stays_what_an_optimizer_knows() -> None:
    module = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    weight = module.weight
    in_blocks(module)
    assert module.weight is weight
    before = weight.clone()
    module(torch.ones(2)).sum().backward()
    optimizer.step()
    assert weight.equal(before - 1)  # the gradient of each weight is its input, 1


def test_tensors_stay_where_the_first_sending_put_them() -> None:
    module = Parts()
    in_blocks(module)
    places = [tensor.data_ptr() for tensor in (*module.parameters(), *module.buffers())]
    in_blocks(module)
    assert [tensor.data_ptr() for tensor in (*module.parameters(), *module.buffers())] == places
    assert module.kernel.data_ptr() % 64 == module.fixed.data_ptr() % 64 == 0


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files as Linux shows them")
@pytest.mark.usefixtures("sharing")
def test_a_supernet_for_eight_processes_needs_few_open_files() -> None:
    evaluator = SubnetEvaluator(
        op.Supernet(op.load_space("litepose-xs"), seed=0),
        calibration=SyntheticScenes(1, 1, size=64, skeleton="crowdpose"),
        scenes=SyntheticScenes(2, 1, size=64, skeleton="crowdpose"),
    )
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(8):
        ForkingPickler.dumps(evaluator)
    opened = len(os.listdir("/proc/self/fd")) - before
    assert opened < 32  # of 1,024; the supernet has 679 tensors


@pytest.mark.skipif(sys.platform != "linux", reason="memory is shared otherwise elsewhere")
@pytest.mark.usefixtures("sharing")
def test_processes_share_the_memory() -> None:
    module = Parts()
    first, second = (pickle.loads(ForkingPickler.dumps(in_blocks(module))) for _ in "ab")
    with torch.no_grad():
        module.fixed.fill_(9)
    assert (first.fixed == 9).all()
    assert (second.fixed == 9).all()
