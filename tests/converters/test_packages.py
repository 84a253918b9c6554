"""A runtime that is not installed is told with the command that brings it."""

import sys

import pytest

from ofa_pose.converters.packages import PACKAGES, require_packages
from ofa_pose.errors import MissingExtraError


@pytest.mark.parametrize("runtime", [name for name, needs in PACKAGES.items() if needs.extra])
def test_what_is_missing_is_named(runtime, monkeypatch):
    packages = PACKAGES[runtime]
    for name in (*packages.exporting, *packages.running):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError) as raised:
        require_packages(runtime, running=False)
    told = str(raised.value)
    assert all(name in told for name in packages.exporting)
    assert not any(f" {name}" in told.partition("needs")[2] for name in packages.running)
    assert f"pip install 'ofa-pose[{packages.extra}]'" in told
    with pytest.raises(MissingExtraError):
        require_packages(runtime, running=True)


def test_torch_is_there():
    require_packages("torch", running=True)
