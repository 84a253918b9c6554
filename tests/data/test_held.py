"""Scenes kept in memory: the source's, made once."""

import pickle

import numpy as np

from ofa_pose.data import HeldScenes, SyntheticScenes


class Counted(SyntheticScenes):
    made = 0

    def __getitem__(self, index):
        Counted.made += 1
        return super().__getitem__(index)


class Damaged(SyntheticScenes):
    """Picture 1 is damaged: picture 0 stands in."""

    def __getitem__(self, index):
        return super().__getitem__(0 if index == 1 else index)


def test_a_stand_in_is_in_the_truth_once():
    held = HeldScenes(Damaged(3, 3, size=64, skeleton="crowdpose"))
    truth = held.ground_truth()
    assert [image["id"] for image in truth["images"]] == [0, 2]
    people = [person for person in truth["annotations"] if not person["iscrowd"]]
    assert len(people) == len(held[0].keypoints) + len(held[2].keypoints)


def test_each_scene_is_made_once_and_is_the_sources():
    source = SyntheticScenes(3, 4, size=64, skeleton="crowdpose")
    counted = Counted(3, 4, size=64, skeleton="crowdpose")
    told = []
    held = HeldScenes(counted, progress=lambda done, total: told.append((done, total)))
    copy = pickle.loads(pickle.dumps(held))
    for index in (2, 0, 3, 1, 2):
        for one in (held, copy):
            assert np.array_equal(one[index].image, source[index].image)
            assert np.array_equal(one[index].keypoints, source[index].keypoints)
            assert one[index].image_id == index
    assert held.ground_truth() == source.ground_truth() == copy.ground_truth()
    assert held.fingerprint() == source.fingerprint() == copy.fingerprint()
    assert Counted.made == 4
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
