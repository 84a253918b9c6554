"""Shipped spaces, and where spaces are looked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ofa_pose import catalog, load_space
from ofa_pose.errors import OfaPoseError, SpaceError, UnknownNameError

SHIPPED = sorted(path.stem for path in catalog.catalog_folder("search_spaces").glob("*.yaml"))
FOLDER = catalog.catalog_folder("search_spaces")


def test_the_shipped_spaces_are_found() -> None:
    assert {"litepose", "litepose-k", "litepose-lite0", "litepose-xs", "toy"} <= set(SHIPPED)
    assert sorted(catalog.space_names()) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_space_loads(name: str) -> None:
    space = load_space(name)
    assert space.name == name
    assert space.description
    assert space.tiers
    assert set(space.recipe) == {"pretrain", "supernet", "finetune"}
    assert len(set(space.tiers)) == len(space.tiers)


# Sizes counted by hand from the distinct widths: e.g. litepose's stem 24, 24 * 0.75 -> 24,
# 24 * 0.5 -> 16 are two.
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("litepose", 2 * 2 * 3**7),
        ("litepose-xs", 5 * 3 * 4**7),
        ("litepose-k", 5 * 3**4 * 3**4 * 3**4),
        ("litepose-lite0", 8 * 2 * 2 * 3 * 3 * 3 * 3 * 3 * 2),
        ("toy", 2**6),
    ],
)
def test_sizes(name: str, size: int) -> None:
    assert len(load_space(name)) == size


CHOICES = [
    "resolution",
    "stem",
    *(f"stage{i}" for i in (1, 2, 3, 4)),
    "deconv1",
    "deconv2",
    "deconv3",
]


@pytest.mark.parametrize(
    ("space", "name", "values"),
    [
        ("litepose-xs", "XS", [256, 16, 16, 32, 48, 80, 16, 24, 24]),
        ("litepose", "S", [448, 16, 16, 32, 48, 120, 32, 24, 32]),
        ("litepose", "M", [448, 16, 24, 48, 72, 120, 64, 40, 32]),
        ("litepose", "L", [512, 24, 24, 64, 96, 160, 64, 40, 32]),
        ("litepose", "largest", [512, 24, 32, 64, 96, 160, 64, 48, 32]),
        ("litepose-lite0", "largest", [448, 16, 24, 40, 80, 112, 48, 32, 24]),
    ],
)
def test_published_archs(space: str, name: str, values: list[int]) -> None:
    assert load_space(space).arch(name).to_dict() == dict(zip(CHOICES, values, strict=True))


def test_widths_of_litepose_xs() -> None:
    values = {choice.name: choice.values for choice in load_space("litepose-xs").choices}
    assert values["resolution"] == (512, 448, 384, 320, 256)
    assert values["stem"] == (24, 16, 8)  # 24 * 0.75 = 18 -> 24
    assert values["stage3"] == (96, 72, 48, 24)
    assert values["deconv2"] == (48, 40, 24, 16)  # 36 -> 40 and 12 -> 16


@pytest.mark.parametrize("name", ["litepose", "litepose-xs"])
def test_stage_table_of_litepose(name: str) -> None:
    network = load_space(name).network
    table = [(s["blocks"], s["stride"], s["kernel"], s["expansion"]) for s in network["stages"]]
    assert table == [(6, 2, 7, 6), (8, 2, 7, 6), (10, 2, 7, 6), (10, 1, 7, 6)]
    assert network["stem_width"] == 32


def test_lite0_is_efficientnet_lite0() -> None:
    space = load_space("litepose-lite0")
    table = [(s["blocks"], s["stride"], s["kernel"]) for s in space.network["stages"]]
    assert table == [(2, 2, 3), (2, 2, 5), (3, 2, 3), (3, 1, 5)]
    assert (space.pixel_mean, space.pixel_std) == ((127.0,) * 3, (128.0,) * 3)
    assert space.tiers == {"XS": "150M", "S": "300M", "M": "600M", "L": "1.2G"}


def own(folder: Path, name: str = "own", *, declared: str | None = None) -> Path:
    text = (FOLDER / "toy.yaml").read_text().replace("name: toy", f"name: {declared or name}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path


def test_a_path_is_loaded(tmp_path: Path) -> None:
    path = own(tmp_path)
    assert load_space(path).name == load_space(str(path)).name == "own"
    renamed = own(tmp_path, "file", declared="another")
    assert load_space(renamed).name == "another"


def test_a_file_beside_needs_its_suffix(tmp_path: Path, monkeypatch) -> None:
    own(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert load_space("own.yaml").name == "own"
    with pytest.raises(UnknownNameError):
        load_space("own")


def test_a_space_is_returned_as_it_is() -> None:
    space = load_space("toy")
    assert load_space(space) is space


@pytest.mark.parametrize("below", ["", "search_spaces"])
def test_folders_of_the_variable_come_first(tmp_path: Path, monkeypatch, below: str) -> None:
    own(tmp_path / below)
    shadow = own(tmp_path / below, "toy")
    absent = tmp_path / "absent"
    monkeypatch.setenv("OFA_POSE_PATH", os.pathsep.join([str(absent), "", str(tmp_path)]))
    assert load_space("own").name == "own"
    assert catalog.space_names()["toy"] == shadow
    assert sorted(catalog.space_names()) == sorted([*SHIPPED, "own"])
    assert catalog.search_folders("predictors")[-1] == catalog.catalog_folder("predictors")


def test_a_file_called_otherwise_than_its_space_is_refused(tmp_path: Path, monkeypatch) -> None:
    own(tmp_path, "file", declared="another")
    monkeypatch.setenv("OFA_POSE_PATH", str(tmp_path))
    with pytest.raises(SpaceError, match=r"name: 'another' is declared in a file called file"):
        load_space("file")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("litpose-xs", "unknown search space 'litpose-xs'; did you mean 'litepose-xs'?"),
        (
            "zzz",
            "unknown search space 'zzz'; known: litepose, litepose-k, litepose-lite0, "
            "litepose-xs, toy",
        ),
        ("", "unknown search space ''"),
    ],
)
def test_unknown_names_are_refused(name: str, message: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        load_space(name)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", ["absent.yaml", "folder/absent", Path("absent")])
def test_absent_files_are_refused(name) -> None:
    with pytest.raises(SpaceError, match="cannot read .*absent"):
        load_space(name)


def test_an_installed_package_carries_its_own_catalogue(tmp_path: Path, monkeypatch) -> None:
    package = tmp_path / "site-packages" / "ofa_pose"
    (package / "_catalog" / "search_spaces").mkdir(parents=True)
    monkeypatch.setattr(catalog, "__file__", str(package / "catalog.py"))
    assert catalog.catalog_folder("search_spaces") == package / "_catalog" / "search_spaces"
    with pytest.raises(OfaPoseError, match="reinstall ofa-pose"):
        catalog.catalog_folder("predictors")


def test_neither_torch_nor_pandas_is_loaded() -> None:
    code = (
        "import sys, time, ofa_pose.space, ofa_pose.catalog\n"
        "start = time.process_time()\n"
        "ofa_pose.load_space('litepose-xs').smallest\n"
        "print(time.process_time() - start)\n"
        "assert not {'torch', 'pandas', 'cv2', 'scipy'} & set(sys.modules), 'heavy import'\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) < 0.05


def test_the_space_in_the_catalogues_readme_loads(tmp_path: Path) -> None:
    text = (FOLDER / "README.md").read_text()
    block = text.split("```yaml\n")[1].split("```")[0]
    path = tmp_path / "my-space.yaml"
    path.write_text(block)
    space = load_space(path)
    assert len(space) == 2 * 2 * 2  # stem: 24, 24 and 16
    assert space.arch("mine").resolution == 448


def test_the_catalogues_readme_lists_every_space_with_its_size() -> None:
    text = (FOLDER / "README.md").read_text()
    for name in SHIPPED:
        assert f"| `{name}` | {len(load_space(name)):,} |" in text
