"""The scenes that a training is given, as they are put together from its options."""

from ofa_pose.cli._sources import Making, Pictures, training_scenes
from ofa_pose.data import Augmentation, MixedScenes, TrainBatches
from ofa_pose.skeleton import load_skeleton


def test_a_batch_holds_photographs_or_painted_scenes(command, tmp_path):
    photos = tmp_path / "photos"
    assert command("data", "synth", photos, "--count", 6, "--size", 64).code == 0
    making = Making(load_skeleton("crowdpose"), seed=0, canvas=64)
    mixed = training_scenes(Pictures(photos), making, synthetic=6, share=0.5, batch_size=3)
    assert isinstance(mixed, MixedScenes)
    batches = TrainBatches(
        mixed, Augmentation(), batch_size=3, seed=0, resolution_of=lambda step: 64
    )
    kinds = [{mixed.locate(index)[0] for index in batches.indices(step)} for step in range(4)]
    assert sorted(map(tuple, kinds)) == [(0,), (0,), (1,), (1,)]
