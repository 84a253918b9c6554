"""A search in two processes, as the command runs it on two processors: as in one."""

import pytest
import torch
import yaml

from ofa_pose.supernet import load_weights

LINE = ["search", "--budget", "150M", "--evaluations", 4, "--scenes", 16, "--calibration-scenes", 8]


@pytest.mark.slow
def test_two_workers_find_and_report_what_one_does(command, tmp_path):
    folders = {}
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        line = [*LINE, "--finalists", 1, "--workers", workers, "--out", folder]
        outcome = command(*line)
        assert outcome.code == 0, outcome.err
        folders[workers] = folder
    for name in ("archive.csv", "baseline.csv", "front.csv"):
        assert (folders[1] / name).read_bytes() == (folders[2] / name).read_bytes(), name
    # Not the bytes: safetensors writes its metadata in any order.
    states = [load_weights(folders[workers] / "XS.safetensors")[0] for workers in (1, 2)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in {**states[0], **states[1]})
    one, two = (yaml.safe_load((folders[n] / "XS.yaml").read_text()) for n in (1, 2))
    assert one["scores"] == two["scores"]
    assert one["scores"]["report"]["AP50"] > 0  # so that equal scores are not all nothing
