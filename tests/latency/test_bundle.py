"""A bundle runs where there is neither torch nor this package, and its results make the table."""

import ast
import dataclasses
import functools
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import ofa_pose
from ofa_pose.cost import CostTable
from ofa_pose.errors import RunFolderError
from ofa_pose.latency import Effort, measuring, read_measured, table_of_measured, write_bundle
from ofa_pose.latency.build import describe
from ofa_pose.latency.bundle import _PROGRAM, _pinned, costs_with
from ofa_pose.latency.measuring.machine import package_of
from ofa_pose.latency.runtimes import RUNTIMES


def test_a_bundle_holds_what_it_needs(toy, tmp_path):
    write_bundle(tmp_path / "b", [toy], runtime="onnxruntime", effort=Effort(rounds=1, fit=2))
    files = {path.name for path in (tmp_path / "b").iterdir()}
    assert files == {"kit.json", "models.zip", "measure.py", "measuring", "README.md"}
    text = (tmp_path / "b" / "README.md").read_text()
    assert "pip install numpy onnxruntime==" in text
    assert f"all {len(toy.specs_of_all)} units" in text
    with pytest.raises(RunFolderError, match="not empty"):
        write_bundle(tmp_path / "b", [toy], runtime="onnxruntime")


def test_a_device_is_to_install_what_is_installed_here():
    assert _pinned("numpy") == f"numpy=={np.__version__}"


@pytest.mark.parametrize("name", [name for name, one in RUNTIMES.items() if one.bundled])
def test_a_device_is_else_to_install_what_was_tested(monkeypatch, name):
    def find_none(package):
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "version", find_none)
    root = Path(ofa_pose.__file__).parent.parent
    package = package_of(name)
    assert _pinned(package) in (root / "constraints.txt").read_text().splitlines()
    assert _pinned(package).startswith(f"{package}==")


def test_a_version_that_nobody_knows_is_the_user_s(monkeypatch):
    expected = "no-such-package  # or the version that you will deploy"
    assert _pinned("no-such-package") == expected
    monkeypatch.setattr("ofa_pose.catalog.__file__", "/nowhere/ofa_pose/catalog.py")
    assert _pinned("no-such-package") == expected


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no limit on files there")
def test_a_disk_that_is_full_everywhere_is_told_in_one_line(toy, tmp_path):
    """No file may grow longer than some bytes, which leaves no folder for temporary files."""
    resource = pytest.importorskip("resource")
    write_bundle(tmp_path / "b", [toy], runtime="onnxruntime", effort=Effort(rounds=1, fit=2))
    results = tmp_path / "b" / "results.csv"

    def run(bytes_: int, **streams) -> subprocess.CompletedProcess[str]:
        limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (bytes_, bytes_))
        command = [sys.executable, "-B", str(tmp_path / "b" / "measure.py")]
        return subprocess.run(command, preexec_fn=limit, text=True, **streams)

    def told(bytes_: int) -> str:
        done = run(bytes_, capture_output=True)
        assert done.returncode == 1
        assert done.stderr.startswith("measure.py: error: ")
        assert done.stderr.endswith("; what was measured is kept: start again to go on\n")
        assert done.stderr.count("\n") == 1
        return done.stderr

    assert f"error: cannot write {results}: " in told(0)
    assert list(tmp_path.glob("b/results*")) == []
    assert "onnxruntime failed at the network cover-" in told(600)  # a file of onnxruntime's
    assert "(is the memory full, or every disk?)" in told(0)
    with open("/dev/full", "w") as full:
        assert run(0, stdout=full, stderr=full).returncode == 1
        assert run(-1, stdout=full, stderr=full).returncode == 0
    assert "now: ofa-pose latency import" in run(-1, capture_output=True).stdout


def test_an_old_python_is_told(monkeypatch):
    tree = ast.parse(_PROGRAM, feature_version=(3, 5))  # which it can read
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    with pytest.raises(SystemExit) as caught:
        exec(compile(tree, "measure.py", "exec"), {"__name__": "__main__"})
    assert caught.value.code == "measure.py: error: it needs Python 3.10 or newer, this is 3.9"


def test_joints_in_a_file_of_the_space_are_told_by_their_name(toy):
    five = Path(__file__).parents[2] / "examples" / "five_joints.yaml"
    space = dataclasses.replace(toy.space, skeleton=str(five))
    assert describe(CostTable(space))["skeleton"] == "five"
    assert costs_with(space, "five").options == {}


def test_measuring_imports_python_numpy_and_itself():
    files = sorted(Path(measuring.__file__).parent.glob("*.py"))
    assert files
    found = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found.add(node.module.partition(".")[0])
            elif isinstance(node, ast.Import):
                found |= {name.name.partition(".")[0] for name in node.names}
    assert found - set(sys.stdlib_module_names) == {
        *("numpy", "onnxruntime", "openvino", "ai_edge_litert")
    }


@pytest.mark.slow
@pytest.mark.parametrize(("runtime", "exporter"), [("onnxruntime", "onnx"), ("ncnn", "pnnx")])
def test_it_runs_in_a_bare_environment(toy, tmp_path, runtime, exporter):
    pytest.importorskip(exporter)
    folder = tmp_path / "bundle"
    write_bundle(folder, [toy], runtime=runtime, effort=Effort(rounds=1, fit=4))
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    installed = subprocess.run(
        [python, "-m", "pip", "install", "-q", "numpy", runtime], capture_output=True, text=True
    )
    if installed.returncode:
        pytest.skip(f"pip cannot install {runtime} here")
    bare = subprocess.run([python, "-c", "import torch"], capture_output=True)
    assert bare.returncode != 0

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(python), "measure.py", *arguments], cwd=folder, capture_output=True, text=True
        )

    first = run()
    assert first.returncode == 0, first.stderr
    before = (folder / "results.csv").read_bytes()
    assert run().returncode == 0
    assert (folder / "results.csv").read_bytes() == before
    refused = run("--threads", "2")
    assert refused.returncode == 1
    assert refused.stderr.startswith("measure.py: error: ")
    assert "never mixed" in refused.stderr
    results = folder / "results.csv"
    table = table_of_measured(results, *read_measured(results), name="board", device=None)
    assert table.name == f"board-{runtime}"
    assert table.predict(toy.space, toy.space.largest) > 0
