"""How weights are learnt: recipes, the training loop, supernet and single-network training."""

from ofa_pose.train.checkpoint import load_checkpoint
from ofa_pose.train.finetune import finetune, network_metadata
from ofa_pose.train.job import Cadence, Progress, TrainResult, Validate
from ofa_pose.train.loop import BEST, CHECKPOINT, LAST, METRICS
from ofa_pose.train.memory import keep_freed_memory
from ofa_pose.train.recipe import AugmentationRecipe, Recipe, make_recipe
from ofa_pose.train.sampler import ArchSampler, FixedSampler, UniformSampler
from ofa_pose.train.schedule import TrainBudget, learning_rate
from ofa_pose.train.supernet import train_supernet, validate_extremes

__all__ = [
    "BEST",
    "CHECKPOINT",
    "LAST",
    "METRICS",
    "ArchSampler",
    "AugmentationRecipe",
    "Cadence",
    "FixedSampler",
    "Progress",
    "Recipe",
    "TrainBudget",
    "TrainResult",
    "UniformSampler",
    "Validate",
    "finetune",
    "keep_freed_memory",
    "learning_rate",
    "load_checkpoint",
    "make_recipe",
    "network_metadata",
    "train_supernet",
    "validate_extremes",
]
