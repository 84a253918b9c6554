"""The JSON form in which LitePose's authors publish an arch: read it, and write it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ofa_pose.errors import ArchError, SpaceError
from ofa_pose.models.litepose import LitePoseConfig, litepose_config
from ofa_pose.space import Arch, SearchSpace
from ofa_pose.space.faults import explain_all

Whole = Annotated[int, Field(ge=1)]

STEM_WIDTH, DECONV_KERNEL, HEAD_KERNEL = 32, 4, 5
"""What the published code fixes and the JSON form therefore does not say."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Stage(_Strict):
    num_blocks: Whole
    stride: Whole
    channel: Whole
    block_setting: list[Annotated[list[Whole], Field(min_length=2, max_length=2)]]


class _Published(_Strict):
    """One arch; each entry of a `block_setting` is an expansion and a kernel size."""

    img_size: Whole
    input_channel: Whole
    deconv_setting: list[Whole]
    backbone_setting: list[_Stage]


def arch_from_published(space: SearchSpace, published: Mapping[str, Any]) -> Arch:
    """Return the arch of a LitePose space that a published JSON object describes.

    Args:
        space: its network section must declare the same blocks, strides, kernels and expansions,
            or name choices for them.
        published: `{"img_size", "input_channel", "deconv_setting": [...], "backbone_setting":
            [{"num_blocks", "stride", "channel", "block_setting": [[expansion, kernel], ...]}]}`.

    Raises:
        ArchError: not of this form, or not a network of the space; every fault is listed.
        SpaceError: the space is not of the LitePose family.
    """
    config = _config(space)
    try:
        found = _Published.model_validate(dict(published))
    except ValidationError as error:
        faults = explain_all(error, _Published)
        raise ArchError(f"not an arch in LitePose's JSON form: {'; '.join(faults)}") from None
    counts = [
        ("deconv_setting", len(found.deconv_setting), len(config.deconvs)),
        ("backbone_setting", len(found.backbone_setting), len(config.stages)),
    ]
    faults = [
        f"{name} has {got} entries where the space has {expected}"
        for name, got, expected in counts
        if got != expected
    ]
    values: dict[str, int] = {}
    for place, declared, number in [] if faults else _pairs(config, found):
        expected = values.setdefault(declared, number) if isinstance(declared, str) else declared
        if number != expected:
            faults.append(f"{place} is {number} where the space has {expected}")
    if faults:
        raise ArchError(f"not a network of space {space.name!r}: {'; '.join(faults)}")
    return space.arch(values)


def arch_to_published(space: SearchSpace, arch: Mapping[str, int]) -> dict[str, Any]:
    """Return the JSON object that describes `arch`; `arch_from_published` reads it back.

    Raises:
        ArchError: the arch is not in the space, or is a network that the form cannot describe
            (another stem width, deconvolution kernel or head kernel than the published code's).
        SpaceError: the space is not of the LitePose family.
    """
    config, arch = _config(space), space.arch(arch)

    def value(declared: int | str) -> int:
        return arch[declared] if isinstance(declared, str) else declared

    stages = []
    for stage in config.stages:
        blocks, setting = value(stage.blocks), [value(stage.expansion), value(stage.kernel)]
        stages.append(
            {
                "num_blocks": blocks,
                "stride": stage.stride,
                "channel": value(stage.width),
                "block_setting": [list(setting) for _ in range(blocks)],
            }
        )
    published = {
        "img_size": arch.resolution,
        "input_channel": value(config.stem),
        "deconv_setting": [value(width) for width in config.deconvs],
        "backbone_setting": stages,
    }
    for place, declared, number in _implied(config):
        if value(declared) != number:
            raise ArchError(
                f"LitePose's JSON form cannot describe arch {arch.key} of space {space.name!r}: "
                f"{place} is {value(declared)}, and the form implies {number}"
            )
    return published


def _config(space: SearchSpace) -> LitePoseConfig:
    if space.family != "litepose":
        raise SpaceError(
            f"space {space.name!r} is of family {space.family!r}; "
            "LitePose's JSON form describes only networks of family 'litepose'"
        )
    return litepose_config(space)


Pair = tuple[str, int | str, int]


def _pairs(config: LitePoseConfig, found: _Published) -> Iterator[Pair]:
    """Yield where a number stands, what the space declares there, and the number."""
    yield "img_size", "resolution", found.img_size
    yield "input_channel", config.stem, found.input_channel
    for i, (width, number) in enumerate(zip(config.deconvs, found.deconv_setting, strict=True)):
        yield f"deconv_setting[{i}]", width, number
    for i, (stage, row) in enumerate(zip(config.stages, found.backbone_setting, strict=True)):
        place = f"backbone_setting[{i}]"
        yield f"{place}.num_blocks", stage.blocks, row.num_blocks
        yield f"{place}.stride", stage.stride, row.stride
        yield f"{place}.channel", stage.width, row.channel
        yield f"{place}.block_setting's length", row.num_blocks, len(row.block_setting)
        for expansion in sorted({block[0] for block in row.block_setting}):
            yield f"{place}.block_setting's expansion", stage.expansion, expansion
        for kernel in sorted({block[1] for block in row.block_setting}):
            yield f"{place}.block_setting's kernel", stage.kernel, kernel
    yield from _implied(config)


def _implied(config: LitePoseConfig) -> Iterator[Pair]:
    yield "the stem's inner width", config.stem_width, STEM_WIDTH
    yield "the deconvolutions' kernel", config.deconv_kernel, DECONV_KERNEL
    yield "the heads' kernel", config.head_kernel, HEAD_KERNEL
