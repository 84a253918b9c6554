"""Grouping: candidates go to the nearest tags, with a defined answer where the cost is tied."""

from dataclasses import replace

import numpy as np

from ofa_pose.pose.candidates import Candidates
from ofa_pose.pose.grouping import Groups, best_groups, group, limbs_between
from ofa_pose.skeleton import load_skeleton


def joint(*found: tuple[int, float, float]) -> Candidates:
    """Candidates as (x, score, tag)."""
    return Candidates(
        cells=np.array([[x, 0] for x, _, _ in found], dtype=np.int64).reshape(-1, 2),
        scores=np.array([score for _, score, _ in found]),
        tags=np.array([tag for _, _, tag in found], dtype=np.float64).reshape(-1, 1),
    )


def grouped(*joints: Candidates, order=None, max_people: int = 30) -> Groups:
    return group(
        joints,
        order or range(len(joints)),
        1 - np.eye(len(joints)),
        max_people=max_people,
        tag_distance=1.0,
    )


def test_tags_tell_whose_joint_it_is() -> None:
    groups = grouped(joint((10, 0.9, 0.0), (20, 0.8, 5.0)), joint((21, 0.7, 5.2), (11, 0.6, 0.1)))
    assert groups.cells[..., 0].tolist() == [[10, 11], [20, 21]]
    assert groups.scores.tolist() == [[0.9, 0.6], [0.8, 0.7]]
    np.testing.assert_allclose(groups.tags, [[0.05], [5.1]])


def test_a_far_tag_starts_a_new_person() -> None:
    groups = grouped(joint((1, 0.9, 0.0)), joint((2, 0.9, 1.0)), joint((3, 0.9, 0.99)))
    # 1.0 is not below the limit; 0.99 is nearest to the person at 1.0.
    assert groups.scores.tolist() == [[0.9, 0, 0], [0, 0.9, 0.9]]


def test_the_mean_tag_follows_the_joints_found_so_far() -> None:
    groups = grouped(joint((1, 1, 0.0)), joint((2, 1, 0.8)), joint((3, 1, 1.3)))
    # The mean after two joints is 0.4; 1.3 is 0.9 away from it.
    assert groups.scores.tolist() == [[1, 1, 1]]


def test_a_second_candidate_of_the_same_person_starts_another() -> None:
    groups = grouped(joint((1, 0.5, 0.0)), joint((2, 0.4, 0.0), (3, 0.9, 0.0)))
    assert groups.scores.tolist() == [[0.5, 0.9], [0, 0.4]]


def test_joints_are_matched_in_the_given_order() -> None:
    joints = joint((1, 1, 0.0)), joint((5, 1, 1.5)), joint((3, 1, 0.75))
    assert grouped(*joints).scores.tolist() == [[1, 0, 1], [0, 1, 0]]
    assert grouped(*joints, order=[2, 1, 0]).scores.tolist() == [[0, 1, 1], [1, 0, 0]]


def test_where_rounded_costs_tie_the_nearer_tags_win() -> None:
    for swap in (False, True):
        second = [(11, 0.5, 0.02), (21, 0.5, 0.38)]
        groups = grouped(joint((10, 1, 0.0), (20, 1, 0.4)), joint(*second[:: -1 if swap else 1]))
        assert groups.cells[..., 0].tolist() == [[10, 11], [20, 21]]


def test_where_tags_hardly_differ_the_higher_joint_goes_to_the_higher_person() -> None:
    # The ghost's tag is nearer by 0.01, which one person's joints differ by, too.
    groups = grouped(joint((10, 0.9, 0.02), (20, 0.3, 0.0)), joint((11, 0.8, 0.0), (21, 0.2, 0.01)))
    assert groups.cells[..., 0].tolist() == [[10, 11], [20, 21]]


def test_where_tags_differ_they_tell_more_than_scores() -> None:
    # 0.9 * 0.5 + 0.8 * 0.4 is 0.01 more than crossed; the distances cost 3 * 2 * 0.3² more.
    groups = grouped(joint((10, 0.9, 0.0), (20, 0.8, 0.3)), joint((21, 0.5, 0.3), (11, 0.4, 0.0)))
    assert groups.cells[..., 0].tolist() == [[10, 11], [20, 21]]


def test_a_person_is_as_high_as_all_joints_found_so_far() -> None:
    # 0.5 + 0.9 against 0.6 + 0.2: the first joint alone would give it to the other.
    groups = grouped(
        joint((20, 0.6, 0.3), (10, 0.5, 0.0)),
        joint((11, 0.9, 0.0), (21, 0.2, 0.3)),
        joint((12, 0.7, 0.15)),
    )
    assert groups.cells[..., 0].tolist() == [[20, 21, 0], [10, 11, 12]]


def test_where_tags_hardly_differ_the_nearer_person_gets_the_joint() -> None:
    # 2.0 mean limbs of 10 pixels farther weigh 0.3, and tags farther by 0.1 weigh 0.03 at most.
    groups = grouped(
        joint((10, 0.5, 0.0), (40, 0.5, 0.1)),
        joint((20, 0.5, 0.0), (30, 0.5, 0.1)),
        joint((35, 0.5, 0.0)),
    )
    assert groups.cells[..., 0].tolist() == [[10, 20, 0], [40, 30, 35]]


def test_where_tags_differ_they_tell_more_than_the_picture() -> None:
    # 3 * 0.4² against 0.15 times what is nearer, 2 mean limbs.
    groups = grouped(
        joint((10, 0.5, 0.0), (40, 0.5, 0.4)),
        joint((20, 0.5, 0.0), (30, 0.5, 0.4)),
        joint((35, 0.5, 0.0)),
    )
    assert groups.cells[..., 0].tolist() == [[10, 20, 35], [40, 30, 0]]


def test_joints_a_few_limbs_away_say_less_than_the_next_one() -> None:
    # A chain of three: the middle joint at 20 counts for the third, not the first one at 60.
    limbs = np.array([[0, 1, 2], [1, 0, 1], [2, 1, 0]])
    joints = (
        joint((60, 0.5, 0.0), (0, 0.5, 0.1)),
        joint((20, 0.5, 0.0), (40, 0.5, 0.1)),
        joint((21, 0.5, 0.05), (41, 0.5, 0.06)),
    )
    groups = group(joints, range(3), limbs, max_people=30, tag_distance=1.0)
    assert sorted(groups.cells[:, 1:, 0].tolist()) == [[20, 21], [40, 41]]


def test_limbs_between_joints_are_counted_along_the_body() -> None:
    skeleton = load_skeleton("crowdpose")
    limbs = limbs_between(skeleton)
    names = skeleton.joints
    from_ankle = dict(zip(names, limbs[names.index("left_ankle")], strict=True))
    assert from_ankle["left_ankle"] == 0
    assert from_ankle["left_knee"] == 1
    assert from_ankle["right_hip"] == 3
    assert from_ankle["top_head"] == 5  # by knee, hip, shoulder and neck
    assert limbs_between(replace(skeleton, limbs=())).max() == 14  # nothing connects them


def test_people_and_candidates_in_a_row_are_paired_in_that_order() -> None:
    # However they are paired, the distances add up to 0.6; their squares do not.
    groups = grouped(joint((10, 1, 0.0), (20, 1, 0.2)), joint((21, 1, 0.4), (11, 1, 0.4 - 0.1)))
    assert groups.cells[..., 0].tolist() == [[10, 11], [20, 21]]


def test_what_is_equal_in_everything_goes_to_the_earliest() -> None:
    groups = grouped(joint((10, 1, 0.0), (20, 1, 0.0)), joint((11, 1, 0.0)))
    assert groups.cells[..., 0].tolist() == [[10, 11], [20, 0]]


def test_beyond_the_limit_people_begin_but_gain_nothing() -> None:
    groups = grouped(joint((1, 1, 0.0), (2, 1, 5.0)), joint((3, 1, 5.0)), max_people=1)
    assert groups.scores.tolist() == [[1, 0], [1, 0], [0, 1]]


def test_joints_without_candidates_are_skipped_and_nothing_gives_nobody() -> None:
    assert grouped(joint(), joint((1, 1, 0.0)), joint()).scores.tolist() == [[0, 1, 0]]
    empty = grouped(joint(), joint())
    assert empty.scores.shape == (0, 2)
    assert empty.cells.shape == (0, 2, 2)


def test_two_tags_a_joint_count_by_their_euclidean_distance() -> None:
    first = Candidates(
        cells=np.zeros((1, 2), np.int64), scores=np.ones(1), tags=np.array([[0.0, 0.0]])
    )
    near = Candidates(
        cells=np.zeros((1, 2), np.int64), scores=np.ones(1), tags=np.array([[0.6, 0.7]])
    )
    far = Candidates(
        cells=np.zeros((1, 2), np.int64), scores=np.ones(1), tags=np.array([[0.6, 0.9]])
    )
    assert len(grouped(first, near).scores) == 1  # sqrt(0.36 + 0.49) = 0.92
    assert len(grouped(first, far).scores) == 2  # sqrt(0.36 + 0.81) = 1.08


def test_the_best_people_are_kept_in_their_order() -> None:
    groups = grouped(joint((1, 0.2, 0.0), (2, 0.9, 5.0), (3, 0.5, 10.0), (4, 0.9, 15.0)))
    assert best_groups(groups, 2).scores.tolist() == [[0.9], [0.9]]
    kept = best_groups(groups, 3)
    assert kept.cells[:, 0, 0].tolist() == [2, 3, 4]
    assert kept.tags.tolist() == [[5.0], [10.0], [15.0]]
    assert len(best_groups(groups, 9).scores) == 4
