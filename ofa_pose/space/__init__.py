"""What may vary: choices, the archs they span, and the search space that holds them (no torch)."""

from ofa_pose.space.arch import Arch, ArchLike
from ofa_pose.space.choice import Choice, make_divisible
from ofa_pose.space.declaration import declare_space, restore_space
from ofa_pose.space.frozen import FrozenDict, freeze, thaw
from ofa_pose.space.space import SearchSpace, require_space
from ofa_pose.space.uniform import uniform_archs

__all__ = [
    "Arch",
    "ArchLike",
    "Choice",
    "FrozenDict",
    "SearchSpace",
    "declare_space",
    "freeze",
    "make_divisible",
    "require_space",
    "restore_space",
    "thaw",
    "uniform_archs",
]
