"""What is written for a runtime is run by that runtime, which knows nothing of this package."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ofa_pose as op
from ofa_pose.converters.packages import require_packages
from ofa_pose.data import SyntheticScenes
from ofa_pose.errors import ConversionError, MissingExtraError
from ofa_pose.export import EXPORTERS, Exported, Tier, export_tier, make_tier, save_tier
from ofa_pose.export.litert import planned_layout
from ofa_pose.models import NetworkPlan, Unit, UnitSpec, register_unit
from ofa_pose.predict import PosePredictor, write_picture

DOCS = Path(op.__file__).parent.parent / "docs"
SLOW = {"litert": pytest.mark.slow}
pytestmark = pytest.mark.filterwarnings("default")  # their own packages warn


def needs(runtime: str) -> None:
    try:
        require_packages(runtime, running=True)
    except MissingExtraError as error:
        pytest.skip(str(error))


@pytest.fixture(params=[pytest.param(name, marks=SLOW.get(name, ())) for name in EXPORTERS])
def runtime(request) -> str:
    """Every runtime that is installed."""
    needs(request.param)
    return request.param


def run_onnxruntime(files: tuple[Path, ...], images: np.ndarray) -> list[np.ndarray]:
    onnxruntime: Any = importlib.import_module("onnxruntime")
    return onnxruntime.InferenceSession(files[0]).run(None, {"images": images})


def run_openvino(files: tuple[Path, ...], images: np.ndarray) -> list[np.ndarray]:
    openvino: Any = importlib.import_module("openvino")
    compiled = openvino.compile_model(files[0], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [compiled({"images": images})[number] for number in range(len(compiled.outputs))]


def run_ncnn(files: tuple[Path, ...], images: np.ndarray) -> list[np.ndarray]:
    ncnn: Any = importlib.import_module("ncnn")
    net = ncnn.Net()
    assert net.load_param(str(files[0])) == net.load_model(str(files[1])) == 0
    extractor = net.create_extractor()
    image = np.ascontiguousarray(images[0])
    extractor.input("in0", ncnn.Mat(image))
    return [np.array(extractor.extract(name)[1])[None] for name in net.output_names()]


def run_litert(files: tuple[Path, ...], images: np.ndarray) -> list[np.ndarray]:
    interpreters: Any = importlib.import_module("ai_edge_litert.interpreter")
    run = interpreters.Interpreter(str(files[0])).get_signature_runner()
    found = run(args_0=np.ascontiguousarray(images.transpose(0, 2, 3, 1)))
    maps = [found[name] for name in sorted(found)]
    return [y.transpose(0, 3, 1, 2) if y.ndim == 4 else y for y in maps]


RUN = {
    "onnxruntime": run_onnxruntime,
    "openvino": run_openvino,
    "ncnn": run_ncnn,
    "litert": run_litert,
}
FILES = {
    "onnxruntime": ["mine.onnx"],
    "openvino": ["mine.onnx"],
    "ncnn": ["mine.ncnn.param", "mine.ncnn.bin"],
    "litert": ["mine.tflite"],
}


def expected_of(tier: Tier, images: np.ndarray) -> list[np.ndarray]:
    mean, std = (np.reshape(v, (1, 3, 1, 1)) for v in (tier.space.pixel_mean, tier.space.pixel_std))
    with torch.no_grad():
        outputs = tier.build()(torch.from_numpy((images - mean) / std).float())
    return [output.numpy() for output in outputs]


def assert_same(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert [output.shape for output in found] == [output.shape for output in expected]
    for own, other in zip(found, expected, strict=True):
        assert np.allclose(own, other, atol=1e-4 * max(1.0, float(np.abs(other).max())))


def test_bytes_in_and_maps_out(learnt, tmp_path, runtime):
    made = export_tier(learnt, runtime, path=tmp_path)
    assert [file.name for file in made.files] == FILES[runtime]
    assert sorted(tmp_path.iterdir()) == sorted(made.files)
    assert made.difference < 1e-4
    # 14 joints: of sides that are free the picture takes one that is longer.
    width = 96 if made.shape[-1] == "W" else 32
    images = np.random.default_rng(0).integers(0, 256, (1, 3, 32, width)).astype(np.float32)
    found = RUN[runtime](made.files, images)
    assert [output.shape for output in found] == [(1, 28, 8, width // 4), (1, 14, 16, width // 2)]
    assert_same(found, expected_of(learnt, images))


def test_what_is_told_of_it(learnt, tmp_path, runtime):
    made: Exported = export_tier(learnt, runtime, path=tmp_path)
    told = (made.input, made.shape, made.outputs)
    if runtime == "ncnn":
        assert told == ("in0", (3, "H", "W"), ("out0", "out1"))
    elif runtime == "litert":
        assert told == ("args_0", (1, 32, 32, 3), ("output_0", "output_1"))
    else:
        assert told == ("images", ("N", 3, "H", "W"), learnt.build().plan.outputs)


class OfPlainLayers(torch.nn.Module):
    """A convolution, and the mean over its map or something that few runtimes have."""

    rare = False

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, spec.out_channels, 3, 2, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map `(N, 3, H, W)` to `(N, out_channels)`."""
        found = self.conv(image)
        return torch.erfinv(torch.tanh(found) / 2) if self.rare else found.mean((2, 3))


@pytest.fixture
def plain(tmp_path) -> Tier:
    """The tier of a family that is no pose network."""
    register_unit("test_runtimes_plain")(OfPlainLayers)

    @op.register_family("test_runtimes_plain")
    def family(space: op.SearchSpace, arch: op.Arch) -> NetworkPlan:
        side = arch.resolution
        spec = UnitSpec("test_runtimes_plain", ((3, side, side),), 5)
        return NetworkPlan((Unit("only", spec, ("input",)),), ("only",))

    space = op.SearchSpace(
        name="plain", family="test_runtimes_plain", choices=(op.Choice("resolution", (16,)),)
    )
    network = op.Supernet(space, seed=2).eval().extract(space.smallest)
    return save_tier(tmp_path / "tier", make_tier("mine", space, space.smallest), network)


@pytest.mark.parametrize(
    ("dimensions", "layout"),
    [
        ([4, 4], "y.transpose(0, 3, 1, 2)"),
        ([2], "y"),
        ([3, 2], "y"),
        ([4, 2], "y.transpose(0, 3, 1, 2) if y.ndim == 4 else y"),
    ],
)
def test_litert_turns_maps_alone(dimensions, layout):
    assert planned_layout(dimensions) == layout
    for number in dimensions:  # numpy's words for what the converter did
        given = np.zeros((1, 5, 6, 7)[:number])
        made = given.transpose(0, 2, 3, 1) if number == 4 else given
        assert eval(layout, {"y": made}).shape == given.shape


def test_a_family_without_poses(plain, tmp_path, runtime):
    made = export_tier(plain, runtime, path=tmp_path)
    assert made.as_planned == ("y[None]" if runtime == "ncnn" else "y")
    images = np.random.default_rng(1).integers(0, 256, (1, 3, 16, 16)).astype(np.float32)
    found = RUN[runtime](made.files, images)
    assert [output.shape for output in found] == [(1, 5)]
    assert_same(found, expected_of(plain, images))
    if runtime == "ncnn":  # the file's layers depend on the size
        assert made.shape == (3, 16, 16)


def test_a_layer_that_the_runtime_has_not(plain, tmp_path, runtime, monkeypatch):
    monkeypatch.setattr(OfPlainLayers, "rare", True)
    with pytest.raises(ConversionError, match="erfinv.*; nothing written") as raised:
        export_tier(plain, runtime, path=tmp_path / f"rare{EXPORTERS[runtime].suffix}")
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["tier"]


def test_the_page_finds_with_ncnn_whom_predict_finds(finding_tier, tmp_path, monkeypatch):
    needs("ncnn")
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "tiers.md").read_text(encoding="utf-8")
    program = page.partition("```py\n")[2].partition("```")[0].replace("XS.", "mine.")
    export_tier(finding_tier, "ncnn", path=tmp_path)
    (tmp_path / "mine.yaml").write_bytes(finding_tier.path.read_bytes())
    scene = SyntheticScenes(0, 1, size=96, skeleton="crowdpose")[0].image
    write_picture("photo.png", scene[:64])
    names: dict[str, Any] = {}
    exec(compile(program.replace("photo.jpg", "photo.png"), "tiers.md", "exec"), names)
    expected = PosePredictor(finding_tier, min_score=0)("photo.png")
    found = sorted(names["people"], key=lambda person: -person.score)
    assert len(found) == len(expected) > 0
    for own, other in zip(found, expected, strict=True):
        assert np.allclose(own.keypoints, other.keypoints, atol=1e-2)
