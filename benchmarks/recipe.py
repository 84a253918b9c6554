r"""Which training recipe? Samplers, channel ordering, distillation, and where to start from.

    python benchmarks/recipe.py --data lspet --out runs/recipe

`litepose-lite0` at 128 px on single photographs of `lspet`, from ImageNet weights. Every run gets
the same number of passes (a picture through a network and back), which is equal computing: a
sandwich step of four archs spends four of them on each picture, so it sees a quarter of the
pictures. `sandwich` and `fair` are also run with as many pictures as `uniform`, and so with several
times its computing. Finished runs are kept; running it again goes on where it stopped. AP is that
of the validation pictures, which no choice here is made on but the recipe's defaults.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from lspet_sources import photographs, train_pictures

import ofa_pose as op
from ofa_pose.catalog import space_names
from ofa_pose.evaluate import SubnetEvaluator, SubsetScenes, evaluate_network
from ofa_pose.files import atomic_write
from ofa_pose.memory import keep_freed_memory
from ofa_pose.models import Network
from ofa_pose.models.imported import load_efficientnet_lite0
from ofa_pose.runs import RunFolder
from ofa_pose.supernet import load_state, load_weights, order_channels
from ofa_pose.train import (
    LAST,
    Cadence,
    Teach,
    TrainBudget,
    finetune,
    make_recipe,
    make_sampler,
    train_supernet,
)
from ofa_pose.train.sampler import SamplerName
from ofa_pose.train.teacher import Teacher

RESOLUTION = 128
BATCH = 16
AUGMENTATION = {"rotation": 25, "scale": [0.75, 1.1]}


@dataclass(frozen=True)
class Training:
    """How one supernet is trained."""

    sampler: SamplerName = "uniform"
    ordered: bool = True
    equal_pictures: bool = False


SUPERNETS = {
    "uniform": Training(),
    "uniform, unordered": Training(ordered=False),
    "fair": Training("fair"),
    "sandwich": Training("sandwich"),
    "fair, equal pictures": Training("fair", equal_pictures=True),
    "sandwich, equal pictures": Training("sandwich", equal_pictures=True),
}
TIER = "tier"


@dataclass(frozen=True)
class Bench:
    """What all runs share."""

    space: op.SearchSpace
    data: Path
    out: Path
    passes: int
    tuning: int

    def run(self, name: str, compute: Callable[[RunFolder], dict[str, Any]]) -> dict[str, Any]:
        """Return the result of a run, now or as it was kept."""
        label = name.replace(", ", "-").replace(" ", "-")
        path = self.out / f"{label}-{self.passes}-{self.tuning}.json"
        if not path.exists():
            folder = path.with_suffix("")
            config = {"verb": "bench", "run": name, "passes": self.passes, "tuning": self.tuning}
            with RunFolder.open(folder, config=config, resume=folder.exists()) as run:
                atomic_write(path, json.dumps(compute(run), indent=1))
        result = json.loads(path.read_text())
        print(name, result, flush=True)
        return result

    def recipe(self, stage: str, **overrides: Any) -> Any:
        """Return the space's recipe with the settings of this benchmark."""
        settings = {"batch_size": BATCH, "lr": 2e-3, "augmentation": AUGMENTATION, **overrides}
        return make_recipe(self.space, stage, overrides=settings)

    def subnets(self) -> dict[str, op.Arch]:
        """Return the eight networks that every supernet is judged by."""
        rng = np.random.default_rng(8)
        drawn = [self.space.sample(rng) for _ in range(6)]
        return {a.key: a for a in (self.space.largest, *drawn, self.space.smallest)}


def main() -> None:
    """Run what has not been run and print the tables."""
    keep_freed_memory()
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    space = small_space(options.out)
    bench = Bench(space, options.data, options.out, options.passes, options.tuning)
    table: dict[str, dict[str, Any]] = {}
    starts: dict[str, dict[str, Any]] = {}
    for name in options.only or [*SUPERNETS, TIER]:
        if name == TIER:
            starts = tier_scores(bench)
        else:
            table[name] = supernet_scores(bench, name, SUPERNETS[name])
    print("| network | " + " | ".join(table) + " |")
    print("|---" * (len(table) + 1) + "|")
    for key in bench.subnets():
        print(f"| `{key}` | " + " | ".join(f"{row[key]:.3f}" for row in table.values()) + " |")
    means = [sum(row.values()) / len(row) for row in table.values()]
    print("| mean | " + " | ".join(f"{mean:.3f}" for mean in means) + " |\n")
    if starts:
        print("| start of one small network | AP | AP50 |\n|---|---|---|")
    for name, scores in starts.items():
        print(f"| {name} | {scores['AP']:.3f} | {scores['AP50']:.3f} |")


def small_space(folder: Path) -> op.SearchSpace:
    """Return `litepose-lite0` at one resolution."""
    declared = yaml.safe_load(space_names()["litepose-lite0"].read_text())
    declared["name"] = f"lite0-{RESOLUTION}"
    declared["choices"]["resolution"] = {"values": [RESOLUTION]}
    declared["archs"], declared["tiers"] = {}, {}
    path = folder / f"lite0-{RESOLUTION}.yaml"
    atomic_write(path, yaml.safe_dump(declared, sort_keys=False))
    return op.load_space(path)


def start(bench: Bench, *, ordered: bool = True, imagenet: bool = True) -> op.Supernet:
    """Return a supernet to train."""
    supernet = op.Supernet(bench.space, seed=0, skeleton="crowdpose")
    if imagenet:
        load_efficientnet_lite0(supernet.network)
    if ordered:
        order_channels(supernet)
    return supernet


def supernet_scores(bench: Bench, name: str, how: Training) -> dict[str, Any]:
    """Train a supernet and score the eight subnets."""
    archs = len(make_sampler(how.sampler, bench.space, seed=0).archs(0))
    steps = bench.passes // (BATCH * (1 if how.equal_pictures else archs))

    def compute(run: RunFolder) -> dict[str, Any]:
        supernet = start(bench, ordered=how.ordered)
        train_supernet(
            supernet,
            train_pictures(bench.data),
            run=run,
            recipe=bench.recipe("supernet", sampler=how.sampler),
            budget=TrainBudget(steps=steps),
            cadence=Cadence(log_every=100, checkpoint_seconds=60),
            resume=run.resumed,
        )
        evaluate = SubnetEvaluator(
            supernet,
            calibration=SubsetScenes(train_pictures(bench.data), range(256)),
            scenes=photographs(bench.data, "val"),
        )
        return {key: evaluate(arch)["AP"] for key, arch in bench.subnets().items()}

    return bench.run(name, compute)


def tier_scores(bench: Bench) -> dict[str, dict[str, Any]]:
    """Train the smallest network from different starts, with as many passes in all.

    The supernet is that of the run `uniform`, which must have ended.
    """
    arch = bench.space.smallest
    inherited = start(bench)
    trained = bench.out / f"uniform-{bench.passes}-{bench.tuning}" / LAST
    state, _ = load_weights(trained)
    load_state(inherited, state, source=str(trained))
    measured = SubsetScenes(train_pictures(bench.data), range(256))
    evaluate = SubnetEvaluator(inherited, calibration=measured, scenes=measured)
    teacher = Teacher(
        evaluate.subnet(bench.space.largest),
        resolution=RESOLUTION,
        space=bench.space,
        skeleton=op.load_skeleton("crowdpose"),
        student_space=bench.space,
        student_skeleton=op.load_skeleton("crowdpose"),
    )
    both = bench.passes + bench.tuning
    return {
        "inherited, fine-tuned": tuned(bench, inherited.extract(arch), arch, "inherited"),
        "inherited, fine-tuned with the largest as teacher": tuned(
            bench, inherited.extract(arch), arch, "distilled", teacher=teacher
        ),
        "ImageNet": tuned(bench, start(bench).extract(arch), arch, "imagenet", passes=both),
        "random": tuned(
            bench, start(bench, imagenet=False).extract(arch), arch, "scratch", passes=both
        ),
    }


def tuned(
    bench: Bench,
    network: Network,
    arch: op.Arch,
    name: str,
    *,
    passes: int | None = None,
    teacher: Teach | None = None,
) -> dict[str, Any]:
    """Train one network and score it; as long as a fine-tuning unless `passes` is given."""
    steps = (passes or bench.tuning) // BATCH

    def compute(run: RunFolder) -> dict[str, Any]:
        finetune(
            network,
            train_pictures(bench.data),
            space=bench.space,
            arch=arch,
            run=run,
            recipe=bench.recipe("finetune", lr=2e-3 if passes else 1e-3),
            budget=TrainBudget(steps=steps),
            cadence=Cadence(log_every=100, checkpoint_seconds=60),
            resume=run.resumed,
            teacher=teacher,
        )
        scenes = photographs(bench.data, "val")
        return evaluate_network(network, scenes, resolution=RESOLUTION, space=bench.space)

    return bench.run(f"tier {name}", compute)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the lspet set")
    parser.add_argument("--passes", type=int, default=40_000, help="of each supernet")
    parser.add_argument("--tuning", type=int, default=10_000, help="passes of a fine-tuning")
    parser.add_argument(
        "--only", nargs="+", choices=[*SUPERNETS, TIER], metavar="RUN", help="some of the runs"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/recipe"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
