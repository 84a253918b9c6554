"""Search the trained supernet at three budgets, fine-tune, and compare with uniform scaling.

    python benchmarks/lspet_report.py --data lspet --supernet runs/lspet-supernet/last.safetensors

For each budget: the searched winner, and the best uniformly scaled network (one ratio for every
width, any resolution) within the same budget. The same scenes pick both, both inherit the
supernet's weights and are fine-tuned alike; the scenes that the table is made of share no picture
with those. Finished parts are kept; running it again goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from lspet_sources import calibration_scenes, report_scenes, search_scenes, train_scenes

import ofa_pose as op
from ofa_pose.evaluate import SubnetEvaluator, evaluate_network
from ofa_pose.files import atomic_write, sha256_file
from ofa_pose.memory import keep_freed_memory
from ofa_pose.runs import RunFolder
from ofa_pose.space import make_divisible
from ofa_pose.supernet import load_state, load_supernet, load_weights
from ofa_pose.train import LAST, Cadence, TrainBudget, finetune, make_recipe

BUDGETS = {"XS": "150M", "S": "300M", "M": "600M"}
OVERRIDES = {"augmentation": {"scale": [0.6, 1.2]}}


def main() -> None:
    """Search, fine-tune, compare, print the table."""
    keep_freed_memory()
    options = parse()
    supernet = load_supernet(options.supernet)
    evaluators = {
        name: SubnetEvaluator(supernet, calibration=calibration_scenes(options.data), scenes=scenes)
        for name, scenes in (
            ("search", search_scenes(options.data)),
            ("report", report_scenes(options.data)),
        )
    }
    space = supernet.space
    winners = search(space, evaluators["search"], options)
    rows = []
    for tier, arch in winners.items():
        for kind, candidate in (
            ("searched", arch),
            ("uniform", best_uniform(space, evaluators["search"], BUDGETS[tier], options.out)),
        ):
            name = f"{tier}-{kind}"
            before = kept(options.out / f"{name}-before.json", evaluators["report"], candidate)
            after = tuned(supernet, evaluators["report"], candidate, name, options)
            macs = op.count(space, candidate).macs["exact"]
            rows.append((tier, kind, candidate.key, macs, before, after))
    print("| tier | network | arch | MACs (exact) | AP inherited | AP fine-tuned | AP50 |")
    print("|---|---|---|---|---|---|---|")
    for tier, kind, key, macs, before, after in rows:
        print(
            f"| {tier} | {kind} | `{key}` | {macs / 1e6:.0f} M | {before['AP']:.3f} | "
            f"{after['AP']:.3f} | {after['AP50']:.3f} |"
        )


def search(
    space: op.SearchSpace, evaluate: SubnetEvaluator, options: argparse.Namespace
) -> dict[str, op.Arch]:
    """One search that serves all budgets."""
    result = op.search(
        space,
        evaluate,
        budgets=BUDGETS,
        evaluations=options.evaluations,
        archive_path=options.out / "archive.csv",
        resume=(options.out / "archive.csv").exists(),
        progress=lambda p: print(f"search {p.done}/{p.total}", flush=True),
    )
    print(result.message)
    return {tier: winner.arch for tier, winner in result.tiers.items()}


def best_uniform(
    space: op.SearchSpace, evaluate: SubnetEvaluator, budget: str, folder: Path
) -> op.Arch:
    """The network of one ratio for every width that scores best within a budget."""
    widest, limit = space.largest, op.Budget.parse(budget)
    scores = {}
    for resolution in space.choices[0].values:
        for ratio in (1.0, 0.75, 0.5):
            widths = {
                choice.name: make_divisible(widest[choice.name] * ratio, 8)
                for choice in space.choices
                if choice.name != "resolution"
            }
            arch = space.arch({"resolution": resolution, **widths})
            if limit.value(op.count(space, arch)) <= limit.limit:
                scores[arch] = kept(folder / f"uniform-{arch.key}.json", evaluate, arch)["AP"]
    return max(scores, key=lambda arch: scores[arch])


def tuned(
    supernet: op.Supernet,
    evaluate: SubnetEvaluator,
    arch: op.Arch,
    name: str,
    options: argparse.Namespace,
) -> dict[str, float]:
    """Fine-tune one subnet from its inherited weights and score it on the report scenes."""
    space, folder = supernet.space, options.out / name
    network = evaluate.subnet(arch)

    def run(arch: op.Arch) -> dict[str, float]:
        with RunFolder.open(
            folder,
            config={"verb": "finetune", "arch": arch.key, "minutes": options.minutes},
            resume=folder.exists(),
        ) as run:
            finetune(
                network,
                train_scenes(options.data),
                space=space,
                arch=arch,
                run=run,
                recipe=make_recipe(space, "finetune", overrides=OVERRIDES),
                budget=TrainBudget(minutes=options.minutes),
                cadence=Cadence(log_every=50, checkpoint_seconds=60),
                resume=folder.exists(),
            )
        state, _ = load_weights(folder / LAST)
        load_state(network, state, source=str(folder / LAST))
        scenes = report_scenes(options.data)
        return evaluate_network(network, scenes, resolution=arch.resolution, space=space)

    return kept(options.out / f"{name}-after.json", run, arch)


def kept(
    path: Path, compute: Callable[[op.Arch], dict[str, float]], arch: op.Arch
) -> dict[str, float]:
    """The scores in `path`, or those computed now and kept there."""
    if not path.exists():
        atomic_write(path, json.dumps(compute(arch), indent=1))
    scores = json.loads(path.read_text())
    print(f"{path.stem}: AP {scores['AP']:.3f}", flush=True)
    return scores


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the lspet set")
    parser.add_argument("--supernet", type=Path, required=True)
    parser.add_argument("--evaluations", type=int, default=120)
    parser.add_argument("--minutes", type=float, default=10.0, help="of fine-tuning, each")
    parser.add_argument("--out", type=Path, default=Path("runs/lspet-report"))
    options = parser.parse_args()
    # Results belong to one supernet: another one's go to a folder of their own.
    options.out = options.out / sha256_file(options.supernet)[:8]
    options.out.mkdir(parents=True, exist_ok=True)
    return options


if __name__ == "__main__":
    main()
