"""Shared weights: a subnet inside the supernet is the subnet cut out of it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import ofa_pose as op
from ofa_pose.errors import ArchError

# Pictures are 32 px, whatever the arch's resolution: the widths are what is shared.
SIDE = 32
SPACES = ("toy", "litepose-lite0", "litepose", "litepose-xs", "litepose-k")
_SUPERNETS: dict[str, op.Supernet] = {}


def supernet(name: str) -> op.Supernet:
    """A supernet whose batch norms are far from the identity."""
    if name not in _SUPERNETS:
        net = op.Supernet(op.load_space(name), seed=1)
        generator = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for layer in net.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    for tensor in (layer.weight, layer.bias, layer.running_mean):
                        assert tensor is not None
                        tensor.add_(0.3 * torch.randn(tensor.shape, generator=generator))
                    assert layer.running_var is not None
                    layer.running_var.mul_(
                        torch.rand(layer.running_var.shape, generator=generator) + 0.5
                    )
        _SUPERNETS[name] = net
    return _SUPERNETS[name]


def images(seed: int) -> torch.Tensor:
    return torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def check_equal(name: str, seed: int) -> None:
    """Outputs in both modes, gradients inside and outside of the slices, statistics."""
    net = supernet(name)
    arch = net.space.sample(np.random.default_rng(seed))
    x = images(seed)

    net.eval()
    subnet = net.extract(arch)
    with torch.no_grad():
        for shared, own in zip(net(x, arch), subnet(x), strict=True):
            torch.testing.assert_close(shared, own, rtol=0, atol=1e-6)

    net.train()
    subnet = net.extract(arch).train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    net.zero_grad()
    shared, own = net(x, arch), subnet(x)
    for a, b in zip(shared, own, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
    for outputs in (shared, own):
        torch.stack([output.square().mean() for output in outputs]).sum().backward()
    parameters = dict(net.network.named_parameters())
    for path, parameter in subnet.named_parameters():
        gradient = parameters[path].grad
        assert gradient is not None
        assert parameter.grad is not None
        corner = leading(gradient, parameter.shape)
        torch.testing.assert_close(corner, parameter.grad, rtol=1e-4, atol=1e-6)
        assert gradient.count_nonzero() == corner.count_nonzero()
    buffers, after = dict(net.network.named_buffers()), dict(subnet.named_buffers())
    for path, buffer in buffers.items():
        old = before[f"network.{path}"]
        if path in after:
            corner = leading(buffer, after[path].shape)
            torch.testing.assert_close(corner, after[path], rtol=1e-5, atol=1e-6)
            if buffer.dim():
                assert torch.equal(buffer[len(corner) :], old[len(corner) :])
        else:
            assert torch.equal(buffer, old)
    net.load_state_dict(before)


def leading(tensor: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """The first channels, and the centre of what follows them."""
    starts = [
        0 if dim < 2 else (whole - size) // 2
        for dim, (whole, size) in enumerate(zip(tensor.shape, shape, strict=True))
    ]
    return tensor[tuple(slice(at, at + size) for at, size in zip(starts, shape, strict=True))]


@pytest.mark.parametrize("name", SPACES)
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**31 - 1))
def test_a_subnet_equals_its_extraction(name: str, seed: int) -> None:
    check_equal(name, seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", SPACES)
@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**31 - 1))
def test_200_subnets_equal_their_extraction(name: str, seed: int) -> None:
    check_equal(name, seed)


def elastic_everywhere() -> op.Supernet:
    """Width, depth, kernel and expansion vary."""
    toy = op.load_space("toy")
    stages = [dict(stage) for stage in toy.network["stages"]]
    stages[1] |= {"kernel": "kernel2", "expansion": "expansion2", "blocks": "depth2"}
    space = op.SearchSpace(
        name="elastic",
        family="litepose",
        choices=(
            *toy.choices,
            op.Choice("kernel2", (7, 5, 3)),
            op.Choice("expansion2", (4, 2)),
            op.Choice("depth2", (3, 2, 1)),
        ),
        network={**toy.network, "stages": stages},
    )
    return op.Supernet(space, seed=1)


@pytest.mark.parametrize("seed", range(6))
def test_kernel_depth_and_expansion_share_weights_too(seed: int) -> None:
    net = elastic_everywhere().train()
    arch = net.space.sample(np.random.default_rng(seed))
    subnet = net.extract(arch)
    x = images(seed)
    for outputs in (net(x, arch), subnet(x)):
        torch.stack([output.square().mean() for output in outputs]).sum().backward()
    for path, parameter in net.network.named_parameters():
        own = dict(subnet.named_parameters()).get(path)
        if own is None:  # a block that this arch has not
            assert parameter.grad is None
            continue
        assert parameter.grad is not None
        assert own.grad is not None
        # A kernel's gradient lies in the middle, channels' at the front.
        corner = leading(parameter.grad, own.shape)
        torch.testing.assert_close(corner, own.grad, rtol=1e-4, atol=1e-6)
        assert parameter.grad.count_nonzero() == corner.count_nonzero()


def test_extraction_is_a_copy() -> None:
    net = supernet("toy")
    subnet = net.extract(net.space.smallest)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with torch.no_grad():
        for parameter in subnet.parameters():
            parameter.fill_(7)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_extraction_keeps_the_precision() -> None:
    net = op.Supernet(op.load_space("toy"), seed=1).double().eval()
    # A number that float32 has not.
    net.network.get_parameter("stem.conv.0.weight").data[:] = 1 + 2**-40
    arch = net.space.smallest
    subnet = net.extract(arch)
    floating = [tensor for tensor in subnet.state_dict().values() if tensor.is_floating_point()]
    assert {tensor.dtype for tensor in floating} == {torch.float64}
    assert (subnet.get_parameter("stem.conv.0.weight") == 1 + 2**-40).all()
    x = images(0).double()
    for shared, own in zip(net(x, arch), subnet(x), strict=True):
        torch.testing.assert_close(shared, own, rtol=0, atol=1e-12)


def test_the_largest_arch_is_the_whole_supernet() -> None:
    net = supernet("toy").eval()
    plain = op.build(net.space, net.space.largest).eval()
    plain.load_state_dict(net.network.state_dict())
    x = images(0)
    assert all(map(torch.equal, net(x, net.space.largest), plain(x)))


def test_an_arch_of_another_space_is_refused() -> None:
    with pytest.raises(ArchError, match="litepose"):
        supernet("toy")(images(0), op.load_space("litepose").largest)


def test_the_network_alone_refuses_to_run_without_an_arch() -> None:
    with pytest.raises(RuntimeError, match="Supernet"):
        supernet("toy").network(images(0))


def test_two_threads_may_run_two_archs() -> None:
    from concurrent.futures import ThreadPoolExecutor

    net = supernet("toy").eval()
    archs = [net.space.largest, net.space.smallest] * 8
    x = images(0)
    with torch.no_grad():
        expected = {arch: net(x, arch)[0] for arch in set(archs)}

        def run(arch: op.Arch) -> torch.Tensor:
            with torch.no_grad():
                return net(x, arch)[0]

        with ThreadPoolExecutor(2) as pool:
            for arch, output in zip(archs, pool.map(run, archs), strict=True):
                assert torch.equal(output, expected[arch])
