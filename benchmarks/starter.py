r"""Train a starter further, on photographs and painted scenes, or one on painted scenes alone.

    python benchmarks/starter.py --data lspet --minutes 22 44 50 36 70 \
        --init runs/lspet-supernet/last.safetensors --out runs/starter
    python benchmarks/starter.py --minutes 22 44 50 36 70 --out runs/starter-painted
    python benchmarks/starter.py --data lspet --first wide-more --minutes 45 36 \
        --init runs/starter/all-again/last.safetensors --out runs/starter

Seven stages, or as many as `--minutes` has numbers for, from `--first` on: the network of full
width alone, at 128 to 256 px, as the one that the others learn from; then all widths, the full one,
the smallest and a drawn one a step (sandwich); then these at all sizes up to 384 px, which cost
several times as much; then full width and all widths once more, mostly at the small sizes and on
single people, of which the first three show few; then both a third time with more painted scenes.
Painted scenes are written once to `OUT/painted`. Running it again goes on. Two processes of one
thread are faster than one of two: `torchrun --nproc-per-node 2 benchmarks/starter.py …`.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch.distributed
from lspet_sources import TRAIN, photographs, search_scenes, train_pictures

import ofa_pose as op
from ofa_pose.cli._settings import read_settings
from ofa_pose.data import CocoScenes, MosaicScenes, SceneSource
from ofa_pose.data.export_coco import write_coco
from ofa_pose.data.mixed import MixedScenes
from ofa_pose.data.synth import SyntheticScenes
from ofa_pose.evaluate import SubnetEvaluator, SubsetScenes
from ofa_pose.evaluate.shard import Shard
from ofa_pose.memory import keep_freed_memory
from ofa_pose.space import SearchSpace
from ofa_pose.supernet import load_state, load_weights, order_channels
from ofa_pose.train import (
    LAST,
    Cadence,
    TrainBudget,
    World,
    joined,
    make_recipe,
    train_supernet,
)

SPACE = "litepose-lite0"
PAINTED = 24_000
KINDS = ("single", "mosaic", "painted")
BATCH = 16
CANVAS, PEOPLE = 288, (1, 4)
SMALL = (128, 128, 160, 192, 256)
ALL = (128, 160, 192, 256, 256, 320, 384)
LOW = (128, 128, 160, 192)
MOSTLY_LOW = (128, 128, 160, 192, 256, 256, 384)
SINGLES = (0.6, 0.2, 0.2)
MORE_PAINTED = (0.35, 0.2, 0.45)
TRAIN_SEED, CALIBRATE_SEED, SEARCH_SEED = 1, 2, 3
"""Seeds of painted scenes; `starter_figures.py` reports on others."""


@dataclass(frozen=True)
class Stage:
    """A part of the training, with what it changes in the space and its recipe."""

    name: str
    lr: float
    full_width: bool
    sampler: str
    resolutions: tuple[int, ...] = SMALL
    shares: tuple[float, float, float] = (0.4, 0.25, 0.35)

    def space(self) -> SearchSpace:
        """Return the space, without its narrower widths if the stage has none."""
        space = op.load_space(SPACE)
        if not self.full_width:
            return space
        choices = tuple(
            choice
            if choice.name == "resolution"
            else replace(choice, values=(space.largest[choice.name],))
            for choice in space.choices
        )
        return replace(space, name=f"{SPACE}-wide", choices=choices)

    def overrides(self) -> dict[str, Any]:
        """Return what differs from the space's recipe for a supernet."""
        return {
            "lr": self.lr,
            "sampler": self.sampler,
            "resolutions": self.resolutions,
            "sandwich_random": 1,
            "batch_size": BATCH,
            "augmentation": {"scale": [0.7, 1.3]},
        }


STAGES = (
    Stage("wide", 2e-3, full_width=True, sampler="uniform"),
    Stage("all", 1.5e-3, full_width=False, sampler="sandwich"),
    Stage("sizes", 1e-3, full_width=False, sampler="sandwich", resolutions=ALL),
    Stage(
        "wide-again", 1.5e-3, full_width=True, sampler="uniform", resolutions=LOW, shares=SINGLES
    ),
    Stage(
        "all-again",
        8e-4,
        full_width=False,
        sampler="sandwich",
        resolutions=MOSTLY_LOW,
        shares=SINGLES,
    ),
    Stage("wide-more", 2e-3, full_width=True, sampler="uniform", shares=MORE_PAINTED),
    Stage(
        "all-more",
        1.2e-3,
        full_width=False,
        sampler="sandwich",
        resolutions=MOSTLY_LOW,
        shares=MORE_PAINTED,
    ),
)


def main() -> None:
    """Train every stage that is not finished."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    keep_freed_memory()
    options = parse()
    with joined("cpu") as (world, _):
        if world.leads:
            paint(options.out / "painted")
        wait(world)
        weights = options.init
        first = [stage.name for stage in STAGES].index(options.first)
        for number, stage in enumerate(STAGES[first:][: len(options.steps or options.minutes)]):
            weights = train(stage, number, weights, options, world)
            wait(world)


def wait(world: World) -> None:
    """Let every process come here before any goes on: they read what the first one writes."""
    if world.size > 1:
        torch.distributed.barrier()


def paint(folder: Path) -> None:
    """Write the painted scenes that are trained on, if they are not there."""
    if not (folder / "annotations" / "train.json").exists():
        scenes = SyntheticScenes(TRAIN_SEED, PAINTED, size=256, skeleton="crowdpose")
        write_coco(scenes, folder)


def train(
    stage: Stage, number: int, init: Path | None, options: argparse.Namespace, world: World
) -> Path:
    """Run one stage, or what is left of it, and return its weights."""
    folder = options.out / stage.name
    if (folder / "finished").exists():
        return folder / LAST
    budget = (
        TrainBudget(steps=options.steps[number])
        if options.steps
        else TrainBudget(minutes=options.minutes[number])
    )
    supernet = op.Supernet(stage.space(), seed=0, skeleton="crowdpose")
    if init:
        state, _ = load_weights(init)
        load_state(supernet, state, source=str(init))
    if not stage.full_width:
        order_channels(supernet)
    evaluators = {
        name: SubnetEvaluator(
            supernet,
            calibration=calibration,
            scenes=scenes,
            calibration_images=32,
            shard=Shard.of_process_group(),
        )
        for name, (calibration, scenes) in held_out(options.data).items()
    }
    resume = (folder / "checkpoint.pt").exists()
    config = {"verb": "train", "stage": stage.name, "init": init, **budget.to_dict()}
    with world.open_run(folder, config=config, resume=resume) as run:
        result = train_supernet(
            supernet,
            training(options.out / "painted", options.data, stage.shares),
            run=run,
            recipe=make_recipe(
                supernet.space,
                "supernet",
                overrides={**stage.overrides(), **read_settings(options.set, stage="supernet")},
            ),
            budget=budget,
            validate=partial(followed, evaluators),
            cadence=Cadence(log_every=50, validations=4, checkpoint_seconds=120),
            resume=resume,
        )
    if world.leads:
        (folder / "finished").write_text(f"{result.steps} steps, {result.seconds / 60:.1f} min\n")
    return folder / LAST


def followed(evaluators: dict[str, SubnetEvaluator], _step: int) -> dict[str, float]:
    """Return the AP of full and smallest width on each kind of scene, and the mean."""
    scores = {}
    for name, evaluate in evaluators.items():
        space = evaluate.supernet.space
        side = min(SMALL) if name == "single" else max(SMALL)
        for width, extreme in (("largest", space.largest), ("smallest", space.smallest)):
            arch = space.arch({**extreme, "resolution": side})
            scores[f"AP_{name}_{width}"] = evaluate(arch)["AP"]
    return {"AP": sum(scores.values()) / len(scores), **scores}


def training(painted: Path, data: Path | None, shares: Sequence[float]) -> SceneSource:
    """Return what is trained on: photographs alone and in mosaics, and painted scenes, or these."""
    scenes = CocoScenes(
        painted / "annotations" / "train.json", painted / "images" / "train", skeleton="crowdpose"
    )
    if data is None:
        return scenes
    single = train_pictures(data)
    sources = {
        "single": single,
        "mosaic": MosaicScenes(single, seed=1, count=60_000, size=CANVAS, people=PEOPLE),
        "painted": scenes,
    }
    return MixedScenes(
        [sources[name] for name in KINDS],
        [*shares],
        seed=1,
        count=5_000 * BATCH,
        together=BATCH,  # batch norm is measured anew on one kind of picture, so it is trained so
    )


def held_out(data: Path | None) -> dict[str, tuple[SceneSource, SceneSource]]:
    """Return by kind scenes to calibrate on and others to follow the training by."""
    kinds: dict[str, tuple[SceneSource, SceneSource]] = {
        "painted": (
            SyntheticScenes(CALIBRATE_SEED, 64, size=256, skeleton="crowdpose"),
            SyntheticScenes(SEARCH_SEED, 60, size=256, skeleton="crowdpose"),
        )
    }
    if data is not None:
        train = photographs(data, "train")
        mosaics = MosaicScenes(train_pictures(data), seed=2, count=64, size=CANVAS, people=PEOPLE)
        kinds["mosaic"] = mosaics, search_scenes(data, count=60)
        kinds["single"] = (
            SubsetScenes(train, range(64)),
            SubsetScenes(train, range(TRAIN, TRAIN + 100)),
        )
    return kinds


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the lspet set; none: painted alone")
    parser.add_argument("--init", type=Path, help="supernet to start from; none: random weights")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=float, nargs="+", help="of the stages, or the first few")
    length.add_argument("--steps", type=int, nargs="+", help="of the stages, or the first few")
    parser.add_argument(
        "--first",
        choices=[stage.name for stage in STAGES],
        default="wide",
        help="stage to start at",
    )
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE in every recipe")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    left = [stage.name for stage in STAGES]
    left = left[left.index(options.first) :]
    if len(options.steps or options.minutes) > len(left):
        parser.error(f"from {options.first} on there are {len(left)} stages: {', '.join(left)}")
    return options


if __name__ == "__main__":
    main()
