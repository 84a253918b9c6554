"""What is told of a module that is not there: whose it is, and what imports it."""

import importlib
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest

import ofa_pose
from ofa_pose.errors import DEPENDENCIES, missing_package

ROOT = Path(ofa_pose.__file__).parent.parent


def told_of(statement: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Import a file of a user's that consists of one statement; return what is told."""
    (folder / "users_own.py").write_text(f"{statement}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "users_own", raising=False)
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module("users_own")
    return str(missing_package(caught.value))


def test_a_package_that_this_one_depends_on(monkeypatch, tmp_path):
    for name, expected in (
        ("torch", "this needs PyTorch, which is not installed: pip install torch"),
        ("pycocotools", "this needs pycocotools, which is not installed: install ofa-pose with"),
    ):
        monkeypatch.setitem(sys.modules, name, None)  # Python takes it for absent
        assert told_of(f"import {name}", tmp_path, monkeypatch).startswith(expected)


@pytest.mark.parametrize(
    ("statement", "lacking"),
    [
        ("import not_there_at_all", "not_there_at_all"),
        ("from not_there_at_all.inside import x", "not_there_at_all"),
        ("import torch.not_there_at_all", "torch.not_there_at_all"),
    ],
)
def test_what_a_user_s_file_imports(monkeypatch, tmp_path, statement, lacking):
    assert told_of(statement, tmp_path, monkeypatch) == (
        f"{tmp_path / 'users_own.py'}: No module named {lacking!r}; install what it imports"
    )


def test_the_dependencies_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {re.split("[<>=]", line)[0].lower() for line in project["dependencies"]}
    brought: dict[str, set[str]] = {name: set() for name in wanted}
    for module, packages in importlib.metadata.packages_distributions().items():
        for package in packages:
            brought.get(package.lower().replace("_", "-"), set()).add(module)
    for package, modules in brought.items():
        assert modules & DEPENDENCIES, package
    assert set().union(*brought.values()) >= DEPENDENCIES
