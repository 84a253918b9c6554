"""The LitePose family: MobileNetV2 stages, fusion deconvolutions, two map outputs."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ofa_pose.errors import SpaceError
from ofa_pose.models.family import register_family
from ofa_pose.models.unit import NetworkPlan, Shape, Unit, UnitSpec
from ofa_pose.skeleton import Skeleton, load_skeleton
from ofa_pose.space import Arch, SearchSpace
from ofa_pose.space.choice import LARGEST_VALUE
from ofa_pose.space.faults import explain_all


def _in_range(value: int | str) -> int | str:
    if isinstance(value, int) and not 1 <= value <= LARGEST_VALUE:
        raise ValueError(f"{value} is not from 1 to {LARGEST_VALUE}")
    return value


def _odd(value: int | str) -> int | str:
    if isinstance(value, int) and value % 2 == 0:
        raise ValueError(f"a kernel has a centre, so its side is odd, not {value}")
    return value


Elastic = Annotated[int | str, AfterValidator(_in_range)]
"""A number, or the name of the choice that gives it."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Stage(_Strict):
    """One row of the stage table: `blocks` inverted residuals, the first with the stride."""

    blocks: Elastic
    stride: int = Field(ge=1, le=2)
    width: Elastic
    kernel: Annotated[Elastic, AfterValidator(_odd)]
    expansion: Elastic


class LitePoseConfig(_Strict):
    """The `network:` section of a LitePose space (paper, section 5.2 and Figure 4)."""

    stem_width: Elastic
    stem: Elastic
    stages: tuple[Stage, ...] = Field(min_length=3)
    deconvs: tuple[Elastic, ...] = Field(min_length=2)
    deconv_kernel: int = Field(default=4, ge=2, le=4)
    head_kernel: Annotated[int, AfterValidator(_in_range), AfterValidator(_odd)] = 5


@register_family("litepose")
def litepose(
    space: SearchSpace, arch: Arch, *, skeleton: str | Skeleton | None = None
) -> NetworkPlan:
    """List the units of a LitePose network.

    Args:
        space: gives the stage table.
        arch: gives every choice the table names.
        skeleton: whose joints are predicted; default the space's own.

    Raises:
        SpaceError: the `network:` section is not a LitePose table, or its strides do not fit
            the deconvolutions.
    """
    config = litepose_config(space)
    joints = _num_joints(space.skeleton if skeleton is None else skeleton)
    return _Wiring(space, arch, config).plan(joints)


@lru_cache(maxsize=64)
def _num_joints(skeleton: str | Skeleton) -> int:
    return load_skeleton(skeleton).num_joints


@lru_cache(maxsize=64)
def litepose_config(space: SearchSpace) -> LitePoseConfig:
    """Return the `network:` section of a LitePose space, checked.

    Raises:
        SpaceError: it is not a LitePose table; every fault is in the message.
    """
    try:
        config = LitePoseConfig.model_validate(dict(space.network))
    except ValidationError as error:
        faults = "; ".join(f"network.{fault}" for fault in explain_all(error, LitePoseConfig))
        raise SpaceError(f"space {space.name!r}: {faults}") from None
    faults = _even_kernels(space, config)
    if faults:
        raise SpaceError(f"space {space.name!r}: {'; '.join(faults)}")
    return config


def _even_kernels(space: SearchSpace, config: LitePoseConfig) -> list[str]:
    """Return what is wrong with the choices that give kernels."""
    named = {stage.kernel for stage in config.stages}
    faults = []
    for choice in space.choices:
        even = [str(value) for value in choice.values if value % 2 == 0]
        if choice.name in named and even:
            faults.append(
                f"choice {choice.name!r}: a kernel has a centre, so its side is odd, not "
                f"{', '.join(even)}"
            )
    return faults


class _Wiring:
    """Appends units one after the other, keeping each one's output shape."""

    def __init__(self, space: SearchSpace, arch: Arch, config: LitePoseConfig) -> None:
        self.space, self.arch, self.config = space, arch, config
        self.values = arch.to_dict()  # a plain dict, as it is asked some hundred times
        self.units: list[Unit] = []
        self.shapes: dict[str, Shape] = {"input": (3, arch.resolution, arch.resolution)}

    def plan(self, joints: int) -> NetworkPlan:
        backbone = self._backbone()
        # Deconvolution i fuses the refined map with the backbone's map of the same size; the
        # heads fuse with the next one, so the raw maps are the backbone's outputs, deepest first.
        refined, *raws = reversed(backbone)
        heads = {len(self.config.deconvs) - 2: 2 * joints, len(self.config.deconvs) - 1: joints}
        if len(raws) <= len(self.config.deconvs):
            raise SpaceError(
                f"space {self.space.name!r}: {len(self.config.deconvs)} deconvolutions need "
                f"{len(self.config.deconvs) + 2} backbone maps (stem and stages), "
                f"not {len(backbone)}"
            )
        outputs = []
        for step, width in enumerate(self.config.deconvs):
            refined = self._fuse(
                f"deconv{step + 1}", "fusion_deconv", (refined, raws[step]), self._value(width)
            )
            if step in heads:
                inputs = (refined, raws[step + 1])
                outputs.append(
                    self._fuse(f"head{len(outputs) + 1}", "fusion_head", inputs, heads[step])
                )
        return NetworkPlan(tuple(self.units), tuple(outputs))

    def _backbone(self) -> list[str]:
        """Stem and stages; returns the names of the units that end them."""
        stem_width, stem = self._value(self.config.stem_width), self._value(self.config.stem)
        last = self._add("stem", "stem", ("input",), stem, kernel=3, stride=2, hidden=stem_width)
        ends = [last]
        for number, stage in enumerate(self.config.stages, start=1):
            for block in range(self._value(stage.blocks)):
                # The first block of a stage never has a residual, even where the shapes would
                # allow one: a property of the position, so that every arch shares it.
                last = self._add(
                    f"stage{number}.{block}",
                    "inverted_residual",
                    (last,),
                    self._value(stage.width),
                    kernel=self._value(stage.kernel),
                    stride=stage.stride if block == 0 else 1,
                    hidden=self.shapes[last][0] * self._value(stage.expansion),
                    residual=block > 0,
                )
            ends.append(last)
        return ends

    def _fuse(self, name: str, kind: str, inputs: tuple[str, str], out_channels: int) -> str:
        refined, raw = (self.shapes[i] for i in inputs)
        if refined[1:] != raw[1:]:
            raise SpaceError(
                f"space {self.space.name!r}: {name} fuses maps of {refined[1]} and {raw[1]} cells "
                f"at resolution {self.arch.resolution}; the stages' strides must mirror the "
                "deconvolutions and the resolution be a multiple of the total stride"
            )
        if kind == "fusion_head":
            return self._add(name, kind, inputs, out_channels, kernel=self.config.head_kernel)
        kernel = self.config.deconv_kernel
        return self._add(name, kind, inputs, out_channels, kernel=kernel, stride=2)

    def _add(
        self,
        name: str,
        kind: str,
        inputs: tuple[str, ...],
        out_channels: int,
        *,
        kernel: int,
        stride: int = 1,
        hidden: int = 0,
        residual: bool = False,
    ) -> str:
        in_shapes = tuple(self.shapes[i] for i in inputs)
        spec = UnitSpec(kind, in_shapes, out_channels, kernel, stride, hidden, residual)
        self.units.append(Unit(name, spec, inputs))
        _, height, width = in_shapes[0]
        if kind == "fusion_deconv":
            size = (height * stride, width * stride)
        else:
            size = (-(-height // stride), -(-width // stride))
        self.shapes[name] = (out_channels, *size)
        return name

    def _value(self, value: Elastic) -> int:
        if isinstance(value, int):
            return value
        if value not in self.values:
            raise SpaceError(
                f"space {self.space.name!r}: network names a choice {value!r} that is not declared"
            )
        return self.values[value]
