"""A tier comes back as it was written, or is refused in one line."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import ofa_pose
from ofa_pose import build, load_skeleton, load_space
from ofa_pose.catalog import space_names
from ofa_pose.errors import (
    ArchError,
    OfaPoseError,
    SkeletonError,
    SpaceError,
    UnknownNameError,
    UsageError,
    WeightsError,
)
from ofa_pose.export import Tier, load_tier, make_tier, save_tier
from ofa_pose.files import sha256_file


def path_of(tier: Tier) -> Path:
    assert tier.path is not None
    return tier.path


def weights_of(tier: Tier) -> Path:
    assert tier.weights is not None
    return tier.weights


def rewrite(tier: Tier, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the tier's YAML as a user's editor would."""
    document = yaml.safe_load(path_of(tier).read_text())
    change(document)
    path_of(tier).write_text(yaml.safe_dump(document, sort_keys=False))


def rewrite_weights(tier: Tier, tensors: dict[str, torch.Tensor], **metadata: str) -> None:
    """Put other tensors into the weights' file, with the sum in the YAML to match."""
    from safetensors import safe_open

    with safe_open(weights_of(tier), framework="pt") as stream:
        metadata = {**stream.metadata(), **metadata}
    save_file(tensors, weights_of(tier), metadata=metadata)
    match_sha256(tier)


def match_sha256(tier: Tier) -> None:
    def change(document: dict[str, Any]) -> None:
        document["weights"]["sha256"] = sha256_file(weights_of(tier))

    rewrite(tier, change)


def refused(tier: Tier, error: type[OfaPoseError], *words: str) -> None:
    with pytest.raises(error) as caught:
        load_tier(path_of(tier))
    message = str(caught.value)
    assert message.startswith(f"{tier.path}: ")
    assert "\n" not in message
    for word in words:
        assert word in message


# ---- the way there and back


def test_round_trip(saved):
    loaded = load_tier(path_of(saved))
    assert loaded == saved
    assert loaded.space == load_space("toy")
    assert loaded.skeleton == load_skeleton("crowdpose")
    assert loaded.scores == {"search": {"AP": 0.25, "AP50": 0.5}}
    assert (loaded.name, loaded.budget, loaded.seed) == ("S", "0.25M", 7)
    assert (loaded.created_by, loaded.package_version) == ("ofa-pose search", ofa_pose.__version__)
    assert loaded.resolution == 48


def test_built_network_is_the_one_that_was_saved(saved, supernet, arch):
    network = load_tier(path_of(saved)).build()
    assert not network.training
    images = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for own, expected in zip(network(images), supernet(images, arch), strict=True):
            torch.testing.assert_close(own, expected, rtol=0, atol=1e-5)


def test_what_the_file_holds(saved):
    text = path_of(saved).read_text()
    assert text.startswith("# ")
    document = yaml.safe_load(text)
    assert (document["format"], document["kind"]) == (1, "tier")
    assert document["arch"] == {
        "resolution": 48,
        "stem": 2,
        "stage1": 8,
        "stage2": 8,
        "stage3": 16,
        "stage4": 8,
        "deconv1": 8,
        "deconv2": 4,
        "deconv3": 4,
    }
    assert document["resolution"] == 48
    assert document["pixels"]["mean"] == [123.675, 116.28, 103.53]
    assert document["skeleton"]["joints"][12:] == ["top_head", "neck"]
    assert document["skeleton"]["sigmas"][6] == 0.107
    assert document["weights"]["file"] == "S.safetensors"
    assert len(document["weights"]["sha256"]) == 64
    assert document["space"]["declaration"]["network"]["stages"][0]["width"] == "stage1"
    assert "&" not in text  # YAML anchors are nothing to read


def test_costs_are_those_of_the_published_network():
    """XS with 14 joints: 0.8829, 1.2023 and 1.2202 GMACs, 1.6756 M parameters."""
    space = load_space("litepose-xs")
    costs = make_tier("XS", space, space.arch("XS"), skeleton="crowdpose").costs
    assert costs.macs["exact"] / 1e9 == pytest.approx(0.8829, abs=5e-5)
    assert costs.macs["paper"] / 1e9 == pytest.approx(1.2023, abs=5e-5)
    assert costs.macs["thop"] / 1e9 == pytest.approx(1.2202, abs=5e-5)
    assert costs.params / 1e6 == pytest.approx(1.6756, abs=5e-5)


def test_scores_of_another_occasion_are_added(saved, supernet, arch, tmp_path):
    tier = saved.with_scores("finetuned", {"AP": np.float64(0.75)})
    again = save_tier(tmp_path / "other", tier, saved.build())
    assert load_tier(path_of(again)).scores == {
        "search": {"AP": 0.25, "AP50": 0.5},
        "finetuned": {"AP": 0.75},
    }


def test_another_skeleton_travels_along(space, supernet, arch, tmp_path):
    own = dataclasses.replace(load_skeleton("coco"), name="mine", area_rule="bbox0.53")
    tier = make_tier("S", space, arch, skeleton=own)
    loaded = load_tier(path_of(save_tier(tmp_path, tier, build(space, arch, skeleton=own))))
    assert loaded.skeleton == own
    assert loaded.build()(torch.zeros(1, 3, 48, 48))[1].shape[1] == 17


@pytest.mark.parametrize(
    ("name", "stem"), [("1.2G:paper", "1.2G-paper"), ("1.7M params", "1.7M-params"), ("..", "tier")]
)
def test_any_budget_makes_a_file_name(space, supernet, arch, tmp_path, name, stem):
    saved = save_tier(tmp_path, make_tier(name, space, arch), supernet.extract(arch))
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        f"{stem}.safetensors",
        f"{stem}.yaml",
    ]
    assert load_tier(path_of(saved)).name == name


def test_a_tier_can_move(saved, tmp_path):
    shutil.move(tmp_path / "run", tmp_path / "elsewhere")
    assert load_tier(tmp_path / "elsewhere" / "S.yaml").build() is not None


def test_a_tier_may_be_read_without_its_weights(saved, tmp_path):
    saved.weights.unlink()
    tier = load_tier(path_of(saved), check_weights=False)
    assert tier == saved
    with pytest.raises(WeightsError, match=r"S\.safetensors are missing"):
        tier.build()
    with pytest.raises(WeightsError, match=r"S\.safetensors are missing"):
        load_tier(path_of(saved))


# ---- the space the tier carries, and the one that is installed


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder of OFA_POSE_PATH."""
    folder = tmp_path / "spaces"
    folder.mkdir()
    monkeypatch.setenv("OFA_POSE_PATH", str(folder))
    return folder


def test_a_tier_needs_no_other_file(folder, tmp_path):
    text = space_names()["toy"].read_text().replace("name: toy", "name: mine")
    (folder / "mine.yaml").write_text(text)
    space = load_space("mine")
    saved = save_tier(tmp_path, make_tier("S", space, space.largest), build(space, space.largest))
    (folder / "mine.yaml").unlink()
    loaded = load_tier(path_of(saved))
    assert loaded.space == space
    assert loaded.space.recipe == space.recipe
    loaded.build()


def test_an_installed_space_that_means_something_else_is_passed_over(saved, folder):
    text = space_names()["toy"].read_text().replace("head_kernel: 5", "head_kernel: 3")
    (folder / "toy.yaml").write_text(text)
    installed = load_space("toy")
    assert installed.hash != saved.space.hash
    loaded = load_tier(path_of(saved))
    assert loaded == saved
    assert loaded.space.hash == saved.space.hash
    loaded.build()


def test_an_installed_space_that_is_damaged_is_passed_over(saved, folder):
    (folder / "toy.yaml").write_text("name: toy")
    assert load_tier(path_of(saved)) == saved


def test_another_space_than_it_is_to_be_used_with_is_refused(saved, folder):
    text = space_names()["toy"].read_text().replace("head_kernel: 5", "head_kernel: 3")
    (folder / "toy.yaml").write_text(text)
    changed = load_space("toy")
    with pytest.raises(WeightsError) as caught:
        load_tier(path_of(saved), space=changed)
    assert f"'toy' ({saved.space.hash})" in str(caught.value)
    assert f"'toy' ({changed.hash})" in str(caught.value)
    with pytest.raises(WeightsError, match="'litepose'"):
        load_tier(path_of(saved), space=load_space("litepose"))
    assert load_tier(path_of(saved), space=saved.space) == saved


def test_an_installed_space_with_another_recipe_is_fine(saved, folder):
    text = space_names()["toy"].read_text().replace("epochs: 20", "epochs: 30")
    (folder / "toy.yaml").write_text(text)
    assert load_tier(path_of(saved)).space.recipe["finetune"]["epochs"] == 20


# ---- a YAML that was tampered with


def put(document: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split("/")
    place: Any = document
    for parent in parents:
        place = place[int(parent) if isinstance(place, list) else parent]
    place[int(last) if isinstance(place, list) else last] = value


DECLARATION = "space/declaration"
TAMPERED = [
    ("format", 2, UsageError, "tier format 2", "reads format 1"),
    ("kind", "supernet", UsageError, "not a tier file"),
    ("name", "", UsageError, "name"),
    ("name", 5, UsageError, "name: text is expected, not 5"),
    ("nmae", "S", UsageError, "nmae: unknown key; did you mean 'name'?"),
    ("arch/stage1", 7, ArchError, "stage1", "7 is not allowed", "8, 4"),
    ("arch/stage1", "8", UsageError, "arch.stage1: a whole number is expected, not '8'"),
    ("arch/stage9", 8, ArchError, "unknown choice 'stage9'"),
    ("arch", {"resolution": 48}, ArchError, "no value for", "stage1"),
    ("resolution", 32, UsageError, "resolution 32", "48"),
    ("resolution", -1, UsageError, "resolution", "greater than or equal to 1"),
    ("budget", 5, UsageError, "budget: text is expected, not 5"),
    ("costs/macs/exact", -3, UsageError, "costs.macs.exact", "-3"),
    ("costs/macs/exact", 1.5, UsageError, "costs.macs.exact", "1.5"),
    ("costs/macs/papr", 3, UsageError, "costs.macs.papr: unknown key; did you mean 'paper'?"),
    ("costs/params", "many", UsageError, "costs.params", "many"),
    ("costs/peak_memory_bytes", None, UsageError, "costs.peak_memory_bytes"),
    ("scores/search/AP", float("nan"), UsageError, "scores.search.AP", "finite"),
    ("scores/search/AP", "high", UsageError, "scores.search.AP", "high"),
    ("scores/search", 0.5, UsageError, "scores.search"),
    ("seed", "seven", UsageError, "seed", "seven"),
    ("weights/file", "../S.safetensors", UsageError, "weights.file", "without a folder"),
    ("weights/file", "T.safetensors", WeightsError, "T.safetensors are missing"),
    ("weights/sha256", "0" * 64, WeightsError, "not those the tier was written with"),
    ("weights/sha256", "0" * 63, UsageError, "weights.sha256"),
    ("package_version", 1, UsageError, "package_version"),
    ("created_by", None, UsageError, "created_by"),
    ("pixels/mean", [0.0, 0.0, 0.0], UsageError, "pixels are not those of the space"),
    ("pixels/std", [1.0, 1.0], UsageError, "pixels.std"),
    ("pixels/std/0", 0.0, UsageError, "pixels.std[0]"),
    ("skeleton/name", "mine", WeightsError, "skeleton is 'crowdpose', the tier's is 'mine'"),
    ("skeleton/flip/0", 3, SkeletonError, "flip"),
    ("skeleton/sigmas/0", 0.5, SkeletonError, "differs from the shipped one", "sigmas"),
    ("skeleton/sigmas/0", -0.5, UsageError, "skeleton.sigmas[0]"),
    ("skeleton/area_rule", "box", UsageError, "skeleton.area_rule"),
    ("options/depth", 3, UsageError, "no option 'depth'"),
    ("options/skeleton", "coco", UsageError, "options: the skeleton is a section of its own"),
    ("space/name", "toi", WeightsError, "'toi'", "'toy'", "edited"),
    ("space/hash", "0" * 16, WeightsError, "0" * 16, "edited"),
    ("space/hash", "none", UsageError, "space.hash"),
    (f"{DECLARATION}/family", "rwnet", WeightsError, "edited"),
    (f"{DECLARATION}/choices/stem/values", [4, 3], WeightsError, "edited"),
    (f"{DECLARATION}/choices/stem/values", [4, 0], UsageError, "choices.stem.values[1]", "0"),
    (f"{DECLARATION}/network/head_kernel", 3, WeightsError, "edited"),
    (f"{DECLARATION}/pixels/std/0", 3.0, WeightsError, "edited"),
    (f"{DECLARATION}/tires", {}, UsageError, "space.declaration.tires: unknown key", "'tiers'"),
    (f"{DECLARATION}/archs", {"A": {"stem": 4}}, ArchError, "no value for"),
    (f"{DECLARATION}/format", 2, UsageError, "space.declaration.format"),
]


@pytest.mark.parametrize(
    ("key", "value", "error", "words"),
    [(key, value, error, words) for key, value, error, *words in TAMPERED],
    ids=[f"{key}={value!r:.20}" for key, value, *_ in TAMPERED],
)
def test_a_tampered_field_is_refused(saved, key, value, error, words):
    rewrite(saved, lambda document: put(document, key, value))
    refused(saved, error, *words)


def test_costs_edited_by_hand_are_counted_anew_and_told(saved, caplog):
    rewrite(saved, lambda document: put(document, "costs/macs/exact", 1))
    rewrite(saved, lambda document: put(document, "costs/params", 2000))
    loaded = load_tier(path_of(saved))
    assert loaded.costs == saved.costs
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    message = record.getMessage()
    assert message.startswith(f"{saved.path}: costs are counted anew")
    assert f"macs.exact {saved.costs.macs['exact']:,}, not 1; params" in message
    assert message.endswith(", not 2,000")


def test_latencies_and_untouched_costs_are_taken_without_a_word(saved, caplog):
    rewrite(saved, lambda document: put(document, "costs/latency_ms", {"phone": 3.0}))
    assert load_tier(path_of(saved)).costs.latency_ms == {"phone": 3.0}
    assert not caplog.records


KEYS = ["name", "arch", "resolution", "budget", "costs", "scores", "seed", "weights", "pixels"]


@pytest.mark.parametrize("key", [*KEYS, "package_version", "created_by", "skeleton", "space"])
def test_a_missing_field_is_refused(saved, key):
    rewrite(saved, lambda document: document.pop(key))
    refused(saved, UsageError, f"{key}: ", "is missing")


def test_every_fault_is_named_at_once(saved):
    def change(document: dict[str, Any]) -> None:
        document["seed"] = "x"
        document["bugdet"] = document.pop("budget")
        del document["costs"]["macs"]["thop"]

    rewrite(saved, change)
    refused(
        saved, UsageError, "seed: ", "bugdet: ", "'budget'", "costs.macs.thop: this key is missing"
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a tier file"),
        (b"- 1\n- 2\n", "not a tier file"),
        (b"kind: [tier\n", "not valid YAML"),
        (b"[" * 5000, "not valid YAML"),
        (b"\xff\xfe\x00", "is not text"),
        (b"kind: tier\nformat: !!python/object/apply:os.getcwd []\n", "not valid YAML (line 2)"),
    ],
)
def test_what_is_no_tier_is_refused(saved, content, words):
    path_of(saved).write_bytes(content)
    refused(saved, UsageError, words)


def test_an_absent_tier_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"no tier file at .*none\.yaml"):
        load_tier(tmp_path / "none.yaml")
    with pytest.raises(UsageError, match="cannot read"):
        load_tier(tmp_path)


# ---- weights that are not the tier's


def test_missing_weights_are_refused(saved):
    weights_of(saved).unlink()
    refused(saved, WeightsError, "S.safetensors are missing")


def test_truncated_weights_are_refused(saved):
    content = weights_of(saved).read_bytes()
    weights_of(saved).write_bytes(content[: len(content) // 2])
    refused(saved, WeightsError, "not those the tier was written with")
    match_sha256(saved)
    refused(saved, WeightsError, "not a whole safetensors file")


def test_a_nan_in_the_weights_is_refused(saved):
    tensors = load_file(weights_of(saved))
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    tensors[name].view(-1)[0] = torch.nan
    rewrite_weights(saved, tensors)
    refused(saved, WeightsError, name, "NaN")


def test_missing_and_unexpected_tensors_are_refused(saved):
    tensors = load_file(weights_of(saved))
    name = next(iter(tensors))
    tensors["extra"] = tensors.pop(name)
    rewrite_weights(saved, tensors)
    refused(saved, WeightsError, f"missing {name}", "unexpected extra")


def test_weights_of_another_arch_are_refused(saved, space, supernet, tmp_path):
    other = space.largest
    theirs = save_tier(tmp_path, make_tier("L", space, other), supernet.extract(other))
    shutil.copy(weights_of(theirs), weights_of(saved))
    match_sha256(saved)
    refused(saved, WeightsError, f"arch is {other.key!r}", f"{saved.arch.key!r}")
    rewrite_weights(saved, load_file(weights_of(theirs)), arch=saved.arch.key)
    refused(saved, WeightsError, "does not fit the network", "expected")


def test_weights_of_another_skeleton_are_refused(saved, space, arch, tmp_path):
    network = build(space, arch, skeleton="coco")
    theirs = save_tier(tmp_path, make_tier("C", space, arch, skeleton="coco"), network)
    shutil.copy(weights_of(theirs), weights_of(saved))
    match_sha256(saved)
    refused(saved, WeightsError, "skeleton is 'coco', the tier's is 'crowdpose'")


def test_a_supernet_is_no_tier(saved, supernet):
    ofa_pose.supernet.save_supernet(weights_of(saved), supernet)
    match_sha256(saved)
    refused(saved, WeightsError, "kind is 'supernet'")


def test_weights_that_change_after_loading_are_refused(saved):
    tier = load_tier(path_of(saved))
    weights_of(saved).write_bytes(b"something else")
    with pytest.raises(WeightsError, match="not those the tier was written with"):
        tier.build()


def test_a_family_that_is_not_installed_is_named(saved, folder, tmp_path):
    """A space of a third-party family, read where that family is absent."""
    text = space_names()["toy"].read_text().replace("name: toy", "name: mine")
    (folder / "mine.yaml").write_text(text.replace("family: litepose", "family: squeeze"))
    own = load_space("mine")

    def change(document: dict[str, Any]) -> None:
        document["space"].update(name="mine", hash=own.hash)
        document["space"]["declaration"].update(name="mine", family="squeeze")

    rewrite(saved, change)
    tensors = load_file(weights_of(saved))
    rewrite_weights(saved, tensors, space="mine", space_hash=own.hash)
    refused(saved, UnknownNameError, "unknown family 'squeeze'")


def test_a_device_that_is_not_there(saved: Tier) -> None:
    with pytest.raises(UsageError, match="gpu"):
        saved.build(device="gpu")
    with pytest.raises(UsageError, match="gpu"):
        saved.mapper(device="gpu")


def test_a_tier_is_of_a_space_not_of_a_name() -> None:
    with pytest.raises(SpaceError, match="a search space is needed, not 'toy'"):
        make_tier("S", "toy", "largest")  # pyright: ignore[reportArgumentType]
