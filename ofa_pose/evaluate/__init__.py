"""How good a subnet is: inference over a source of scenes, and its AP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ofa_pose.evaluate.people import Mapper, find_people, person_in_picture
from ofa_pose.evaluate.pictures import PictureBatch, PictureCache, picture_batches
from ofa_pose.lazy import names_on_use

if TYPE_CHECKING:
    from ofa_pose.evaluate.detections import Detections
    from ofa_pose.evaluate.fidelity import PartsEvaluator, growing_parts
    from ofa_pose.evaluate.oracle import Truth, people_by_truth
    from ofa_pose.evaluate.predict import (
        evaluate_network,
        mapper_of,
        predict_batches,
        predict_scenes,
    )
    from ofa_pose.evaluate.score import Scored, score_network
    from ofa_pose.evaluate.shard import Shard
    from ofa_pose.evaluate.split import SubsetScenes, shared_pictures, split_source
    from ofa_pose.evaluate.subnet import ArchScorer, ScoredArch, SubnetEvaluator
    from ofa_pose.evaluate.summary import markdown_table, summary_block
    from ofa_pose.evaluate.tags import TagDiagnostics, tag_diagnostics

__all__ = [
    "ArchScorer",
    "Detections",
    "Mapper",
    "PartsEvaluator",
    "PictureBatch",
    "PictureCache",
    "Scored",
    "ScoredArch",
    "Shard",
    "SubnetEvaluator",
    "SubsetScenes",
    "TagDiagnostics",
    "Truth",
    "evaluate_network",
    "find_people",
    "markdown_table",
    "growing_parts",
    "mapper_of",
    "people_by_truth",
    "person_in_picture",
    "picture_batches",
    "predict_batches",
    "predict_scenes",
    "score_network",
    "shared_pictures",
    "split_source",
    "summary_block",
    "tag_diagnostics",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = names_on_use(
        __name__,
        {
            "detections": "Detections",
            "fidelity": "PartsEvaluator growing_parts",
            "oracle": "Truth people_by_truth",
            "predict": "evaluate_network mapper_of predict_batches predict_scenes",
            "score": "Scored score_network",
            "shard": "Shard",
            "split": "SubsetScenes shared_pictures split_source",
            "subnet": "ArchScorer ScoredArch SubnetEvaluator",
            "summary": "markdown_table summary_block",
            "tags": "TagDiagnostics tag_diagnostics",
        },
    )
