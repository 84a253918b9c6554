"""Does the chain of targets, losses, tags and decoding close? Memorise 16 photographs.

    python benchmarks/overfit.py --annotations SET/annotations/train.json --images SET/images

Trains one network on the first 16 pictures with several people, scores it on those same 16 and
draws the curve. A broken link anywhere (tag indices off by one, a flipped axis, a wrong scale)
keeps the AP far below 0.9.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import ofa_pose as op
from ofa_pose.data import CocoScenes
from ofa_pose.evaluate import SubsetScenes, evaluate_network
from ofa_pose.memory import keep_freed_memory
from ofa_pose.models.imported import load_efficientnet_lite0
from ofa_pose.runs import RunFolder
from ofa_pose.train import Cadence, Recipe, finetune

PICTURES = 16


def main() -> None:
    """Train on the pictures and score on them."""
    keep_freed_memory()
    options = parse()
    space = op.load_space("litepose-lite0")
    arch = space.arch({**space.largest, "resolution": options.resolution})
    scenes = CocoScenes(options.annotations, options.images, skeleton="coco")
    several = [i for i in range(len(scenes)) if len(scenes[i].keypoints) > 1][:PICTURES]
    source = SubsetScenes(scenes, several)
    network = op.build(space, arch, seed=0, skeleton="coco")
    load_efficientnet_lite0(network)
    # The window is the short side and wanders over the whole picture; nothing else varies.
    recipe = Recipe(
        lr=options.lr,
        batch_size=PICTURES // 2,
        schedule="cosine",
        warmup_steps=20,
        minutes=options.minutes,
        reference_resolution=512,
        augmentation={"rotation": 0, "scale": (1.0, 1.0), "translation": 80, "flip": 0},  # pyright: ignore[reportArgumentType]
    )
    config = {"annotations": str(options.annotations), "resolution": options.resolution}

    def validate(step: int) -> dict[str, float]:
        scores = evaluate_network(network, source, resolution=options.resolution, space=space)
        print(f"step {step}: AP {scores['AP']:.3f}, AP50 {scores['AP50']:.3f}", flush=True)
        return scores

    with RunFolder.open(options.out, config=config, force=options.out.exists()) as run:
        result = finetune(
            network,
            source,
            space=space,
            arch=arch,
            run=run,
            recipe=recipe,
            validate=validate,
            cadence=Cadence(validations=16, log_every=10),
        )
        draw(pd.read_csv(run.file("metrics.csv")), options.out / "curve.png")
    print(f"best AP on the {len(source)} training pictures: {result.best:.3f}")
    print(f"{result.steps} steps, {result.seconds / 60:.1f} minutes, {options.out / 'curve.png'}")


def draw(metrics: pd.DataFrame, path: Path) -> None:
    """Draw losses and AP over the steps."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    losses, scores = figure.subplots(1, 2)
    losses.semilogy(metrics["step"], metrics["heatmap"], label="heatmap")
    losses.semilogy(metrics["step"], metrics["pull"] + metrics["push"], label="tags")
    losses.set(xlabel="step", ylabel="loss (as weighted)", title="Training losses")
    losses.legend()
    ap = metrics.dropna(subset=["AP"])
    scores.plot(ap["step"], ap["AP"], "o-", label="AP")
    scores.plot(ap["step"], ap["AP50"], "o-", label="AP50")
    scores.axhline(0.9, color="grey", linestyle=":")
    scores.set(xlabel="step", ylabel="on the same pictures", ylim=(0, 1), title="Training AP")
    scores.legend()
    figure.savefig(path, dpi=120)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--resolution", type=int, default=192)
    parser.add_argument("--minutes", type=float, default=18.0)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--out", type=Path, default=Path("runs/overfit"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
