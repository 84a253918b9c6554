"""Weights on disk: round trips, and everything that must be refused."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch

import ofa_pose as op
from ofa_pose.errors import OfaPoseError, WeightsError
from ofa_pose.models import NetworkPlan, Unit, UnitSpec
from ofa_pose.supernet import load_supernet, load_weights, save_supernet, save_weights

Limit = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def supernet() -> op.Supernet:
    return op.Supernet(op.load_space("toy"), seed=5, skeleton="coco")


def test_round_trip(supernet: op.Supernet, tmp_path: Path) -> None:
    save_supernet(tmp_path / "s.safetensors", supernet)
    loaded = load_supernet(tmp_path / "s.safetensors")
    assert loaded.space == supernet.space
    assert loaded.options == {"skeleton": "coco"}
    expected = supernet.state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in loaded.state_dict().items())


@op.register_family("test_sized")
def sized(
    space: op.SearchSpace, arch: op.Arch, *, sizes: tuple[int, ...] = (1,), pairs: Any = ()
) -> NetworkPlan:
    """One convolution, whatever its options say."""
    side = arch.resolution
    spec = UnitSpec("stem", ((3, side, side),), 4, hidden=4)
    return NetworkPlan((Unit("all", spec, ("input",)),), ("all",))


def test_tuples_among_the_options_come_back(tmp_path: Path) -> None:
    space = op.SearchSpace(
        name="sized", family="test_sized", choices=(op.Choice("resolution", (32,)),)
    )
    path = tmp_path / "s.safetensors"
    options = {"sizes": (3, 4), "pairs": ((1, "a"), (2, None))}
    save_supernet(path, op.Supernet(space, **options))
    assert load_supernet(path).options == options
    assert load_supernet(path, sizes=(3, 4)).options == options
    with pytest.raises(WeightsError, match=r"trained with sizes \(3, 4\), not \(3, 5\)"):
        load_supernet(path, sizes=(3, 5))


def test_half_weights_come_back_as_float32(supernet: op.Supernet, tmp_path: Path) -> None:
    save_supernet(tmp_path / "s.safetensors", supernet, half=True)
    state = load_supernet(tmp_path / "s.safetensors").state_dict()
    for name, tensor in supernet.state_dict().items():
        assert state[name].dtype == tensor.dtype
        expected = tensor.half().float() if tensor.is_floating_point() else tensor
        assert torch.equal(state[name], expected)


def test_of_another_space(supernet: op.Supernet, tmp_path: Path) -> None:
    save_supernet(tmp_path / "s.safetensors", supernet)
    with pytest.raises(WeightsError, match="trained on space 'toy'.*not on 'litepose-xs'"):
        load_supernet(tmp_path / "s.safetensors", space=op.load_space("litepose-xs"))


def test_of_another_skeleton(supernet: op.Supernet, tmp_path: Path) -> None:
    save_supernet(tmp_path / "s.safetensors", supernet)
    with pytest.raises(WeightsError, match="skeleton 'coco', not 'crowdpose'"):
        load_supernet(tmp_path / "s.safetensors", skeleton="crowdpose")


def test_truncated(supernet: op.Supernet, tmp_path: Path) -> None:
    file = tmp_path / "s.safetensors"
    save_supernet(file, supernet)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        load_supernet(file)


def test_absent(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no weights at"):
        load_supernet(tmp_path / "s.safetensors")


def test_not_a_supernet(tmp_path: Path) -> None:
    save_weights(tmp_path / "x.safetensors", {"a": torch.zeros(1)}, metadata={})
    with pytest.raises(WeightsError, match="not a supernet"):
        load_supernet(tmp_path / "x.safetensors")


def test_missing_and_unexpected_keys_are_listed(supernet: op.Supernet, tmp_path: Path) -> None:
    save_supernet(tmp_path / "s.safetensors", supernet)
    state, metadata = load_weights(tmp_path / "s.safetensors")
    state["extra"] = state.pop("network.stem.project.0.weight")
    save_weights(tmp_path / "t.safetensors", state, metadata=metadata)
    expected = r"missing network\.stem\.project\.0\.weight, unexpected extra"
    with pytest.raises(WeightsError, match=expected):
        load_supernet(tmp_path / "t.safetensors")


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_nan_and_infinity_are_never_written(tmp_path: Path, bad: float) -> None:
    with pytest.raises(WeightsError, match="w holds NaN or infinity"):
        save_weights(tmp_path / "x.safetensors", {"w": torch.tensor([bad])}, metadata={})
    assert list(tmp_path.iterdir()) == []


def test_a_number_too_large_for_fp16_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="infinity"):
        save_weights(tmp_path / "x", {"w": torch.tensor([1e6])}, metadata={}, half=True)


def test_a_full_disk_is_one_clear_line(tmp_path: Path, full_disk: Limit) -> None:
    message = r"cannot write .*x\.safetensors: [^\n]*$"
    with full_disk(), pytest.raises(OfaPoseError, match=message):
        save_weights(tmp_path / "x.safetensors", {"w": torch.zeros(10_000)}, metadata={})
    assert list(tmp_path.iterdir()) == []


def test_a_layer_under_two_names_is_written_under_both(tmp_path: Path) -> None:
    layer = torch.nn.Linear(2, 3)
    both = torch.nn.ModuleDict({"one": layer, "other": layer})

    save_weights(tmp_path / "both.safetensors", both.state_dict(), metadata={})

    state, _ = load_weights(tmp_path / "both.safetensors")
    assert sorted(state) == ["one.bias", "one.weight", "other.bias", "other.weight"]
    assert state["one.weight"].equal(layer.weight)
    assert state["other.weight"].equal(layer.weight)


def test_nan_is_not_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"w": torch.tensor([float("nan")])}, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match="w holds NaN or infinity"):
        load_weights(tmp_path / "x.safetensors")


def test_the_same_weights_are_the_same_bytes(tmp_path: Path) -> None:
    metadata = {name: f"{name} é {number}" for number, name in enumerate("zyxwvutsrq")}
    state = {"b": torch.arange(3.0), "a": torch.ones(2, 5), "c": torch.tensor(7)}
    for number in range(5):
        save_weights(tmp_path / str(number), state, metadata=metadata)
    contents = {(tmp_path / str(number)).read_bytes() for number in range(5)}
    assert len(contents) == 1
    (content,) = contents
    assert int.from_bytes(content[:8], "little") % 8 == 0
    found, told = load_weights(tmp_path / "0")
    assert told == metadata
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
