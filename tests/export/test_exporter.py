"""What every exporter has in common, with PyTorch itself as the runtime."""

import dataclasses
import sys

import numpy as np
import pytest
import torch

from ofa_pose.errors import (
    ConversionError,
    MissingExtraError,
    RunFolderError,
    UnknownNameError,
    UsageError,
    WeightsError,
)
from ofa_pose.export import EXPORTERS, export_tier, load_tier, make_tier
from ofa_pose.export.exporter import Converted, Exporter
from ofa_pose.latency import RUNTIMES


def convert(tier, network, *, run=None):
    def with_torch(images):
        with torch.no_grad():
            return [output.numpy() for output in network(torch.from_numpy(images))]

    side = network.resolution
    return Converted(
        contents=(b"a graph", b"weights"),
        run=run or with_torch,
        sizes=((1, side, side), (2, side, side + 64)),
        input="in0",
        shape=(3, side, side),
        outputs=("out0", "out1"),
    )


TWO = Exporter("torch", ".graph.txt", convert, beside=(".bin",))


def failing(run) -> Exporter:
    return dataclasses.replace(TWO, convert=lambda *made_of: convert(*made_of, run=run))


def test_both_files_are_written(learnt, tmp_path):
    made = TWO.write(load_tier(learnt.path), tmp_path / "deep" / "mine.graph.txt")
    assert made.path == tmp_path / "deep" / "mine.graph.txt"
    assert made.files == (made.path, tmp_path / "deep" / "mine.graph.bin")
    assert [file.read_bytes() for file in made.files] == [b"a graph", b"weights"]
    assert (made.runtime, made.input, made.shape) == ("torch", "in0", (3, 32, 32))
    assert made.difference < 1e-6
    assert len(list(made.path.parent.iterdir())) == 2


def test_batch_norms_are_folded_and_pixels_normalised(learnt, tmp_path):
    """The network that is converted is the tier's, but for rounding."""
    seen = []

    def keep(tier, network):
        seen.append(network)
        return convert(tier, network)

    dataclasses.replace(TWO, convert=keep).write(learnt, tmp_path / "a.txt")
    (network,) = seen
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in network.modules())
    pixels = torch.randint(256, (1, 3, 32, 32), generator=torch.Generator().manual_seed(5))
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1)
        for values in (learnt.space.pixel_mean, learnt.space.pixel_std)
    )
    with torch.no_grad():
        expected = learnt.build()((pixels - mean) / std)
        for own, other in zip(network(pixels.float()), expected, strict=True):
            assert torch.allclose(own, other, atol=1e-5 * float(other.abs().max()))


@pytest.mark.parametrize("there", ["mine.txt", "mine.bin"])
def test_neither_file_is_overwritten_unasked(learnt, tmp_path, there):
    (tmp_path / there).write_text("precious")
    with pytest.raises(RunFolderError, match=rf"{there} exists; use --force"):
        TWO.write(learnt, tmp_path / "mine.txt")
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "precious"
    made = TWO.write(learnt, tmp_path / "mine.txt", force=True)
    assert [file.read_bytes() for file in made.files] == [b"a graph", b"weights"]


@pytest.mark.parametrize("linked", ["mine.txt", "mine.bin"])
def test_a_link_does_not_part_what_belongs_together(learnt, tmp_path, linked):
    earlier = TWO.write(learnt, tmp_path / "kept" / "mine.txt")
    for file in earlier.files:
        file.write_text("earlier")
    (tmp_path / linked).symlink_to(tmp_path / "kept" / linked)
    for there in (False, True):
        if there:
            (tmp_path / ({"mine.txt", "mine.bin"} - {linked}).pop()).write_text("precious")
        with pytest.raises(RunFolderError, match=rf"{linked} is a link and .* is none, but they"):
            TWO.write(learnt, tmp_path / "mine.txt", force=True)
    assert [file.read_text() for file in earlier.files] == ["earlier"] * 2


def test_links_to_both_are_followed(learnt, tmp_path):
    earlier = TWO.write(learnt, tmp_path / "kept" / "mine.txt")
    for file in earlier.files:
        file.write_text("earlier")
        (tmp_path / file.name).symlink_to(file)
    made = TWO.write(learnt, tmp_path / "mine.txt", force=True)
    assert all(file.is_symlink() for file in made.files)
    assert [file.read_bytes() for file in earlier.files] == [b"a graph", b"weights"]


def shifted(images):
    return [np.zeros((len(images), *shape), np.float32) for shape in ((28, 8, 8), (14, 16, 16))]


def breaking(images):
    raise RuntimeError("no memory\nat all")


@pytest.mark.parametrize(
    ("run", "error", "told"),
    [
        (shifted, WeightsError, "torch against PyTorch: output 0 differs from the reference's by"),
        (lambda images: [], WeightsError, r"outputs have the shapes \[\]"),
        (breaking, ConversionError, "^torch stopped: no memory; nothing written$"),
    ],
)
def test_another_network_is_not_let_out(learnt, tmp_path, run, error, told):
    (tmp_path / "mine.bin").write_text("of an earlier one")
    with pytest.raises(error, match=told) as raised:
        failing(run).write(learnt, tmp_path / "mine.txt", force=True)
    assert str(raised.value).endswith("; nothing written")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.bin"]
    assert (tmp_path / "mine.bin").read_text() == "of an earlier one"


def test_a_full_disk_leaves_what_was_there(learnt, tmp_path, full_disk):
    before = TWO.write(learnt, tmp_path / "mine.txt")
    large = dataclasses.replace(
        TWO,
        convert=lambda *made_of: dataclasses.replace(
            convert(*made_of), contents=(b"another", bytes(10000))
        ),
    )
    with full_disk(), pytest.raises(Exception, match="cannot write"):
        large.write(learnt, tmp_path / "mine.txt", force=True)
    assert [file.read_bytes() for file in before.files] == [b"a graph", b"weights"]
    assert len(list(tmp_path.iterdir())) == 2


every_runtime = pytest.mark.parametrize("runtime", EXPORTERS)


def test_those_of_the_latency_tables_but_torch():
    assert {*EXPORTERS, "torch"} == set(RUNTIMES)


@every_runtime
def test_another_suffix_is_refused(learnt, tmp_path, runtime):
    with pytest.raises(UsageError, match=rf"such as pose{EXPORTERS[runtime].suffix}"):
        export_tier(learnt, runtime, path=tmp_path / "pose.bin")


@every_runtime
def test_the_tiers_own_files_stay(learnt, runtime):
    for own in (learnt.path, learnt.weights):
        before = own.read_bytes()
        with pytest.raises(UsageError, match="a file that this command reads"):
            export_tier(learnt, runtime, path=own, force=True)
        assert own.read_bytes() == before


@every_runtime
def test_without_the_extra(learnt, tmp_path, monkeypatch, runtime):
    for name in ("onnxscript", "pnnx", "litert_torch"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ofa-pose\[\w+\]'"):
        export_tier(learnt, runtime, path=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_tier_without_files(learnt):
    with pytest.raises(UsageError, match="has no weights yet"):
        export_tier(make_tier("mine", learnt.space, learnt.arch), "ncnn")


def test_a_name_that_is_no_runtimes(learnt):
    with pytest.raises(
        UnknownNameError, match="'ncn'; did you mean 'ncnn'.* onnxruntime, openvino"
    ):
        export_tier(learnt, "ncn")
