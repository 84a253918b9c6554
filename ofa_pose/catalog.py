"""Where the shipped data lie (search spaces, predictors), in a checkout and in a wheel."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ofa_pose.errors import OfaPoseError, SpaceError, UnknownNameError

if TYPE_CHECKING:
    from ofa_pose.space import SearchSpace

PATH_VARIABLE = "OFA_POSE_PATH"

OWN_TABLES = Path("predictors/latency")
"""Where latency tables are written to and looked for first, from the current folder."""

Kind = Literal["search_spaces", "predictors"]


def catalog_folder(kind: Kind) -> Path:
    """Return the folder of shipped data: inside an installed package, else of the checkout.

    Raises:
        OfaPoseError: neither is there; the installation is damaged.
    """
    return _shipped(kind)


def device_requirements() -> Path:
    """Return device.txt, which lists what a device needs that only runs ONNX files.

    Raises:
        OfaPoseError: it is not there; the installation is damaged.
    """
    return _shipped("device.txt")


def tested_versions() -> dict[str, str]:
    """Return the version of each package that this release was tested with, of constraints.txt.

    Raises:
        OfaPoseError: it is not there; the installation is damaged.
    """
    lines = _shipped("constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("==") for line in lines if not line.startswith("#"))
    return {name.strip(): version.strip() for name, equals, version in pairs if equals}


def _shipped(name: str) -> Path:
    package = Path(__file__).resolve().parent
    checkout = package.parent
    if (package / "_catalog" / name).exists():
        return package / "_catalog" / name
    if (checkout / "pyproject.toml").is_file() and (checkout / name).exists():
        return checkout / name
    raise OfaPoseError(
        f"{name} is neither in {package / '_catalog'} nor in {checkout}; reinstall ofa-pose"
    )


def search_folders(kind: Kind) -> list[Path]:
    """Return the folders to look in, first come first served: OFA_POSE_PATH's, then the shipped.

    A folder of OFA_POSE_PATH may hold the files itself or in a sub-folder called `kind`; one
    that does not exist is passed over, like in PATH.
    """
    folders = []
    for text in os.environ.get(PATH_VARIABLE, "").split(os.pathsep):
        if text:
            folder = Path(text).expanduser()
            folders += [place for place in (folder / kind, folder) if place.is_dir()]
    return [*folders, catalog_folder(kind)]


def space_names() -> dict[str, Path]:
    """Return every search space that can be loaded by name, with its file; sorted by name."""
    folders = search_folders("search_spaces")
    return _by_stem(path for folder in folders for path in folder.glob("*.yaml"))


def weights_names() -> dict[str, Path]:
    """Return every supernet's weights that can be loaded by name; sorted by name.

    They lie in the folder `weights` of each of `search_folders`.
    """
    folders = search_folders("search_spaces")
    return _by_stem(path for each in folders for path in (each / "weights").glob("*.safetensors"))


def latency_table_names() -> dict[str, Path]:
    """Return every latency table that can be loaded by name, with its YAML; sorted by name.

    They lie in `OWN_TABLES`, or in the folder `latency` of each of `search_folders` or in that
    folder itself; a table is a YAML file with a CSV file of the same name beside it.
    """
    places = [OWN_TABLES]
    for folder in search_folders("predictors"):
        places += [folder / "latency", folder]
    paths = (path for place in places for path in place.glob("*.yaml"))
    return _by_stem(path for path in paths if path.with_suffix(".csv").is_file())


def _by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Return files by their stems, sorted; of several called alike, the first."""
    found: dict[str, Path] = {}
    for path in paths:
        found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def load_space(name: str | Path | SearchSpace) -> SearchSpace:
    """Load a search space by its name or from a YAML file.

    Args:
        name: the name of a shipped space or of one in a folder of OFA_POSE_PATH; or the path of
            a YAML file (it has a suffix `.yaml` or `.yml`, or a folder in it). A `SearchSpace`
            is returned as it is.

    Raises:
        UnknownNameError: no space has this name.
        SpaceError: the file is missing or breaks the schema; the message lists every fault.
    """
    from ofa_pose.space import SearchSpace  # here, so that naming what there is loads no pydantic
    from ofa_pose.space.schema import read_space

    if isinstance(name, SearchSpace):
        return name
    path = find_space(name)
    space = read_space(path)
    if not _is_path(name) and space.name != name:
        raise SpaceError(
            f"{path}: name: {space.name!r} is declared in a file called {path.name}; "
            "rename one of the two"
        )
    return space


def find_space(name: str | Path) -> Path:
    """Return the YAML of a space by its name, or by its path as `load_space` tells it.

    Raises:
        UnknownNameError: no space has this name.
    """
    if _is_path(name):
        return Path(name).expanduser()
    names = space_names()
    if name not in names:
        raise UnknownNameError("search space", str(name), names)
    return names[str(name)]


def _is_path(name: str | Path) -> bool:
    text = str(name)
    return isinstance(name, Path) or text.endswith((".yaml", ".yml")) or Path(text).name != text
