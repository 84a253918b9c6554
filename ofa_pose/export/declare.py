"""The space and the skeleton that a tier's file carries."""

from __future__ import annotations

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


def check_same_space(space: SearchSpace, other: SearchSpace) -> None:
    """Compare a tier's space with the one that it is to be used with.

    Raises:
        WeightsError: the two differ; the message names both.
    """
    if other.hash != space.hash:
        raise WeightsError(
            f"the tier is of space {space.name!r} ({space.hash}), the one in use is "
            f"{other.name!r} ({other.hash})"
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
