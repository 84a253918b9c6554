"""LitePose's own JSON form of an arch."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ofa_pose import load_space
from ofa_pose.errors import ArchError, SpaceError
from ofa_pose.models.published import arch_from_published, arch_to_published
from ofa_pose.space import Choice, SearchSpace


def published(
    img_size: int, stem: int, deconvs: list[int], stages: list[int], *, kernel: int = 7
) -> dict[str, Any]:
    """Return the form as the authors' files hold it."""
    table = zip([6, 8, 10, 10], [2, 2, 2, 1], stages, strict=True)
    return {
        "img_size": img_size,
        "input_channel": stem,
        "deconv_setting": deconvs,
        "backbone_setting": [
            {
                "num_blocks": blocks,
                "stride": stride,
                "channel": channel,
                "block_setting": [[6, kernel]] * blocks,
            }
            for blocks, stride, channel in table
        ],
    }


XS = published(256, 16, [16, 24, 24], [16, 32, 48, 80])


@pytest.mark.parametrize(
    ("space", "name", "form"),
    [
        ("litepose-xs", "XS", XS),
        ("litepose", "S", published(448, 16, [32, 24, 32], [16, 32, 48, 120])),
        ("litepose", "M", published(448, 16, [64, 40, 32], [24, 48, 72, 120])),
        ("litepose", "L", published(512, 24, [64, 40, 32], [24, 64, 96, 160])),
    ],
)
def test_published_archs_both_ways(space: str, name: str, form: dict) -> None:
    loaded = load_space(space)
    assert arch_from_published(loaded, form) == loaded.arch(name)
    assert arch_to_published(loaded, loaded.arch(name)) == form


@pytest.mark.parametrize("name", ["litepose", "litepose-xs", "litepose-lite0"])
def test_round_trip(name: str) -> None:
    space, rng = load_space(name), np.random.default_rng(0)
    for _ in range(20):
        arch = space.sample(rng)
        assert arch_from_published(space, arch_to_published(space, arch)) == arch


def elastic() -> SearchSpace:
    """Blocks, kernel and expansion of the first stage are choices too."""
    space = load_space("litepose-xs")
    stages = [dict(stage) for stage in space.network["stages"]]
    stages[0] |= {"blocks": "depth", "kernel": "kernel", "expansion": "expansion"}
    return replace(
        space,
        choices=(
            *space.choices,
            Choice("depth", (6, 4)),
            Choice("kernel", (7, 5)),
            Choice("expansion", (6, 3)),
        ),
        network={**space.network, "stages": stages},
        archs={},
    )


def test_elastic_depth_kernel_and_expansion() -> None:
    space, form = elastic(), copy.deepcopy(XS)
    form["backbone_setting"][0] |= {"num_blocks": 4, "block_setting": [[3, 5]] * 4}
    arch = arch_from_published(space, form)
    assert (arch["depth"], arch["kernel"], arch["expansion"]) == (4, 5, 3)
    assert arch_to_published(space, arch) == form


def change(path: list, value: Any) -> dict[str, Any]:
    form = copy.deepcopy(XS)
    inner: Any = form
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return form


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (change(["img_size"], 250), "resolution: 250 is not allowed"),
        (change(["img_size"], "256"), "img_size: a whole number is expected, not '256'"),
        (change(["input_channel"], 18), "stem: 18 is not allowed"),
        (
            change(["deconv_setting"], [16, 24]),
            "deconv_setting has 2 entries where the space has 3",
        ),
        (change(["backbone_setting"], []), "backbone_setting has 0 entries where the space has 4"),
        (
            change(["backbone_setting", 1, "num_blocks"], 6),
            r"backbone_setting\[1\].num_blocks is 6 where the space has 8",
        ),
        (
            change(["backbone_setting", 3, "stride"], 2),
            r"backbone_setting\[3\].stride is 2 where the space has 1",
        ),
        (
            change(["backbone_setting", 2, "block_setting", 4], [6, 5]),
            r"backbone_setting\[2\].block_setting's kernel is 5 where the space has 7",
        ),
        (
            change(["backbone_setting", 2, "block_setting", 4], [4, 7]),
            r"backbone_setting\[2\].block_setting's expansion is 4 where the space has 6",
        ),
        (
            change(["backbone_setting", 2, "block_setting"], [[6, 7]] * 9),
            r"backbone_setting\[2\].block_setting's length is 9 where the space has 10",
        ),
        (
            change(["backbone_setting", 0, "block_setting", 0], [6]),
            r"backbone_setting\[0\].block_setting\[0\]: at least 2 expected, not \[6\]",
        ),
        (change(["input_chanel"], 16), "input_chanel: unknown key; did you mean 'input_channel'"),
        ({}, "img_size: this key is missing; input_channel: this key is missing"),
    ],
)
def test_what_does_not_fit_the_space_is_refused(form: dict, message: str) -> None:
    with pytest.raises(ArchError, match=message):
        arch_from_published(load_space("litepose-xs"), form)


def test_every_fault_is_listed() -> None:
    form = change(["backbone_setting", 3, "stride"], 2)
    form["backbone_setting"][1]["num_blocks"] = 6
    with pytest.raises(ArchError, match=r"num_blocks is 6 .*stride is 2 "):
        arch_from_published(load_space("litepose-xs"), form)


def test_contradicting_blocks_of_an_elastic_kernel_are_refused() -> None:
    form = change(["backbone_setting", 0, "block_setting", 3], [6, 5])
    with pytest.raises(ArchError, match="kernel is 7 where the space has 5"):
        arch_from_published(elastic(), form)


def test_networks_that_the_form_cannot_describe_are_refused() -> None:
    toy = load_space("toy")
    with pytest.raises(ArchError, match="the stem's inner width is 4, and the form implies 32"):
        arch_to_published(toy, toy.largest)


def test_other_families_are_refused() -> None:
    space = replace(load_space("toy"), family="other")
    with pytest.raises(SpaceError, match="of family 'other'"):
        arch_from_published(space, XS)
    with pytest.raises(SpaceError, match=r"network\.\w+: "):
        arch_from_published(replace(load_space("toy"), network={}), XS)
