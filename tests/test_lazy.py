"""Names that are imported on use are there, and are those that type checkers see."""

import ast
import importlib
from pathlib import Path

import pytest

import ofa_pose
from ofa_pose.lazy import names_on_use

ROOT = Path(ofa_pose.__file__).parent
PACKAGES = sorted(
    f"ofa_pose.{path.parent.name}"
    for path in ROOT.glob("*/__init__.py")
    if "names_on_use" in path.read_text(encoding="utf-8")
)


def declared(package: str) -> dict[str, str]:
    """Return the names that a package's `if TYPE_CHECKING` imports, and their modules."""
    path = ROOT / package.rpartition(".")[2] / "__init__.py"
    (block,) = (
        node
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name)
    )
    return {
        alias.name: str(node.module)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_packages_found():
    assert "ofa_pose.pose" in PACKAGES


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_what_its_module_defines(package):
    loaded = importlib.import_module(package)
    for name in loaded.__all__:
        assert getattr(loaded, name) is not None
        assert name in dir(loaded)
    for name, module in declared(package).items():
        assert getattr(loaded, name) is getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_name_is_a_module_too(package):
    folder = ROOT / package.rpartition(".")[2]
    assert not set(declared(package)) & {path.stem for path in folder.iterdir()}


def test_a_name_is_looked_up_once():
    resolve, _ = names_on_use("ofa_pose.skeleton", {"names": "guess_flip plain_name"})
    loaded = importlib.import_module("ofa_pose.skeleton")
    assert "guess_flip" not in vars(loaded)
    assert resolve("guess_flip") is vars(loaded).pop("guess_flip")


def test_another_name_is_none():
    resolve, _ = names_on_use("ofa_pose.skeleton", {"names": "plain_name"})
    with pytest.raises(AttributeError, match="'ofa_pose.skeleton' has no attribute 'absent'"):
        resolve("absent")
