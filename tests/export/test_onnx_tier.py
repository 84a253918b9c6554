"""A tier run from its ONNX file alone is the tier that PyTorch runs."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch

from ofa_pose.data import SyntheticScenes, normalize
from ofa_pose.errors import MissingExtraError, OfaPoseError, UsageError, WeightsError
from ofa_pose.export import export_onnx, load_onnx, load_runnable, load_tier, save_tier
from ofa_pose.export.onnx_tier import DOCUMENT
from ofa_pose.predict import PosePredictor

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def tier(finding_tier):
    return finding_tier


@pytest.fixture(scope="module")
def alone(tier, tmp_path_factory):
    """The ONNX file in a folder without the tier's own files."""
    made = export_onnx(tier, tmp_path_factory.mktemp("made") / "mine.onnx")
    return shutil.copy(made.path, tmp_path_factory.mktemp("device") / "pose.onnx")


def changed(path, folder, **metadata):
    """Return a copy of an ONNX file with other metadata; None takes an entry away."""
    model = onnx.load(path)
    kept = {entry.key: entry.value for entry in model.metadata_props} | metadata
    del model.metadata_props[:]
    for key, value in kept.items():
        if value is not None:
            model.metadata_props.add(key=key, value=value)
    onnx.save(model, folder / "changed.onnx")
    return folder / "changed.onnx"


def test_it_tells_what_the_yaml_tells(tier, alone):
    found = load_onnx(alone)
    for name in ("name", "arch", "space", "skeleton", "costs", "scores", "resolution", "sha256"):
        assert getattr(found, name) == getattr(tier, name), name
    assert found.weights is None


def test_it_maps_normalised_images_as_pytorch_does(tier, alone):
    pixels = torch.randint(0, 256, (2, 3, 64, 96), generator=torch.Generator().manual_seed(0))
    images = normalize(pixels, tier.space.pixel_mean, tier.space.pixel_std)
    with torch.no_grad():
        expected = tier.build()(images)
    found = load_onnx(alone).build()(images.contiguous(memory_format=torch.channels_last))
    for mine, torchs in zip(found, expected, strict=True):
        assert mine.shape == torchs.shape
        assert torch.allclose(mine, torchs, atol=1e-4 * max(1.0, float(torchs.abs().max())))


def test_it_maps_pixels_as_pytorch_does(tier, alone):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    for mine, torchs in zip(load_onnx(alone).mapper()(pixels), tier.mapper()(pixels), strict=True):
        assert mine.dtype == torchs.dtype == np.float32
        assert mine.shape == torchs.shape
        assert np.allclose(mine, torchs, atol=1e-4 * max(1.0, float(np.abs(torchs).max())))


def test_its_pixels_are_given_to_the_file_as_they_are(alone, monkeypatch):
    tier = load_onnx(alone)
    given = []
    monkeypatch.setattr(type(tier), "run", lambda _, pixels: given.append(pixels) or [])
    pixels = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)
    tier.mapper()(pixels)
    assert given[0].dtype == np.float32
    assert given[0].flags.c_contiguous
    assert np.array_equal(given[0][1, 2], pixels[1, :, :, 2])


def test_the_same_people(tier, alone):
    image = SyntheticScenes(0, 1, size=96, skeleton="crowdpose")[0].image
    expected = PosePredictor(tier.path, min_score=0)(image)
    found = PosePredictor(alone, min_score=0)(image)
    assert len(found) == len(expected) > 0
    for mine, torchs in zip(found, expected, strict=True):
        assert np.allclose(mine.keypoints, torchs.keypoints, atol=1e-2)


def test_threads_of_onnxruntime(alone):
    def of(tier):
        return tier.session.get_session_options().intra_op_num_threads

    assert of(load_onnx(alone)) == 0  # all processors, as onnxruntime calls it
    assert of(load_onnx(alone, threads=1)) == 1
    assert of(load_runnable(alone, threads=3)) == 3
    predictor = PosePredictor(alone, threads=1)
    assert of(predictor.tier) == 1
    assert PosePredictor(predictor.tier, threads=1).tier is predictor.tier
    assert PosePredictor(predictor.tier).tier is predictor.tier
    with pytest.raises(UsageError, match=r"an ONNX file has its threads from load_onnx"):
        PosePredictor(predictor.tier, threads=2)
    with pytest.raises(UsageError, match="threads must be a whole number from 1 on, got 0"):
        load_onnx(alone, threads=0)


def test_a_yaml_is_run_by_pytorch(tier):
    assert load_runnable(tier.path) == load_tier(tier.path)


@pytest.mark.parametrize("device", ["meta", torch.device("meta")])
def test_elsewhere_than_on_the_cpu(alone, device):
    with pytest.raises(UsageError, match="not on meta; give the tier's YAML"):
        load_onnx(alone).build(device=device)
    with pytest.raises(UsageError, match="not on meta; give the tier's YAML"):
        load_onnx(alone).mapper(device=device)
    with pytest.raises(UsageError, match="not on meta; give the tier's YAML"):
        load_runnable(alone, device=device)


def test_files_that_are_none(alone, tmp_path):
    with pytest.raises(UsageError, match="no ONNX file at"):
        load_onnx(tmp_path / "absent.onnx")
    with pytest.raises(UsageError, match="cannot read"):
        load_onnx(tmp_path)
    rubbish = tmp_path / "rubbish.onnx"
    rubbish.write_bytes(b"rubbish")
    with pytest.raises(WeightsError, match="onnxruntime cannot read it") as caught:
        load_onnx(rubbish)
    assert "\n" not in str(caught.value)


def test_files_that_tell_no_tier(tier, alone, tmp_path):
    with pytest.raises(UsageError, match="does not tell its joints; `ofa-pose export`"):
        load_onnx(changed(alone, tmp_path, **{DOCUMENT: None}))
    with pytest.raises(WeightsError, match="what it tells of its tier cannot be read"):
        load_onnx(changed(alone, tmp_path, **{DOCUMENT: "{"}))
    document = tier.document()
    document["space"]["hash"] = "0" * 16
    with pytest.raises(WeightsError, match="edited afterwards"):
        load_onnx(changed(alone, tmp_path, **{DOCUMENT: json.dumps(document)}))


def test_what_onnxruntime_cannot_run_is_told_once(alone, capfd):
    with pytest.raises(OfaPoseError, match="^onnxruntime stopped: "):
        load_onnx(alone).run(np.zeros((1, 3, 1, 1), np.float32))
    assert capfd.readouterr() == ("", "")


def test_a_network_with_another_input_is_refused_in_one_line(alone, tmp_path):
    model = onnx.load(alone)
    model.graph.input.append(
        onnx.helper.make_tensor_value_info("threshold", onnx.TensorProto.FLOAT, [1])
    )
    onnx.save(model, tmp_path / "two.onnx")
    with pytest.raises(OfaPoseError, match="onnxruntime stopped: .*threshold"):
        load_onnx(tmp_path / "two.onnx").build()(torch.zeros(1, 3, 64, 64))


def test_a_tier_beside_it_that_has_other_weights_is_told(tier, tmp_path, caplog):
    folder = tmp_path / "copy"
    shutil.copytree(tier.path.parent, folder)
    made = export_onnx(load_tier(folder / "mine.yaml"), folder / "mine.onnx")
    load_onnx(made.path)
    assert caplog.text == ""
    with torch.no_grad():
        network = tier.build()
        next(network.parameters()).mul_(2)
    save_tier(folder, tier, network)
    load_onnx(made.path)
    assert "mine.yaml names: export it again" in caplog.text


def test_without_onnxruntime(alone, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"ofa-pose\[onnx\]"):
        load_onnx(alone)


def test_the_package_onnx_is_not_needed(alone, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert load_onnx(alone).name == "mine"


def test_an_onnx_file_is_not_exported_again(alone, tmp_path):
    with pytest.raises(UsageError, match="from its YAML, not that of an ONNX file"):
        export_onnx(load_onnx(alone), tmp_path / "again.onnx")
    with pytest.raises(UsageError, match="from its YAML, not 'S.yaml'"):
        export_onnx("S.yaml", tmp_path / "again.onnx")  # pyright: ignore[reportArgumentType]
    assert not list(tmp_path.iterdir())


def test_images_may_be_of_any_float_and_of_a_graph(alone, tier):
    images = torch.rand(1, 3, tier.resolution, tier.resolution)
    network = load_onnx(alone).build()
    expected = network(images)
    for other in (images.clone().requires_grad_(), images.double()):
        for given, wanted in zip(network(other), expected, strict=True):
            torch.testing.assert_close(given, wanted)
