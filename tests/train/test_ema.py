"""Averaged weights: values by hand, resume to the bit, and a swap that leaves no trace."""

from __future__ import annotations

import io
import struct

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ofa_pose import Supernet, load_space
from ofa_pose.errors import RecipeError, WeightsError
from ofa_pose.train.ema import Average


class Number(nn.Module):
    """One weight, one statistic, one counter."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def set(self, value: float) -> Number:
        with torch.no_grad():
            self.weight.fill_(value)
            self.get_buffer("mean").fill_(-value)
            self.get_buffer("steps").add_(1)
        return self


def average_of(average: Average) -> dict[str, float]:
    return {name: tensor.item() for name, tensor in average.state_dict()["average"].items()}


def test_values_by_hand() -> None:
    model = Number()
    average = Average(model, 0.75, warmup=False)
    average.update(model.set(8))
    assert average_of(average) == {"weight": 2.0, "mean": -2.0, "steps": 1}
    average.update(model.set(6))
    assert average_of(average) == {"weight": 3.0, "mean": -3.0, "steps": 2}
    assert model.weight.item() == 6
    assert average.updates == 2


def test_warm_up_by_hand() -> None:
    model = Number()
    average = Average(model, 0.5)
    # Decays 1/10, 2/11, 3/12 … until (1 + n) / (10 + n) exceeds 1/2, after n = 8.
    average.update(model.set(5))
    assert average_of(average)["weight"] == pytest.approx(4.5)
    average.update(model.set(10))
    assert average_of(average)["weight"] == pytest.approx((2 * 4.5 + 9 * 10) / 11)
    average.update(model.set(1))
    assert average_of(average)["weight"] == pytest.approx((9 + 3 * 1) / 4)
    for _ in range(7):
        average.update(model.set(2))
    before = average_of(average)["weight"]
    average.update(model.set(100))
    assert average_of(average)["weight"] == pytest.approx((before + 100) / 2)


def trained(steps: int, average: Average, model: nn.Module, *, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(4, 3, 8, 8, generator=generator)).square().mean().backward()
        optimizer.step()
        average.update(model)


def network(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


def test_equals_torchs_own_average() -> None:
    model = network()
    average = Average(model, 0.9, warmup=False)
    reference = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    reference.update_parameters(model)  # the first call copies
    for step in range(5):
        trained(1, average, model, seed=step)
        reference.update_parameters(model)
    own = average.state_dict()["average"]
    for name, parameter in reference.module.named_parameters():
        torch.testing.assert_close(own[name], parameter.detach())
    assert own["1.num_batches_tracked"] == 5


def test_resumes_to_the_same_bits() -> None:
    model = network()
    whole = Average(model, 0.999)
    trained(6, whole, model, seed=1)
    model = network()
    first = Average(model, 0.999)
    trained(3, first, model, seed=1)
    stream = io.BytesIO()
    torch.save(first.state_dict(), stream)
    stream.seek(0)
    second = Average(network(seed=9), 0.999)
    second.load_state_dict(torch.load(stream, weights_only=True))
    again = network()
    third = Average(again, 0.999)
    trained(3, third, again, seed=1)
    assert second.updates == 3
    for name, tensor in second.state_dict()["average"].items():
        assert torch.equal(tensor, third.state_dict()["average"][name]), name
    trained(3, first, model, seed=2)
    trained(3, second, again, seed=2)
    assert second.updates == 6
    for name, tensor in second.state_dict()["average"].items():
        assert torch.equal(tensor, first.state_dict()["average"][name]), name


def bits(model: nn.Module) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("failure", [None, ValueError, KeyboardInterrupt])
def test_swapped_in_and_out_to_the_bit(failure) -> None:
    model = network()
    average = Average(model, 0.999)
    trained(3, average, model, seed=1)
    odd = struct.unpack("<f", bytes.fromhex("0100c07f"))[0]  # a NaN that carries a message
    with torch.no_grad():
        model.get_parameter("0.bias")[:2] = torch.tensor([-0.0, odd])
    before = bits(model)
    places = [tensor.data_ptr() for tensor in model.state_dict().values()]
    expected = {k: v.clone() for k, v in average.state_dict()["average"].items()}

    def evaluate() -> None:
        with average.applied(model):
            for name, tensor in model.state_dict().items():
                assert torch.equal(tensor, expected[name]), name
            if failure is not None:
                raise failure

    if failure is None:
        evaluate()
    else:
        with pytest.raises(failure):
            evaluate()
    assert bits(model) == before
    assert [tensor.data_ptr() for tensor in model.state_dict().values()] == places
    for name, tensor in average.state_dict()["average"].items():
        assert torch.equal(tensor, expected[name]), name
    trained(1, average, model, seed=2)


def test_layouts_may_differ() -> None:
    model = network()
    average = Average(model, 0.9)
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    trained(2, average, model, seed=1)
    before = bits(model)
    with average.applied(model):
        weight = model.get_parameter("0.weight")
        assert weight.is_contiguous(memory_format=torch.channels_last)
        assert bits(model) != before
    assert bits(model) == before


def test_lent_weights_are_neither_updated_nor_saved() -> None:
    model = Number()
    average = Average(model, 0.9)
    state = average.state_dict()
    with average.applied(model):
        for use in (
            lambda: average.update(model),
            lambda: average.load_state_dict(state),
            average.state_dict,
            lambda: average.applied(model).__enter__(),
        ):
            with pytest.raises(RuntimeError, match="leave `applied` first"):
                use()
    average.update(model.set(10))
    assert average_of(average)["weight"] == 9


def test_a_supernets_average_is_a_supernet() -> None:
    space = load_space("toy")
    supernet = Supernet(space, seed=0)
    average = Average(supernet, 0.5, warmup=False)
    largest = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    assert average.state_dict()["average"].keys() == supernet.state_dict().keys()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.add_(2)
    average.update(supernet)
    with average.applied(supernet), torch.no_grad():
        supernet.eval()
        subnet = supernet.extract(space.smallest)
        for name, parameter in supernet.named_parameters():
            torch.testing.assert_close(parameter, largest[name] + 1)
        inside = supernet(images, space.smallest)
        for own, cut in zip(inside, subnet(images), strict=True):
            torch.testing.assert_close(own, cut)
    for name, parameter in supernet.named_parameters():
        torch.testing.assert_close(parameter, largest[name] + 2)


def test_another_models_weights_are_refused() -> None:
    average = Average(network(), 0.9)
    with pytest.raises(WeightsError, match="another model's; they differ in 0.bias, .*, weight$"):
        average.update(Number())
    wide = nn.Sequential(nn.Conv2d(3, 4, 5), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    for use in (average.update, lambda model: average.applied(model).__enter__()):
        with pytest.raises(WeightsError, match=r"they differ in 0\.weight$"):
            use(wide)
    with pytest.raises(WeightsError, match=r"they differ in 0\.weight$"):
        average.load_state_dict(Average(wide, 0.9).state_dict())
    assert average.updates == 0


@pytest.mark.parametrize("decay", [-0.1, 1.0, 1.5, float("nan")])
def test_impossible_decays_are_refused(decay) -> None:
    with pytest.raises(RecipeError, match=r"\[0, 1\)"):
        Average(Number(), decay)
