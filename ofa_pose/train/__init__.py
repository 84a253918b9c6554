"""How weights are learnt: recipes, the training loop, supernet and single-network training."""

from ofa_pose.train.checkpoint import load_checkpoint
from ofa_pose.train.distributed import World, joined
from ofa_pose.train.ema import Average
from ofa_pose.train.finetune import finetune, network_metadata
from ofa_pose.train.job import Cadence, Progress, Teach, TrainResult, Validate
from ofa_pose.train.loop import BEST, CHECKPOINT, LAST, METRICS
from ofa_pose.train.recipe import AugmentationRecipe, Recipe, make_recipe
from ofa_pose.train.sampler import (
    ArchSampler,
    FairSampler,
    FixedSampler,
    SandwichSampler,
    UniformSampler,
    make_sampler,
)
from ofa_pose.train.schedule import TrainBudget, learning_rate
from ofa_pose.train.supernet import corner_archs, train_supernet, validate_subnets
from ofa_pose.train.teacher import Teacher

__all__ = [
    "BEST",
    "CHECKPOINT",
    "LAST",
    "METRICS",
    "ArchSampler",
    "AugmentationRecipe",
    "Average",
    "Cadence",
    "FairSampler",
    "FixedSampler",
    "Progress",
    "Recipe",
    "SandwichSampler",
    "Teach",
    "Teacher",
    "TrainBudget",
    "TrainResult",
    "UniformSampler",
    "Validate",
    "World",
    "corner_archs",
    "finetune",
    "joined",
    "learning_rate",
    "load_checkpoint",
    "make_recipe",
    "make_sampler",
    "network_metadata",
    "train_supernet",
    "validate_subnets",
]
