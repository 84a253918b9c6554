"""The space and the skeleton that a tier's file carries, compared with what is known here."""

from __future__ import annotations

from ofa_pose.catalog import load_space, space_names
from ofa_pose.errors import SkeletonError, WeightsError
from ofa_pose.export.schema import SkeletonSection, SpaceSection
from ofa_pose.skeleton import Skeleton, load_skeleton, skeleton_names
from ofa_pose.space import SearchSpace, restore_space


def carried_space(section: SpaceSection) -> SearchSpace:
    """Return the space a tier carries.

    Raises:
        SpaceError: the declaration contradicts itself.
        ArchError: a named arch is not in it.
        WeightsError: its hash or name is not the one the tier was written with.
    """
    space = restore_space(section.declaration)
    if (space.name, space.hash) != (section.name, section.hash):
        raise WeightsError(
            f"the tier's weights are of space {section.name!r} ({section.hash}), but the space "
            f"declared in it is {space.name!r} ({space.hash}): it was edited afterwards"
        )
    return space


def check_installed_space(space: SearchSpace, installed: SearchSpace | None = None) -> None:
    """Compare a tier's space with `installed`, by default the one that can be loaded by its name.

    A tier whose space is not installed is fine: it carries its own.

    Raises:
        WeightsError: the two differ; the message names both.
    """
    if installed is None:
        if space.name not in space_names():
            return
        installed = load_space(space.name)
    if installed.hash != space.hash:
        raise WeightsError(
            f"the tier is of space {space.name!r} ({space.hash}), the one in use is "
            f"{installed.name!r} ({installed.hash})"
        )


def restore_skeleton(section: SkeletonSection) -> Skeleton:
    """Return the skeleton a tier carries.

    Raises:
        SkeletonError: it contradicts itself, or differs from the shipped one of its name.
    """
    skeleton = Skeleton(
        name=section.name,
        joints=tuple(section.joints),
        flip=tuple(section.flip),
        limbs=tuple((first, second) for first, second in section.limbs),
        sigmas=tuple(section.sigmas),
        matching_order=tuple(section.matching_order),
        area_rule=section.area_rule,
        aliases=tuple(map(tuple, section.aliases)),
        synthetic=tuple(map(tuple, section.synthetic)),
    )
    if skeleton.name in skeleton_names():
        differing = load_skeleton(skeleton.name).differences(skeleton)
        if differing:
            raise SkeletonError(
                f"skeleton {skeleton.name!r} differs from the shipped one of that name in "
                f"{', '.join(differing)}"
            )
    return skeleton
