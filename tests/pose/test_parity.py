"""The fast mode finds the people and joints that the published steps find."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from ofa_pose.pose import DecodeSettings, Person, decode_outputs, fuse_outputs
from ofa_pose.pose import compiled as compiled_module
from ofa_pose.pose.compiled import kernels
from ofa_pose.pose.reference import Solver, decode_reference
from ofa_pose.pose.simulate import RandomScene, random_scene
from ofa_pose.skeleton import Skeleton, load_skeleton

COCO = load_skeleton("coco")
CROWDPOSE = load_skeleton("crowdpose")


def scene_of(seed: int) -> tuple[RandomScene, Skeleton]:
    """1 to 30 people; size, skeleton, flip test and noise change with the seed."""
    skeleton = COCO if seed % 3 else CROWDPOSE
    people = 1 + seed % 30
    short = 128 if people <= 6 else 192 if people <= 15 else 256
    scene = random_scene(
        seed,
        skeleton,
        people=people,
        size=[(short, short), (short, short + 64), (short + 64, short)][seed // 30 % 3],
        flip=bool(seed // 2 % 2),
        tag_noise=(0.05, 0.15, 0.3)[seed % 7 % 3],
    )
    return scene, skeleton


class Decided:
    """Solves assignments as the fast mode does: of least published cost, the nearest tags.

    Attributes:
        ambiguous: whether the plain solver ever joined others at the same cost.
    """

    def __init__(self) -> None:
        self.ambiguous = False

    def __call__(self, cost: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        plain = linear_sum_assignment(cost)
        decided = linear_sum_assignment(cost + 1e-5 * np.minimum(distance, 1) ** 2)
        # It must be an optimum of the published cost.
        assert cost[decided].sum() == pytest.approx(cost[plain].sum(), abs=3e-4)
        self.ambiguous |= standing(plain, distance) != standing(decided, distance)
        return decided


def standing(
    pairs: tuple[np.ndarray, np.ndarray], distance: np.ndarray
) -> set[tuple[np.intp, np.intp]]:
    """The pairs near enough to stand; what the others are makes no difference."""
    return {pair for pair in zip(*pairs, strict=True) if distance[pair] < 1.0}


def reference(scene: RandomScene, skeleton: Skeleton, **options: Solver) -> list[Person]:
    """The people found by the published steps."""
    heatmaps, tags = fuse_outputs(
        scene.outputs,
        size=scene.size,
        flipped_outputs=scene.flipped,
        skeleton=skeleton,
        project=True,
    )
    found = decode_reference(
        heatmaps[0].numpy(),
        tags[0].numpy(),
        skeleton.matching_order,
        settings=DecodeSettings(mode="reference"),
        **options,
    )
    return [Person(keypoints, score) for keypoints, score in found]


def assert_same_people(own: list[Person], published: list[Person]) -> None:
    """As many people with the same joints and scores, each joint within half a pixel."""
    assert len(own) == len(published)
    if not own:
        return
    scores = [
        np.array([person.keypoints[:, 2] for person in people]) for people in (own, published)
    ]
    rows, columns = linear_sum_assignment(cdist(*scores, metric="cityblock"))
    for row, column in zip(rows, columns, strict=True):
        ours, theirs = own[row], published[column]
        np.testing.assert_allclose(ours.keypoints[:, 2], theirs.keypoints[:, 2], atol=1e-5)
        assert ours.score == pytest.approx(theirs.score, abs=1e-5)
        apart = np.linalg.norm(ours.keypoints[:, :2] - theirs.keypoints[:, :2], axis=1)
        assert apart.max() <= 0.5


def compare(seeds: range) -> int:
    """Compare the scenes of `seeds`; return in how many of them no tie mattered.

    In those the published steps leave only one answer. In the others the fast mode's answer is
    that of the published steps with the fast mode's choice among equal costs.
    """
    unambiguous = 0
    for seed in seeds:
        scene, skeleton = scene_of(seed)
        solver = Decided()
        published = reference(scene, skeleton, solve=solver)
        unambiguous += not solver.ambiguous
        (own,) = decode_outputs(
            scene.outputs, skeleton, size=scene.size, flipped_outputs=scene.flipped
        )
        assert_same_people(own, published)
    return unambiguous


def test_the_same_people_and_joints() -> None:
    assert compare(range(0, 500, 29)) >= 1


@pytest.mark.slow
def test_the_same_people_and_joints_in_500_scenes() -> None:
    assert compare(range(500)) >= 10


def test_the_mode_takes_the_published_steps() -> None:
    scene, skeleton = scene_of(3)
    (own,) = decode_outputs(
        scene.outputs,
        skeleton,
        size=scene.size,
        flipped_outputs=scene.flipped,
        settings=DecodeSettings(mode="reference"),
    )
    for ours, theirs in zip(own, reference(scene, skeleton), strict=True):
        np.testing.assert_array_equal(ours.keypoints, theirs.keypoints)


@pytest.mark.skipif(kernels() is None, reason="needs numba, of the extra [fast]")
@pytest.mark.parametrize("seed", [0, 17, 94, 259])
def test_compiled_or_not_the_results_are_the_same(seed: int, monkeypatch) -> None:
    scene, skeleton = scene_of(seed)

    def people() -> list[Person]:
        (found,) = decode_outputs(
            scene.outputs, skeleton, size=scene.size, flipped_outputs=scene.flipped
        )
        return found

    compiled = people()
    monkeypatch.setattr(compiled_module, "enabled", False)
    plain = people()
    assert len(plain) == len(compiled) > 0
    for ours, theirs in zip(compiled, plain, strict=True):
        np.testing.assert_array_equal(ours.keypoints, theirs.keypoints)
        assert ours.score == theirs.score
