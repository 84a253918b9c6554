"""Where a result comes from: the commands, versions, weights and scenes that give it again."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

import ofa_pose

_PACKAGES = (
    "torch", "numpy", "scipy", "scikit-learn", "deap", "pandas", "pycocotools", "hotcoco", "numba",
    "opencv-python-headless",
)  # fmt: skip


@dataclass(frozen=True)
class Origin:
    """What is needed to do a search again.

    Attributes:
        commands: lines for a shell, in order.
        facts: name → value, such as `seed`, `space hash`, the fingerprint of each set of scenes
            and the SHA-256 of the weights.
        versions: package → version.
    """

    commands: Sequence[str]
    facts: Mapping[str, str]
    versions: Mapping[str, str] = field(default_factory=lambda: installed_versions())


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide a search's numbers."""
    versions = {"ofa-pose": ofa_pose.__version__, "Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # an extra that is not installed
            continue
    return versions
