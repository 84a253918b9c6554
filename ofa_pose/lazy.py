"""Names of a package that are imported when they are first asked for, as PyTorch is heavy."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def names_on_use(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package whose names are imported when asked for.

    They are to be bound where a type checker does not look (`if not TYPE_CHECKING`), as it would
    take any name for one of the package's.

    Args:
        package: its dotted name.
        homes: by module of the package, the names that it defines, with spaces between. None may
            be called as a module is, since it would be that module as soon as it is imported.
    """
    modules = {name: f"{package}.{home}" for home, names in homes.items() for name in names.split()}

    def resolve(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(modules[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return resolve, listed
