"""`ofa-pose spaces`: ls, show, validate, cp."""

import json
import re
import shutil
from pathlib import Path

import pytest

from ofa_pose.catalog import catalog_folder, load_space

EXAMPLES = Path(__file__).parents[2] / "examples"
SHIPPED = ["litepose", "litepose-k", "litepose-lite0", "litepose-xs", "toy"]


def test_ls(command):
    outcome = command("spaces", "ls")
    assert outcome.code == 0
    assert [line.split()[0] for line in outcome.out.splitlines()[1:]] == SHIPPED
    document = json.loads(command("spaces", "ls", "--json").out)
    assert [entry["name"] for entry in document] == SHIPPED
    # 5 resolutions; stem 3; stages 4, 4, 4, 4; deconvs 4, 4, 4 distinct widths of 8's multiples.
    archs = {entry["name"]: entry["archs_total"] for entry in document}
    assert archs["litepose-xs"] == 5 * 3 * 4**7


def test_ls_reads_the_users_folders(command, tmp_path, monkeypatch):
    monkeypatch.setenv("OFA_POSE_PATH", str(tmp_path))
    assert command("spaces", "cp", "toy", tmp_path / "mine.yaml").code == 0
    listed = {e["name"]: e for e in json.loads(command("spaces", "ls", "--json").out)}
    assert listed["mine"]["file"] == str(tmp_path / "mine.yaml")
    assert listed["mine"]["hash"] == listed["toy"]["hash"]


def test_ls_tells_of_a_space_that_cannot_be_read(command, tmp_path, monkeypatch):
    monkeypatch.setenv("OFA_POSE_PATH", str(tmp_path))
    (tmp_path / "broken.yaml").write_text("name: other\n")
    outcome = command("spaces", "ls")
    assert outcome.code == 0
    assert "left out: " in outcome.err
    assert "broken.yaml" in outcome.err
    assert [line.split()[0] for line in outcome.out.splitlines()[1:]] == SHIPPED


def test_show(command):
    outcome = command("spaces", "show", "litepose-xs")
    assert outcome.code == 0
    assert "512 448 384 320 256" in outcome.out
    document = json.loads(command("spaces", "show", "litepose-xs", "--json").out)
    assert document["choices"]["deconv2"] == [48, 40, 24, 16]
    assert document["archs"]["XS"]["stage4"] == 80


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_spaces_are_valid(command, name):
    outcome = command("spaces", "validate", name)
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"{name}: ok\n"


def test_the_documented_space_is_valid(command, tmp_path):
    page = (Path(__file__).parents[2] / "search_spaces" / "README.md").read_text()
    (shown,) = (
        block for block in re.findall(r"```yaml\n(.*?)```", page, re.S) if "family:" in block
    )
    path = tmp_path / "my-space.yaml"
    path.write_text(shown)
    outcome = command("spaces", "validate", path)
    assert (outcome.code, outcome.out) == (0, f"{path}: ok\n"), outcome.err


def test_validate_names_file_and_key_of_every_fault(command, tmp_path):
    path = tmp_path / "broken.yaml"
    assert command("spaces", "cp", "toy", path).code == 0
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("ratios: [1.0", "ratios: [1.5") + "\nfrobs: 3\n", encoding="utf-8")
    outcome = command("spaces", "validate", path, "toy")
    assert outcome.code == 2
    assert outcome.out == "toy: ok\n"
    assert str(path) in outcome.err
    assert "ratios" in outcome.err
    assert "frobs" in outcome.err
    assert outcome.err.count("\n") == 1


def mend(command, tmp_path, *changes):
    """Copy `toy`, replace texts in it, and validate it."""
    path = tmp_path / "mine.yaml"
    assert command("spaces", "cp", "toy", path, "--force").code == 0
    text = path.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    return command("spaces", "validate", path)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("head_kernel: 5", "head_kernel: 4", "network.head_kernel: a kernel has a centre"),
        ("kernel: 3,", "kernel: 4,", "network.stages[0].kernel: a kernel has a centre"),
        ("stem_width: 4", "stem_width: 1000000000", "1000000000 is not from 1 to 16384"),
        ("base: 8", "base: 1000000000", "should be less than or equal to 16384, not 1000000000"),
        # The first convolution alone has 4 x 16 x 16 outputs of 27 MACs at 32 px.
        ("tiers:", "tiers:\n  none: 1k", "budget none (1k exact MACs) is below every arch"),
        ("tiers:", "tiers:\n  none: 1 params,3ms@phone", "budget none (1 params) is below every"),
    ],
)
def test_validate_refuses_what_no_network_can_be(command, tmp_path, old, new, expected):
    outcome = mend(command, tmp_path, (old, new))
    assert outcome.code == 2
    assert expected in outcome.err


def test_validate_refuses_even_kernels_of_a_choice(command, tmp_path):
    changes = [("kernel: 3,", "kernel: side,"), ("choices:", "choices:\n  side: {values: [3, 2]}")]
    outcome = mend(command, tmp_path, *changes)
    assert "choice 'side': a kernel has a centre, so its side is odd, not 2" in outcome.err


def test_validate_leaves_latencies_to_the_device(command, tmp_path):
    outcome = mend(command, tmp_path, ("tiers:", "tiers:\n  phone: 1ms@phone"))
    assert outcome.code == 0, outcome.err


def test_validate_tells_everything_in_one_go(command, tmp_path):
    outcome = mend(
        command,
        tmp_path,
        ("skeleton: crowdpose", "skeleton: crowdpos\nfrobs: 3"),
        ("head_kernel: 5", "head_kernel: 4"),
        ("tiers:", "tiers:\n  none: 1k\n  odd: 1 frob"),
        ("supernet:", "supernat:"),
    )
    for fault in ("frobs", "crowdpos", "head_kernel", "1 frob", "supernat"):
        assert fault in outcome.err


def test_what_hangs_on_a_fault_is_not_told_beside_it(command, tmp_path):
    wrong = ("resolution: {values: [", "resolution: {values: [7, ")
    drawn = ("supernet:\n", "supernet:\n    resolutions: [32]\n")
    outcome = mend(command, tmp_path, wrong, drawn)
    assert outcome.err.count("; ") == 0
    assert "not a multiple of 16: 7" in outcome.err
    outcome = mend(command, tmp_path, wrong, drawn, ("lr: 0.0005", "lr: -1"))
    assert "; " in outcome.err
    assert "recipe 'finetune' of space 'mine': lr: " in outcome.err


def test_a_recipe_that_yaml_reads_as_something_else_is_told_once(command, tmp_path):
    outcome = mend(command, tmp_path, ("  pretrain:", "  5:"))
    assert "recipe.5: YAML reads this key as int" in outcome.err
    assert outcome.err.count("mine.yaml") == 1


def test_validate_tries_tiers_and_skeleton(command, tmp_path):
    path = tmp_path / "odd.yaml"
    assert command("spaces", "cp", "toy", path).code == 0
    text = path.read_text(encoding="utf-8").replace("skeleton: crowdpose", "skeleton: crowdpos")
    path.write_text(text, encoding="utf-8")
    outcome = command("spaces", "validate", path)
    assert outcome.code == 2
    assert "crowdpos" in outcome.err


def test_a_spaces_skeleton_is_found_from_any_folder(command, tmp_path, monkeypatch):
    path = tmp_path / "own" / "mine.yaml"
    assert command("spaces", "cp", "toy", path).code == 0
    text = path.read_text(encoding="utf-8").replace("skeleton: crowdpose", "skeleton: five.yaml")
    path.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert command("spaces", "validate", path).code == 2
    shutil.copy(EXAMPLES / "five_joints.yaml", path.parent / "five.yaml")
    assert command("spaces", "validate", path).out == f"{path}: ok\n"


def test_cp_overwrites_only_when_told(command, tmp_path):
    path = tmp_path / "mine.yaml"
    assert command("spaces", "cp", "toy", path).code == 0
    assert "name: mine\n" in path.read_text(encoding="utf-8")
    path.write_text("mine\n", encoding="utf-8")
    refused = command("spaces", "cp", "toy", path)
    assert refused.code == 2
    assert "--force" in refused.err
    assert path.read_text(encoding="utf-8") == "mine\n"
    assert command("spaces", "cp", "toy", path, "--force").code == 0


@pytest.mark.parametrize("file", ["my space.yaml", "_mine.yaml", "mine", "mine.txt", "é.yaml"])
def test_cp_refuses_a_name_that_no_space_can_have(command, tmp_path, file):
    outcome = command("spaces", "cp", "toy", tmp_path / file)
    assert outcome.code == 2
    assert "cannot be a space's file" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_cp_of_a_file_says_how_a_file_is_copied(command, tmp_path):
    assert command("spaces", "cp", "toy", tmp_path / "mine.yaml").code == 0
    outcome = command("spaces", "cp", tmp_path / "mine.yaml", tmp_path / "second.yaml")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "is a file" in outcome.err
    assert not (tmp_path / "second.yaml").exists()


@pytest.mark.parametrize("stem", ["mine", "007", "1e5", "on", "null", "a.b-c_D"])
def test_cp_writes_what_validates(command, tmp_path, stem):
    path = tmp_path / f"{stem}.yaml"
    assert command("spaces", "cp", "toy", path).code == 0
    outcome = command("spaces", "validate", path)
    assert outcome.code == 0, outcome.err
    assert json.loads(command("spaces", "show", path, "--json").out)["name"] == stem


@pytest.mark.parametrize("line", ["name: first", 'name: "first"', "name: first  # mine"])
def test_cp_renames_a_space_of_ones_own_however_it_is_written(command, tmp_path, monkeypatch, line):
    monkeypatch.setenv("OFA_POSE_PATH", str(tmp_path))
    text = (catalog_folder("search_spaces") / "toy.yaml").read_text()
    text = text.replace("name: toy\n", "")
    (tmp_path / "first.yaml").write_text(f"{line}\n{text}")
    assert command("spaces", "cp", "first", tmp_path / "second.yaml").code == 0
    assert load_space("second").name == "second"
