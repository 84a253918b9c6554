"""`ofa-pose doctor`: versions, threads, memory, disk, extras."""

import json
import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch

import ofa_pose
from ofa_pose.cli import doctor

ROOT = Path(ofa_pose.__file__).parent.parent


def test_report(command):
    document = json.loads(command("doctor", "--json").out)
    assert document["python"] == platform.python_version()
    # The wheel's version: what follows a plus sign, as for CUDA, is known to the module alone.
    version = document["dependencies"]["torch"]
    assert version.partition("+")[0] == torch.__version__.partition("+")[0]
    assert document["torch_threads"] == torch.get_num_threads()
    assert set(document["extras"]) >= {"dev", "pretrained"}
    assert document["memory_bytes"] > 0
    assert document["free_disk_bytes"] > 0


def test_table(command):
    outcome = command("doctor")
    assert outcome.code == 0
    assert "extra [pretrained]" in outcome.out


def test_it_reports_where_little_is_installed(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "joblib", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    document = json.loads(command("doctor", "--json").out)
    assert (document["cpus"], document["devices"]) == (os.cpu_count(), [])


@pytest.fixture
def on_a_device(monkeypatch):
    """Let no more be installed than device.txt lists, and tell which packages those are."""
    lines = (ROOT / "device.txt").read_text(encoding="utf-8").splitlines()
    there = {re.split("[<>=]", line)[0] for line in lines if line[0] not in "#-"}

    def version(name):
        if name not in there:
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(doctor.importlib.metadata, "version", version)
    for name in ("joblib", "torch"):
        monkeypatch.setitem(sys.modules, name, None)
    return there


def test_a_device_has_what_it_needs(command, on_a_device):
    outcome = command("doctor")
    assert (outcome.code, outcome.err) == (0, "")
    last = outcome.out.splitlines()[-1]
    assert last.startswith("installed to run ONNX files (device.txt); training and search need ")
    assert re.search(r"\btorch\b", last)
    assert "numpy" not in last
    rows = dict(re.split(r"  +", line, maxsplit=1) for line in outcome.out.splitlines()[:-1])
    assert rows["extra [onnx]"] == "not installed: onnx, onnxscript; installed: onnxruntime"
    assert rows["extra [ncnn]"] == "not installed: ncnn, pnnx"
    assert rows["torch"] == "not installed"
    assert rows["cpus"] == str(os.cpu_count())
    document = json.loads(command("doctor", "--json").out)
    assert document["device"] == dict.fromkeys(on_a_device, "1")


def test_a_device_that_lacks_a_package(command, on_a_device):
    on_a_device.remove("onnxruntime")
    outcome = command("doctor")
    assert outcome.code == 1
    assert "torch" in outcome.err
    assert "MISSING" in outcome.out


def test_missing_dependency_fails(command, monkeypatch):
    monkeypatch.setattr(
        doctor.importlib.metadata, "requires", lambda name: ["numpy>=1", "absent-thing>=1"]
    )
    outcome = command("doctor")
    assert outcome.code == 1
    assert "absent-thing" in outcome.err
    assert "MISSING" in outcome.out
