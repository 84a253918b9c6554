"""`ofa-pose doctor`: versions, threads, memory, disk, extras."""

import json
import os
import platform
import sys

import torch

from ofa_pose.cli import doctor


def test_report(command):
    document = json.loads(command("doctor", "--json").out)
    assert document["python"] == platform.python_version()
    assert document["dependencies"]["torch"] == torch.__version__
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


def test_missing_dependency_fails(command, monkeypatch):
    monkeypatch.setattr(
        doctor.importlib.metadata, "requires", lambda name: ["numpy>=1", "absent-thing>=1"]
    )
    outcome = command("doctor")
    assert outcome.code == 1
    assert "absent-thing" in outcome.err
    assert "MISSING" in outcome.out
