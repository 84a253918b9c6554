"""The search space: indices, genes, sampling, hash and refusals."""

import copy
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa_pose.errors import ArchError, SpaceError, UnknownNameError
from ofa_pose.space import Choice, SearchSpace


@st.composite
def spaces(draw) -> SearchSpace:
    """Spaces of one to five choices with one to five values each."""
    names = draw(st.permutations(["resolution", "a", "b", "c", "d"]))
    kept = names[: draw(st.integers(names.index("resolution") + 1, len(names)))]
    values = st.lists(st.integers(1, 64), min_size=1, max_size=5)
    choices = tuple(Choice(name, tuple(draw(values))) for name in kept)
    return SearchSpace(name="drawn", family="litepose", choices=choices)


def test_counts_distinct_archs(space: SearchSpace) -> None:
    assert space.gene_counts == (2, 2, 3)  # stem: 24 and 16; stage: 48, 40 and 24
    assert len(space) == 12
    assert space.largest.key == "64-24-48"
    assert space.smallest.key == "32-16-24"
    assert repr(space) == "SearchSpace(small: litepose, 12 archs)"


def test_enumerates_first_choice_most_significant(space: SearchSpace) -> None:
    keys = [arch.key for arch in space]
    assert keys[:4] == ["64-24-48", "64-24-40", "64-24-24", "64-16-48"]
    assert keys[-1] == "32-16-24"
    assert keys == [space[index].key for index in range(len(space))]
    assert space[-1] == space.smallest
    assert space[np.int64(3)].key == "64-16-48"


@given(spaces(), st.data())
def test_index_encode_decode_are_inverse(space: SearchSpace, data) -> None:
    index = data.draw(st.integers(0, len(space) - 1))
    arch = space[index]
    genes = space.encode(arch)
    assert space.index(arch) == index
    assert space.decode(genes) == arch
    assert all(gene < count for gene, count in zip(genes, space.gene_counts, strict=True))
    assert space.arch(arch.to_dict()) == arch
    assert space.arch(arch.key) == arch
    assert arch in space


@given(spaces())
def test_vectorised_genes_agree_with_the_plain_ones(space: SearchSpace) -> None:
    indices = np.arange(min(len(space), 50))
    genes = space.genes_of(indices)
    assert genes.shape == (len(indices), len(space.choices))
    assert genes.dtype == np.int64
    assert [tuple(row) for row in genes] == [space.encode(space[i]) for i in indices]
    np.testing.assert_array_equal(space.indices_of(genes), indices)


@given(spaces())
def test_iteration_yields_every_arch_once(space: SearchSpace) -> None:
    archs = list(space)
    assert len(archs) == len(set(archs)) == len(space)
    assert [space.index(arch) for arch in archs] == list(range(len(space)))


def test_samples_uniformly_over_distinct_archs(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    counts = np.bincount([space.index(space.sample(rng)) for _ in range(6000)], minlength=12)
    # 500 expected each; chi-square with 11 degrees of freedom stays below 31.3 in 99.9 %.
    assert ((counts - 500) ** 2 / 500).sum() < 31.3


def test_samples_come_from_the_generator_alone(space: SearchSpace) -> None:
    first = [space.sample(rng) for rng in [np.random.default_rng(7)] for _ in range(20)]
    again = [space.sample(rng) for rng in [np.random.default_rng(7)] for _ in range(20)]
    assert first == again


def test_named_archs(space: SearchSpace) -> None:
    assert space.arch("S") is space.archs["S"]
    assert space.arch("largest") == space.largest
    assert space.arch("smallest") == space.smallest
    assert space.arch(space.largest) == space.largest


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ({"resolution": 32, "stem": 16, "stge": 24}, "unknown choice 'stge'; did you mean 'stage'"),
        ({"resolution": 32, "stem": 16, "stge": 24}, "no value for stage"),
        ({"resolution": 32, "stem": 18, "stage": 24}, "stem: 18 is not allowed; allowed: 24, 16"),
        ({"resolution": "32", "stem": 16, "stage": 24}, "resolution: '32' is not allowed"),
        ({}, "no value for resolution, stem, stage"),
        ("32-16-23", "stage: 23 is not allowed"),
        ("32-16", "'32-16' has 2 values of 3: resolution, stem, stage"),
        ("32-16-24-8", "'32-16-24-8' has 4 values of 3"),
        (7, "an arch is a mapping from choice to value, not 7"),
    ],
)
def test_what_is_no_arch_is_refused(space: SearchSpace, arch, message: str) -> None:
    with pytest.raises(ArchError, match=message):
        space.arch(arch)


@pytest.mark.parametrize("name", ["XL", "", "a-b-c"])
def test_unknown_arch_names_are_refused(space: SearchSpace, name: str) -> None:
    with pytest.raises(UnknownNameError, match="unknown arch of space 'small'") as caught:
        space.arch(name)
    told, _, key = str(caught.value).rpartition(" such as ")
    assert told.endswith("; a key does too: a value for every choice,")
    assert space.arch(key) == space.smallest


def test_an_arch_of_another_space_is_refused(space: SearchSpace) -> None:
    other = replace(space, name="other", family="other")
    with pytest.raises(ArchError, match="belongs to space 'other', not to 'small'"):
        space.arch(other.largest)
    assert other.largest not in space
    assert "S" not in space
    assert space.arch(dict(other.largest)) == space.largest


@pytest.mark.parametrize("genes", [(0, 0), (0, 0, 0, 0), (0, 0, 3), (0, -1, 0)])
def test_genes_out_of_range_are_refused(space: SearchSpace, genes: tuple[int, ...]) -> None:
    with pytest.raises(ArchError, match="gene"):
        space.decode(genes)
    with pytest.raises(ArchError, match="genes"):
        space.indices_of(np.array([genes]))


@pytest.mark.parametrize("index", [12, -13])
def test_indices_out_of_range_are_refused(space: SearchSpace, index: int) -> None:
    with pytest.raises(IndexError, match="of 12 in space 'small'"):
        space[index]
    with pytest.raises(ArchError, match=r"lie in 0\.\.11"):
        space.genes_of(np.array([index]))


def test_indices_that_are_no_integers_are_refused(space: SearchSpace) -> None:
    with pytest.raises(TypeError):
        space[1.0]  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError):
        space.genes_of(np.array([1.5]))


def test_contradictory_spaces_are_refused(space: SearchSpace) -> None:
    width, resolution = Choice("width", (8,)), Choice("resolution", (32,))
    with pytest.raises(SpaceError, match="two choices are called 'width'"):
        SearchSpace(name="x", family="f", choices=(resolution, width, width))
    with pytest.raises(SpaceError, match="needs a choice called 'resolution'"):
        SearchSpace(name="x", family="f", choices=(width,))
    many = tuple(Choice(f"c{i}", tuple(range(1, 101))) for i in range(10))
    with pytest.raises(SpaceError, match="span more than"):
        SearchSpace(name="x", family="f", choices=(resolution, *many))
    with pytest.raises(ArchError, match="no value for stem"):
        replace(space, archs={"S": {"resolution": 32, "stage": 24}})


def test_hash_covers_what_gives_weights_their_meaning(space: SearchSpace) -> None:
    free = {"name": "b", "tiers": {"S": "1M"}, "recipe": {"finetune": {}}, "skeleton": "coco"}
    for key, value in {**free, "archs": {}, "description": "text"}.items():
        assert replace(space, **{key: value}).hash == space.hash
    bound = {
        "family": "other",
        "choices": (*space.choices[:2], Choice("stage", (48, 24))),
        "network": {"stem": "stem", "stages": [{"width": "stage", "kernel": 5}]},
        "pixel_mean": (127, 127, 127),
        "pixel_std": (128, 128, 128),
    }
    for key, value in bound.items():
        assert replace(space, **{key: value}).hash != space.hash
    whole = {"stem": "stem", "stages": [{"kernel": 7.0, "width": "stage"}]}
    assert replace(space, network=whole).hash == space.hash


def test_hash_knows_the_order_of_choices_alone(space: SearchSpace) -> None:
    turned = replace(space, choices=space.choices[::-1], archs={})
    assert turned.smallest.values() != space.smallest.values()
    assert turned.hash != space.hash
    network = {name: space.network[name] for name in reversed(list(space.network))}
    assert list(network) != list(space.network)
    assert replace(space, network=network).hash == space.hash


@pytest.mark.parametrize("seed", ["0", "1"])
def test_hash_is_the_same_in_another_process(seed: str) -> None:
    code = "import ofa_pose; print(ofa_pose.load_space('litepose-xs').hash)"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    # A golden: when it changes, weights, archives and tiers of users stop being accepted.
    assert result.stdout.strip() == "8682b24f465816f4"


def test_is_immutable_and_copies_are_equal(space: SearchSpace) -> None:
    with pytest.raises(FrozenInstanceError):
        space.name = "x"  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TypeError, match="cannot be changed"):
        space.network["stem"] = 1  # pyright: ignore[reportIndexIssue]
    for copied in (pickle.loads(pickle.dumps(space)), copy.deepcopy(space)):
        assert copied == space
        assert hash(copied) == hash(space)
        assert copied.arch("S") == space.arch("S")
    assert space != replace(space, name="other")
    assert space != "small"


def test_a_changed_copy_takes_its_named_archs_along(space: SearchSpace) -> None:
    changed = replace(space, network={"stem": "stem", "stages": "stage"})
    assert changed.hash != space.hash
    assert changed.arch("S") in changed
    assert changed.arch("S").to_dict() == space.arch("S").to_dict()


def test_a_mask_is_no_row_of_indices(space: SearchSpace) -> None:
    with pytest.raises(ArchError, match="indices are whole numbers; np.flatnonzero"):
        space.genes_of(np.array([True, False, True]))
    with pytest.raises(ArchError, match="genes are whole numbers"):
        space.indices_of(np.array([[False, True, True]]))
    with pytest.raises(ArchError, match=r"indices are \(n,\), not \(\)"):
        space.genes_of(np.array(3))
    assert space.genes_of(np.array([])).shape == (0, 3)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        ({"pixel_mean": (1, 2)}, "pixel_mean is three numbers"),
        ({"pixel_mean": (1, 2, float("nan"))}, "pixel_mean is three numbers"),
        ({"pixel_std": (1, 0, 1)}, "pixel_std must be above 0"),
    ],
)
def test_pixels_that_cannot_be_normalised(pixels: dict[str, tuple[float, ...]], message: str):
    with pytest.raises(SpaceError, match=message):
        SearchSpace(
            name="x",
            family="litepose",
            choices=(Choice("resolution", (64,)),),
            **pixels,  # pyright: ignore[reportArgumentType]
        )
