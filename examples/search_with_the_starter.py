"""Search with the supernet in the box, as a program does: evaluate, search, read tiers and front.

    python examples/search_with_the_starter.py 150M 300M --scenes 64 --evaluations 60

What `ofa-pose search` does with neither data nor weights given: subnets of the starter compete on
painted scenes, within every budget; here without a race, each on all scenes. Scores are of
inherited weights.
"""

import argparse
from pathlib import Path

import ofa_pose as op
from ofa_pose.catalog import catalog_folder
from ofa_pose.data import SyntheticScenes
from ofa_pose.evaluate import SubnetEvaluator
from ofa_pose.export import make_tier, save_tier
from ofa_pose.search import Progress
from ofa_pose.supernet import load_supernet

STARTER = catalog_folder("search_spaces") / "weights" / "litepose-lite0-starter.safetensors"


def tell(progress: Progress) -> None:
    """Print how far the search is."""
    best = ", ".join(f"{tier} {row.score('AP'):.3f}" for tier, row in progress.best.items())
    print(f"{progress.done} of {progress.total}: best AP {best or '-'}")


def main() -> None:
    """Load, search, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("budgets", nargs="*", default=["150M", "20ms@x86-onnxruntime"])
    parser.add_argument("--scenes", type=int, default=16)
    parser.add_argument("--evaluations", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("runs/starter"))
    given = parser.parse_args()

    supernet = load_supernet(STARTER)  # its file says of which space and skeleton it is
    space, skeleton = supernet.space, supernet.options["skeleton"]
    painted = [
        SyntheticScenes(seed, given.scenes, skeleton=skeleton) for seed in (101, 102, 103)
    ]  # no scene of one seed is another's, and the starter has seen none of them
    evaluate = SubnetEvaluator(supernet, calibration=painted[0], scenes=painted[1])
    result = op.search(
        space,
        evaluate,  # any function from an arch to scores will do
        budgets=given.budgets,
        evaluations=given.evaluations,
        seed=0,
        archive_path=given.out / "archive.csv",  # with resume=True it goes on from there
        progress=tell,
    )
    print(result.message)

    print("on the front:")
    for row in result.front:
        costs = ", ".join(f"{name} {row.costs[name]:,.6g}" for name in ("macs_exact", "params"))
        print(f"  AP {row.score('AP'):.3f}, {costs}: {row.arch.key}")

    report = SubnetEvaluator(supernet, calibration=painted[0], scenes=painted[2])
    for name, winner in result.tiers.items():
        scores = {"search": winner.scores, "report": report(winner.arch)}
        tier = make_tier(name, space, winner.arch, skeleton=skeleton, scores=scores)
        saved = save_tier(given.out, tier, evaluate.subnet(winner.arch))
        print(f"{name}: {winner.arch.resolution} px, {saved.path}")
        print(f"  AP {scores['search']['AP']:.3f} on the scenes that chose it,", end=" ")
        print(f"{scores['report']['AP']:.3f} on others", end="")
        if "AP_low" in scores["report"]:  # not of a few scenes
            ends = scores["report"]["AP_low"], scores["report"]["AP_high"]
            print(f" (95 %: {ends[0]:.3f} to {ends[1]:.3f})", end="")
        print()


if __name__ == "__main__":
    main()
