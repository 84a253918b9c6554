"""The summary is the block that pycocotools prints; the table is Markdown."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
from pycocotools.cocoeval import COCOeval

from ofa_pose.evaluate import markdown_table, summary_block

NAMES = (
    *("AP", "AP50", "AP75", "AP_medium", "AP_large"),
    *("AR", "AR50", "AR75", "AR_medium", "AR_large"),
)


def test_it_is_what_pycocotools_prints() -> None:
    rng = np.random.default_rng(0)
    evaluation: Any = COCOeval(iouType="keypoints")
    evaluation.eval = {
        "precision": rng.random((10, 101, 1, 3, 1)),
        "recall": rng.random((10, 1, 3, 1)),
    }
    evaluation.eval["precision"][..., 2, :] = -1  # nobody is large
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        evaluation.summarize()
    scores = dict(zip(NAMES, map(float, evaluation.stats), strict=True))
    assert summary_block(scores, crowd_cuts=None) == printed.getvalue().rstrip("\n").split("\n")


def test_crowdpose_tells_its_cuts() -> None:
    names = ("AP", "AP50", "AP75", "AR", "AR50", "AR75", "AP_easy", "AP_medium", "AP_hard")
    lines = summary_block(dict.fromkeys(names, 0.25), crowd_cuts=(0.1, 0.8))
    assert lines[0].endswith("[ IoU=0.50:0.95 | area=   all | maxDets= 20 ] = 0.250"[1:])
    assert lines[7] == (
        " Average Precision  (AP) @[ IoU=0.50:0.95 | type=medium | maxDets= 20 ] = 0.250"
    )
    assert lines[9] == "easy: crowdIndex below 0.1; medium: 0.1 to below 0.8; hard: 0.8 and above"


def test_a_table_of_one_line() -> None:
    assert markdown_table({"tier": "XS"}, {"AP": 0.4951, "AP_large": -1.0}) == [
        "| tier | AP | AP_large |",
        "| --- | ---: | ---: |",
        "| XS | 49.5 | - |",
    ]
