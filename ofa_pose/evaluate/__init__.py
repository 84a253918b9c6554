"""How good a subnet is: inference over a source of scenes, and its AP."""

from ofa_pose.evaluate.detections import Detections
from ofa_pose.evaluate.fidelity import PartsEvaluator, growing_parts
from ofa_pose.evaluate.pictures import PictureBatch, PictureCache, picture_batches
from ofa_pose.evaluate.predict import evaluate_network, predict_batches, predict_scenes
from ofa_pose.evaluate.shard import Shard
from ofa_pose.evaluate.split import SubsetScenes, shared_pictures, split_source
from ofa_pose.evaluate.subnet import SubnetEvaluator

__all__ = [
    "Detections",
    "PartsEvaluator",
    "PictureBatch",
    "PictureCache",
    "Shard",
    "SubnetEvaluator",
    "SubsetScenes",
    "evaluate_network",
    "growing_parts",
    "picture_batches",
    "predict_batches",
    "predict_scenes",
    "shared_pictures",
    "split_source",
]
