"""A tier as ONNX: onnxruntime, which knows nothing of this package, gives what PyTorch gives."""

import json
import sys

import numpy as np
import pytest
import torch

import ofa_pose as op
from ofa_pose.errors import MissingExtraError, RunFolderError, UsageError, WeightsError
from ofa_pose.export import export_onnx, load_tier, make_tier, save_tier
from ofa_pose.export import onnx as module

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def tier(tmp_path_factory):
    """A tier of the toy space whose batch norms have seen something."""
    space = op.load_space("toy")
    network = op.Supernet(space, seed=3, skeleton="crowdpose").train().extract(space.smallest)
    generator = torch.Generator().manual_seed(1)
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(4, 3, 32, 32, generator=generator))
    folder = tmp_path_factory.mktemp("tier")
    return save_tier(folder, make_tier("mine", space, space.smallest), network.eval())


def test_bytes_in_and_maps_out(tier, tmp_path):
    made = export_onnx(load_tier(tier.path), tmp_path / "deep" / "mine.onnx")
    session = onnxruntime.InferenceSession(made.path, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 128)).astype(np.float32)
    mean, std = (np.reshape(v, (1, 3, 1, 1)) for v in (tier.space.pixel_mean, tier.space.pixel_std))
    with torch.no_grad():
        expected = tier.build()(torch.from_numpy((image - mean) / std).float())
    found = session.run(None, {"images": image})
    # 14 joints' heatmaps and tags at 1/4 of the input, heatmaps at 1/2.
    assert [output.shape for output in found] == [(2, 28, 16, 32), (2, 14, 32, 64)]
    for own, other in zip(found, expected, strict=True):
        assert np.allclose(own, other.numpy(), atol=1e-4 * max(1.0, float(other.abs().max())))
    told = session.get_modelmeta().custom_metadata_map
    assert (told["arch"], told["resolution"]) == (tier.arch.key, "32")
    assert json.loads(told["joints"])[0] == "left_shoulder"
    assert told["weights_sha256"] == tier.sha256


def test_nothing_is_overwritten_unasked(tier, tmp_path):
    path = tmp_path / "mine.onnx"
    path.write_text("precious")
    with pytest.raises(RunFolderError, match="--force"):
        export_onnx(tier, path)
    assert path.read_text() == "precious"
    assert export_onnx(tier, path, force=True).difference < 1e-4


def test_a_tiers_own_files_are_not_overwritten(tier):
    for own in (tier.path, tier.weights):
        before = own.read_bytes()
        with pytest.raises(UsageError, match="a file that this command reads"):
            export_onnx(tier, own, force=True)
        assert own.read_bytes() == before


def test_another_network_is_not_let_out(tier, tmp_path, monkeypatch):
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
        export_onnx(tier, tmp_path / "mine.onnx")
    assert not (tmp_path / "mine.onnx").exists()


def test_without_the_extra(tier, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"ofa-pose\[onnx\]"):
        export_onnx(tier, tmp_path / "mine.onnx")
