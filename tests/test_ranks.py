"""A module imports only from strictly lower ranks, so that the package cannot knot itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ofa_pose

PACKAGE = Path(ofa_pose.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

RANKS = {
    "errors": 0,
    "lazy": 0,
    "files": 1,
    "bootstrap": 1,
    "digest": 1,
    "interrupt": 1,
    "memory": 1,
    "signals": 1,
    "space": 1,
    "unit_key": 1,
    "catalog": 2,
    "runs": 2,
    "skeleton": 2,
    "models": 3,
    "outputs": 3,
    "sides": 3,
    "pose": 3,
    "converters": 4,
    "cost": 4,
    "supernet": 4,
    "data": 4,
    "evaluate": 5,
    "search": 5,
    "train": 6,
    "export": 6,
    "latency": 6,
    "report": 6,
    "api": 6,
    "health": 7,
    "predict": 7,
    "cli": 8,
    "__main__": 9,
}
# What a part must not know at all, heavy imports inside functions included.
FORBIDDEN = {
    "errors": {"torch", "pandas", "matplotlib"},
    "lazy": {"torch", "pandas", "matplotlib"},
    "files": {"torch", "pandas", "matplotlib"},
    "bootstrap": {"torch", "pandas", "matplotlib"},
    "interrupt": {"torch", "pandas", "matplotlib"},
    "memory": {"torch", "pandas", "matplotlib"},
    "signals": {"torch", "pandas", "matplotlib"},
    "space": {"torch", "pandas", "matplotlib"},
    "catalog": {"torch", "pandas", "matplotlib"},
    "skeleton": {"torch", "pandas", "matplotlib"},
    "outputs": {"torch", "pandas", "matplotlib"},
    "sides": {"torch", "pandas", "matplotlib"},
    "unit_key": {"torch", "pandas", "matplotlib"},
    "search": {"torch", *(f"ofa_pose.{part}" for part in ("models", "pose", "cost", "data"))},
}


def part_of(module: str) -> str:
    """Return the part that a dotted name inside the package belongs to: ofa_pose.a.b -> a."""
    return module.split(".")[1]


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the dotted name of everything a file imports, wherever it does so.

    `import ofa_pose` itself is light; what is then taken from it (`ofa_pose.count`) is the import.
    """
    package = [PACKAGE.name, *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name != PACKAGE.name:
                    yield node.lineno, alias.name
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == PACKAGE.name:
                yield node.lineno, f"{PACKAGE.name}.{node.attr}"
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{origin}.{alias.name}"


def faults_of(path: Path) -> list[str]:
    part = part_of(".".join([PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts]))
    rank = RANKS[part]
    faults = []
    for line, name in imports_of(path):
        where = f"{path.relative_to(PACKAGE)}:{line}"
        top = name.split(".")[0]
        for banned in sorted(FORBIDDEN.get(part, set())):
            if f"{name}.".startswith(f"{banned}."):
                faults.append(f"{where}: {part} must not import {banned}")
        if top != PACKAGE.name or name == f"{PACKAGE.name}.__version__":
            continue
        other = part_of(name) if "." in name else None
        if other not in RANKS:
            faults.append(f"{where}: import {name} from the module that defines it")
        elif other != part and RANKS[other] >= rank:
            faults.append(f"{where}: {part} ({rank}) imports {other} ({RANKS[other]})")
    return faults


def test_modules_found():
    assert len(MODULES) > 5


def test_every_part_has_a_rank():
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES}
    assert parts - {"__init__"} <= set(RANKS)


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if path != PACKAGE / "__init__.py"],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_imports_go_down(path):
    assert faults_of(path) == []


def test_package_itself_imports_nothing_at_run_time():
    """The lazy names of ofa_pose/__init__.py are resolved on use, not on import."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    eager = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert {node.module for node in eager} <= {"__future__", "typing"}


@pytest.mark.parametrize("line", ["import torch.nn", "from ofa_pose.pose.oks import AREA"])
def test_the_guard_sees_what_search_must_not_know(tmp_path, monkeypatch, line):
    path = tmp_path / "ofa_pose" / "search" / "new.py"
    path.parent.mkdir(parents=True)
    path.write_text(f"def late():\n    {line}\n", encoding="utf-8")
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path / "ofa_pose")
    (fault,) = faults_of(path)
    assert "new.py:2: search must not import" in fault
