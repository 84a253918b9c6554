"""What racing saves, and whether it finds the winner that scoring everything finds.

    python benchmarks/racing_matches.py --data lspet --out runs/racing    # once
    python benchmarks/racing.py --matches runs/racing

Each run is a search over the archs whose matches were computed: a seed shuffles archs and images,
archs come in batches as a search proposes them, and race under three budgets. The result is held
against that of scoring every arch on every image. A winner is within the interval when its AP on
all images cannot be told from the true winner's by resampling the images (95 %).

    python benchmarks/racing.py --matches runs/racing --few 64 --many 160 --runs 200

holds a race over many images against scoring every arch on few of them: what the winners of both
reach on the images that neither has seen.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from racing_matches import load, part_of_space

import ofa_pose as op
from ofa_pose.evaluate import growing_parts
from ofa_pose.pose import Matches
from ofa_pose.search import InProcess, Race, RaceSettings

BATCHES = (16, 4)
"""Archs of the first batch and of each later one, as the search's generations."""
TIERS = (1 / 3, 2 / 3, 1.0)
"""Budgets, as the quantile of exact MACs that is within each."""


def main() -> None:
    """Simulate and print."""
    options = parse()
    space = part_of_space()
    found = load(options.matches, space)
    matches = list(found.values())
    macs = np.array([op.count(space, arch).macs["exact"] for arch in found])
    tiers = {f"{share:.0%} of the archs": macs <= np.quantile(macs, share) for share in TIERS}
    if options.few:
        few_or_many(matches, tiers, options)
        return
    aps = np.array([one.ap() for one in matches])
    print(
        f"{len(matches)} archs of {len(matches[0])} images, AP {aps.min():.3f} to {aps.max():.3f}; "
        f"confidence {options.confidence}"
    )
    print("| run | images scored | share | same winners | within the interval | largest regret |")
    print("|---|---|---|---|---|---|")
    shares, good = [], 0
    for seed in range(options.runs):
        rng = np.random.default_rng(seed)
        images = rng.permutation(len(matches[0]))
        race = race_through(
            [one.take(images) for one in matches],
            tiers,
            order=rng.permutation(len(matches)).tolist(),
            settings=(options.confidence, seed),
        )
        same, within, regret = 0, 0, 0.0
        for name, standing in race.standings().items():
            best = int(np.where(tiers[name], aps, -1).argmax())
            same += standing.winner == best
            within += inseparable(matches[best], matches[standing.winner], seed)
            regret = max(regret, aps[best] - aps[standing.winner])
        share = race.images / (len(matches) * len(matches[0]))
        shares.append(share)
        good += within == len(tiers)
        print(
            f"| {seed} | {race.images:,} | {share:.0%} | {same} of {len(tiers)} "
            f"| {within} of {len(tiers)} | {regret:.4f} |"
        )
    print(
        f"\nOn average {np.mean(shares):.0%} of the images were scored, at most "
        f"{max(shares):.0%}; in {good} of {options.runs} runs every tier's winner was the one of "
        "scoring everything or within its interval."
    )


def few_or_many(
    matches: Sequence[Matches], tiers: dict[str, np.ndarray], options: argparse.Namespace
) -> None:
    """Print what the winners of few images and those of a race over many reach on the others."""
    gains: dict[str, list[float]] = {name: [] for name in tiers}
    images = []
    for seed in range(options.runs):
        rng = np.random.default_rng(seed)
        shuffled = rng.permutation(len(matches[0]))
        seen, unseen = shuffled[: options.many], shuffled[options.many :]
        race = race_through(
            [one.take(seen) for one in matches],
            tiers,
            order=rng.permutation(len(matches)).tolist(),
            settings=(options.confidence, seed),
        )
        images.append(race.images / len(matches))
        few = np.array([one.take(seen[: options.few]).ap() for one in matches])
        standings = race.standings()
        for name, members in tiers.items():
            rivals = standings[name].winner, int(np.where(members, few, -1).argmax())
            raced, scored = (matches[index].take(unseen).ap() for index in rivals)
            gains[name].append(raced - scored)
    print(
        f"{len(matches)} archs, {options.runs} shuffles; all scored on {options.few} images, or "
        f"raced over {options.many} ({np.mean(images):.0f} an arch on average)"
    )
    print("| tier | AP of the race's winner minus that of the few images', on unseen ones | ± |")
    print("|---|---|---|")
    for name, found in gains.items():
        error = np.std(found, ddof=1) / np.sqrt(len(found))
        print(f"| {name} | {np.mean(found):+.4f} | {error:.4f} |")


def race_through(
    matches: Sequence[Matches],
    tiers: dict[str, np.ndarray],
    *,
    order: Sequence[int],
    settings: tuple[float, int],
) -> Race:
    """Let all archs race, batch by batch."""
    ends = growing_parts(len(matches[0]))
    starts = (0, *ends)

    def measure(task: tuple[int, int]) -> Matches:
        index, part = task
        return matches[index].take(range(starts[part], ends[part]))

    confidence, seed = settings
    chosen = RaceSettings(parts=len(ends), confidence=confidence, seed=seed)
    race = Race(InProcess(measure), tiers, chosen)
    first, later = BATCHES
    cuts = [0, *range(first, len(order), later), len(order)]
    for low, high in zip(cuts, cuts[1:], strict=False):
        for _, outcome in race.evaluate(order[low:high]):
            if isinstance(outcome, Exception):
                raise outcome
    return race


def inseparable(best: Matches, other: Matches, seed: int) -> bool:
    """Whether the 95 % interval of the difference on all images holds 0."""
    count = len(best)
    drawn = np.random.default_rng((1, seed)).multinomial(
        count, np.full(count, 1 / count), size=1000
    )
    return bool(np.quantile(best.scores_of(drawn) - other.scores_of(drawn), 0.025) <= 0)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--matches", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--few", type=int, help="images that every arch is scored on")
    parser.add_argument("--many", type=int, default=160, help="images of the race")
    return parser.parse_args()


if __name__ == "__main__":
    main()
