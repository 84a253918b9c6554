"""`ofa-pose export --runtime`: the files, what is told of them, and what is refused in one line."""

import json
import re
import sys

import pytest
import torch

import ofa_pose as op
from ofa_pose.export import EXPORTERS, Tier, make_tier, save_tier
from ofa_pose.export.exporter import Converted, Exporter


@pytest.fixture
def tier(tmp_path) -> Tier:
    space = op.load_space("toy")
    network = op.Supernet(space, skeleton="crowdpose").eval().extract(space.smallest)
    return save_tier(tmp_path, make_tier("XS", space, space.smallest), network)


@pytest.fixture
def pretended(monkeypatch):
    """ncnn, if PyTorch were it."""

    def convert(tier, network):
        def run(images):
            with torch.no_grad():
                return [output.numpy() for output in network(torch.from_numpy(images))]

        return Converted(
            contents=(b"7767517", bytes(2_999_993)),
            run=run,
            sizes=((1, 32, 32),),
            input="in0",
            shape=(3, "H", "W"),
            outputs=("out0", "out1"),
            as_planned="y[None]",
        )

    own = EXPORTERS["ncnn"]
    monkeypatch.setitem(
        EXPORTERS, "ncnn", Exporter("torch", own.suffix, convert, beside=own.beside)
    )


def test_two_files_and_what_to_do_with_them(tier, command, pretended):
    outcome = command("export", tier.path, "--runtime", "ncnn")
    assert outcome.code == 0, outcome.err
    first, second, third = outcome.out.splitlines()
    folder = tier.path.parent
    assert first.startswith(f"{folder / 'XS.ncnn.param'} and {folder / 'XS.ncnn.bin'}: 3.00 MB, ")
    assert "made for 32 px" in first
    told = re.fullmatch(r"torch's outputs differ from PyTorch's by (\S+) of their range", second)
    assert told is not None
    assert float(told[1]) < 1e-6
    assert third.startswith("next: ")
    for word in ("in0", "(3, H, W)", "out0 and out1", "y[None]", "ofa_pose.pose.decode_outputs"):
        assert word in third
    for name in ("XS.ncnn.param", "XS.ncnn.bin"):
        assert (folder / name).is_file()


def test_for_machines(tier, command, pretended, tmp_path):
    out = tmp_path / "card" / "pose.param"
    outcome = command("export", tier.path, "--runtime", "ncnn", "--out", out, "--json")
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)
    assert told["files"] == [str(out), str(out.with_suffix(".bin"))]
    assert (told["file"], told["bytes"], told["resolution"]) == (str(out), 3_000_000, 32)
    assert told["input"] == {"name": "in0", "shape": [3, "H", "W"]}
    assert (told["outputs"], told["as_planned"]) == (["out0", "out1"], "y[None]")


@pytest.mark.parametrize("out", ["card/new/", "card/new", "card/."])
def test_a_folder_that_is_to_be_made(tier, command, pretended, tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "card").mkdir()
    outcome = command("export", tier.path, "--runtime", "ncnn", "--out", out)
    if out == "card/new":
        assert outcome.code == 2
        assert "ends in .param, such as pose.ncnn.param; write card/new/ for a" in outcome.err
        assert list((tmp_path / "card").iterdir()) == []
        return
    assert outcome.code == 0, outcome.err
    for name in ("XS.ncnn.param", "XS.ncnn.bin"):
        assert (tmp_path / out / name).is_file()


def test_a_slash_after_a_files_name(tier, command, pretended, tmp_path):
    (tmp_path / "pose.param").write_text("precious")
    line = ("export", tier.path, "--runtime", "ncnn", "--out", f"{tmp_path}/pose.param/")
    outcome = command(*line, "--force")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "pose.param is no folder" in outcome.err
    assert (tmp_path / "pose.param").read_text() == "precious"


def test_what_is_there_stays(tier, command, pretended):
    line = ("export", tier.path, "--runtime", "ncnn")
    (tier.path.parent / "XS.ncnn.bin").write_text("precious")
    refused = command(*line)
    assert (refused.code, "XS.ncnn.bin exists; use --force" in refused.err) == (2, True)
    assert refused.err.count("\n") == 1
    assert not (tier.path.parent / "XS.ncnn.param").exists()
    assert (tier.path.parent / "XS.ncnn.bin").read_text() == "precious"
    assert command(*line, "--force").code == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--runtime", "tensorrt"], "known: litert, ncnn, onnxruntime, openvino"),
        (["--runtime", "torch"], "unknown runtime 'torch'"),
        (["--runtime", ""], "unknown runtime ''"),
        (["--runtime", "ncnn", "--out", "pose.onnx"], "ends in .param, such as pose.ncnn.param"),
        (["--runtime", "litert", "--out", "pose"], "ends in .tflite, such as pose.tflite"),
        (["--out", "pose.tflite"], "ends in .onnx, such as pose.onnx"),
    ],
)
def test_refusals(tier, command, tmp_path, monkeypatch, options, told):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    outcome = command("export", tier.path, *options)
    assert (outcome.code, outcome.out) == (2, "")
    assert told in outcome.err
    assert outcome.err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(("runtime", "package"), [("ncnn", "pnnx"), ("litert", "litert_torch")])
def test_without_the_extra(tier, command, monkeypatch, runtime, package):
    monkeypatch.setitem(sys.modules, package, None)
    outcome = command("export", tier.path, "--runtime", runtime)
    assert outcome.code == 2
    assert package in outcome.err
    assert f"pip install 'ofa-pose[{runtime}]'" in outcome.err
    assert outcome.err.count("\n") == 1
