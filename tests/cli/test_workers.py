"""A search in two processes, as the command runs it on two processors: as in one."""

import pytest
import yaml

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
    for name in ("archive.csv", "baseline.csv", "front.csv", "XS.safetensors"):
        assert (folders[1] / name).read_bytes() == (folders[2] / name).read_bytes(), name
    one, two = (yaml.safe_load((folders[n] / "XS.yaml").read_text()) for n in (1, 2))
    assert one["scores"] == two["scores"]
    assert one["scores"]["report"]["AP50"] > 0  # so that equal scores are not all nothing
