"""What a training reached: its weights chosen, saved as a tier and told of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_pose.cli import _console

if TYPE_CHECKING:
    from ofa_pose.export import Tier
    from ofa_pose.models import Network
    from ofa_pose.runs import RunFolder
    from ofa_pose.train import TrainResult

INHERITED = "inherited"
"""The occasion of the scores that a tier's weights had before they were trained on."""

_SAID = {INHERITED: "inherited (scored before, perhaps on other scenes)"}
_BEST_OF = "best_of_validations"


def save_trained(
    run: RunFolder, tier: Tier, network: Network, *, result: TrainResult, occasion: str
) -> Tier:
    """Save a tier with the weights that a training recommends, and the AP they were chosen by.

    That AP is the highest of several validations, so it says too much of the network; the score
    tells of how many.
    """
    from ofa_pose.export import save_tier
    from ofa_pose.supernet import load_state, load_weights

    path = finished_weights(result)
    state, _ = load_weights(path)
    load_state(network, state, source=str(path))
    if result.best is not None:
        best = {"AP": result.best, _BEST_OF: validations_in(run)}
        tier = tier.with_scores(occasion, best)
    return save_tier(run.path, tier, network)


def validations_in(run: RunFolder) -> int:
    """Return how many validations the run's metrics tell of."""
    from ofa_pose.train.loop import METRICS
    from ofa_pose.train.metrics import count_rows

    return count_rows(run.file(METRICS), "AP")


def finished_weights(result: TrainResult) -> Path:
    """Return the weights a training recommends: the best, else the last."""
    return result.best_weights or result.last_weights


def tell_outcome(
    run: RunFolder, result: TrainResult, *, tier: Tier | None, as_json: bool, hint: str
) -> None:
    """Print what a training reached, where it lies and what to do with it."""
    weights = finished_weights(result)
    validations = validations_in(run)
    if as_json:
        document: dict[str, Any] = {
            "steps": result.steps,
            "seconds": round(result.seconds, 1),
            "best_AP": result.best,
            "best_step": result.best_step,
            "validations": validations,
            "weights": weights,
        }
        if tier is not None:
            document["tier"] = tier.path
            document["scores"] = {name: dict(values) for name, values in tier.scores.items()}
        _console.emit_json(document)
        return
    _console.line(f"{result.steps} steps in {result.seconds / 60:.1f} minutes of training")
    if result.best is None and validations:
        _console.line("AP chose no weights, as tags are not learnt here: the last ones count")
    elif result.best is None:
        _console.line("not validated: there were no validation scenes (--val)")
    else:
        _console.line(
            f"AP {result.best:.3f}, {_of_validations(validations)}, after step {result.best_step}"
        )
    if tier is not None:
        figures = [
            f"{_SAID.get(name, name)} {_figure(scores)}"
            for name, scores in tier.scores.items()
            if "AP" in scores
        ]
        _console.line(f"tier: {tier.path}" + (f" (AP: {', '.join(figures)})" if figures else ""))
    _console.line(f"weights: {weights}")
    _console.line(f"next: {hint}")


def _figure(scores: Mapping[str, float]) -> str:
    """Return an occasion's AP, and of how many it is the best where that is known."""
    figure = f"{scores['AP']:.3f}"
    if _BEST_OF not in scores:
        return figure
    return f"{figure} ({_of_validations(int(scores[_BEST_OF]))})"


def _of_validations(count: int) -> str:
    return "of one validation" if count == 1 else f"best of {count} validations"
