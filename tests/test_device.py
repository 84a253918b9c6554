"""What a device installs is a part of what the package names, and PyTorch is none of it."""

import re
import tomllib
from pathlib import Path

import ofa_pose

ROOT = Path(ofa_pose.__file__).parent.parent


def test_device_requirements_are_the_package_s_own():
    lines = (ROOT / "device.txt").read_text(encoding="utf-8").splitlines()
    wanted = {line for line in lines if not line.startswith(("#", "-"))}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    known = {*project["dependencies"], *project["optional-dependencies"]["onnx"]}
    assert wanted <= known
    names = {re.split("[<>=]", line)[0] for line in wanted}
    assert {"numpy", "onnxruntime"} <= names
    assert not names & {"torch", "onnx", "onnxscript"}
