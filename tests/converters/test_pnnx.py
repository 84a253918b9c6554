"""What pnnx writes is read line by line; what it cannot do is told in one."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch import nn

from ofa_pose.converters.pnnx import Layer, run_pnnx
from ofa_pose.errors import ConversionError


@pytest.mark.parametrize(
    ("line", "ours", "any_size"),
    [
        ("Convolution conv_1 1 1 in0 out0 0=14 1=1 6=28", True, True),
        ("MemoryData mean 0 1 2 0=1 1=1 2=3", True, True),
        ("MemoryData grid 0 1 2 0=8 1=8 2=3", True, False),
        ("InnerProduct fc_1 1 1 4 out0 0=10 1=1 2=480", True, False),
        ("aten::sort sort_1 1 1 4 out0", False, False),
        ("pnnx.Expression expr_1 1 1 4 out0 expr=@0", False, False),
    ],
)
def test_a_line(line, ours, any_size):
    layer = Layer.parse(line)
    assert str(layer) == line
    assert (layer.is_ncnns, layer.fits_any_size) == (ours, any_size)


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A function that makes a shell script stand for pnnx."""

    def make(script: str) -> None:
        path: Path = tmp_path / "pnnx"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setitem(sys.modules, "pnnx", SimpleNamespace(EXEC_PATH=str(path)))

    return make


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo reading; echo 'no such operator' >&2; exit 3", "with code 3: no such operator"),
        ("echo 'all is well'", "with code 0: all is well"),
        ("exit 0", "with code 0: it says nothing"),
    ],
)
def test_it_fails(program, script, told):
    program(script)
    with pytest.raises(ConversionError, match=f"pnnx stopped {told}"):
        run_pnnx(nn.Conv2d(3, 4, 1), [(1, 3, 8, 8)])


def test_its_files_are_read(program):
    program(
        "printf '7767517\\n1 1\\nInput in0 0 1 in0\\n' >network.ncnn.param\n"
        'printf "$2 $3" >network.ncnn.bin'
    )
    model = run_pnnx(nn.Conv2d(3, 4, 1), [(1, 3, 8, 16)])
    assert model.layers == (Layer("Input", "in0", (), ("in0",)),)
    assert model.weights == b"fp16=0 inputshape=[1,3,8,16]f32"


def test_a_module_that_torch_cannot_trace(program):
    class Refuses(nn.Module):
        def forward(self, image):
            raise ValueError("never\nin my life")

    program("exit 0")
    with pytest.raises(ConversionError, match=r"^torch.jit.trace.* stopped: never$"):
        run_pnnx(Refuses(), [(1, 3, 8, 8)])
