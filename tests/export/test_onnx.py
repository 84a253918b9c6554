"""A tier as ONNX: onnxruntime, which knows nothing of this package, gives what PyTorch gives."""

import json
import sys

import numpy as np
import pytest
import torch

import ofa_pose as op
from ofa_pose.errors import (
    ConversionError,
    MissingExtraError,
    RunFolderError,
    UsageError,
    WeightsError,
)
from ofa_pose.export import export_onnx, load_tier, make_tier, save_tier
from ofa_pose.export import onnx as module
from ofa_pose.models import NetworkPlan, Unit, UnitSpec, register_unit

onnxruntime = pytest.importorskip("onnxruntime")


def test_bytes_in_and_maps_out(learnt, tmp_path):
    made = export_onnx(load_tier(learnt.path), tmp_path / "deep" / "mine.onnx")
    session = onnxruntime.InferenceSession(made.path, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 128)).astype(np.float32)
    mean, std = (
        np.reshape(v, (1, 3, 1, 1)) for v in (learnt.space.pixel_mean, learnt.space.pixel_std)
    )
    with torch.no_grad():
        expected = learnt.build()(torch.from_numpy((image - mean) / std).float())
    found = session.run(None, {"images": image})
    # 14 joints' heatmaps and tags at 1/4 of the input, heatmaps at 1/2.
    assert [output.shape for output in found] == [(2, 28, 16, 32), (2, 14, 32, 64)]
    for own, other in zip(found, expected, strict=True):
        assert np.allclose(own, other.numpy(), atol=1e-4 * max(1.0, float(other.abs().max())))
    told = session.get_modelmeta().custom_metadata_map
    assert (told["arch"], told["resolution"]) == (learnt.arch.key, "32")
    assert json.loads(told["joints"])[0] == "left_shoulder"
    assert told["weights_sha256"] == learnt.sha256


def test_nothing_is_overwritten_unasked(learnt, tmp_path):
    path = tmp_path / "mine.onnx"
    path.write_text("precious")
    with pytest.raises(RunFolderError, match="--force"):
        export_onnx(learnt, path)
    assert path.read_text() == "precious"
    assert export_onnx(learnt, path, force=True).difference < 1e-4


def test_a_tiers_own_files_are_not_overwritten(learnt):
    for own in (learnt.path, learnt.weights):
        before = own.read_bytes()
        with pytest.raises(UsageError, match="a file that this command reads"):
            export_onnx(learnt, own, force=True)
        assert own.read_bytes() == before


def test_another_network_is_not_let_out(learnt, tmp_path, monkeypatch):
    real = module._exported

    def other(raw, outputs, *, resolution):
        with torch.no_grad():
            next(raw.parameters()).mul_(1.5)
        made = real(raw, outputs, resolution=resolution)
        with torch.no_grad():
            next(raw.parameters()).div_(1.5)
        return made

    monkeypatch.setattr(module, "_exported", other)
    with pytest.raises(WeightsError, match="onnxruntime against PyTorch: output 0 differs"):
        export_onnx(learnt, tmp_path / "mine.onnx")
    assert not (tmp_path / "mine.onnx").exists()


def test_without_the_extra(learnt, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"ofa-pose\[onnx\]"):
        export_onnx(learnt, tmp_path / "mine.onnx")


class OfOneSize(torch.nn.Module):
    """What a picture of another size cannot be put through."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3 * 16 * 16, spec.out_channels)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map `(N, 3, 16, 16)` to `(N, out_channels)`."""
        return self.linear(image.flatten(1))


def test_onnxruntime_itself_prints_nothing(tmp_path, capfd):
    register_unit("test_onnx_size")(OfOneSize)

    @op.register_family("test_onnx_size")
    def family(space: op.SearchSpace, arch: op.Arch) -> NetworkPlan:
        spec = UnitSpec("test_onnx_size", ((3, 16, 16),), 5)
        return NetworkPlan((Unit("only", spec, ("input",)),), ("only",))

    choices = (op.Choice("resolution", (16,)),)
    space = op.SearchSpace(name="size", family="test_onnx_size", choices=choices)
    network = op.build(space, space.smallest).eval()
    tier = save_tier(tmp_path, make_tier("mine", space, space.smallest), network)
    with pytest.raises(ConversionError, match="^onnxruntime stopped: .*; nothing written$"):
        export_onnx(tier, tmp_path / "mine.onnx")
    assert capfd.readouterr() == ("", "")
