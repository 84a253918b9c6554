"""What channel ordering does to the subnets of a trained network, before any supernet training.

    python benchmarks/ordering.py --data lspet --minutes 20 --out runs/ordering
    python benchmarks/ordering.py --data lspet --shuffled search_spaces/weights/NAME.safetensors

The first trains full-width `litepose-lite0` at 128 px from ImageNet weights, never ordered, on
single photographs; the second takes a trained supernet and shuffles its channels, which leaves its
largest network as it was and undoes what ordering and training made of its subnets. Then the
subnets of uniform width are cut out with the channels as they are, ordered by L1 and by batch
norm's scales. AP after re-calibration of batch norm, on validation pictures; and the error of the
heatmaps there, which tells apart what an AP near 0 does not. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import torch
from lspet_single import OVERRIDES
from lspet_sources import photographs, train_pictures

import ofa_pose as op
from ofa_pose.data import Augmentation, SceneSource, TrainBatches, normalize
from ofa_pose.evaluate import SubnetEvaluator, SubsetScenes
from ofa_pose.memory import keep_freed_memory
from ofa_pose.models import Network
from ofa_pose.models.imported import load_efficientnet_lite0
from ofa_pose.pose import pose_loss
from ofa_pose.runs import RunFolder
from ofa_pose.space.choice import make_divisible
from ofa_pose.supernet import (
    load_state,
    load_supernet,
    load_weights,
    order_channels,
    permute_channels,
)
from ofa_pose.train import (
    LAST,
    Cadence,
    TrainBudget,
    finetune,
    make_recipe,
)

RESOLUTION, BATCH = 128, 16
STILL = Augmentation(rotation=0, scale=(1.0, 1.0), translation=0, flip=0)


def main() -> None:
    """Train, order, cut, score and print."""
    keep_freed_memory()
    options = parse()
    torch.set_num_threads(options.threads)
    space = op.load_space("litepose-lite0")
    largest = space.arch({**space.largest, "resolution": RESOLUTION})
    if options.shuffled is not None:
        subject = shuffled(load_supernet(options.shuffled))
    else:
        subject = op.Supernet(space, skeleton="crowdpose")
        network = trained(space, largest, options)
        load_state(subject.network, network.state_dict(), source=str(options.out))
    calibration = SubsetScenes(train_pictures(options.data), range(256))
    scenes = SubsetScenes(photographs(options.data, "val"), range(options.scenes))
    print("| width | channels | AP | AP50 | heatmap error |\n|---|---|---|---|---|", flush=True)
    for ratio in (1.0, 0.75, 0.5):
        arch = uniform_width(space, ratio)
        for order in (None, "l1", "bn") if ratio < 1 else (None, "l1"):
            supernet = copy.deepcopy(subject)
            if order is not None:
                order_channels(supernet, by=order)
            evaluate = SubnetEvaluator(supernet, calibration=calibration, scenes=scenes)
            scores = evaluate(arch)
            error = heatmap_error(evaluate.subnet(arch), scenes, space)
            print(
                f"| {ratio} | {order or 'as they are'} | {scores['AP']:.3f} | "
                f"{scores['AP50']:.3f} | {error:.5f} |",
                flush=True,
            )


def uniform_width(space: op.SearchSpace, ratio: float) -> op.Arch:
    """Return the arch of one ratio in every width."""
    chosen = {c.name: make_divisible(ratio * c.values[0]) for c in space.choices}
    return space.arch({**chosen, "resolution": RESOLUTION})


def trained(space: op.SearchSpace, arch: op.Arch, options: argparse.Namespace) -> Network:
    """Return the network after its training, now or before; tells how many images it took."""
    network = op.build(space, arch, seed=0, skeleton="crowdpose")
    weights = options.out / LAST
    if not weights.exists():
        load_efficientnet_lite0(network)
        config = {"verb": "bench", "arch": arch.key, "minutes": options.minutes}
        with RunFolder.open(options.out, config=config, resume=options.out.exists()) as run:
            finetune(
                network,
                train_pictures(options.data),
                space=space,
                arch=arch,
                run=run,
                recipe=make_recipe(space, "finetune", overrides=OVERRIDES),
                budget=TrainBudget(minutes=options.minutes),
                cadence=Cadence(log_every=50, checkpoint_seconds=60),
                resume=run.resumed,
            )
    state, metadata = load_weights(weights)
    load_state(network, state, source=str(weights))
    print(f"{BATCH * int(metadata['step']):,} images\n")
    return network


def shuffled(supernet: op.Supernet) -> op.Supernet:
    """Return the supernet with its channels in a random order."""
    generator = torch.Generator().manual_seed(0)
    permute_channels(supernet, lambda group: torch.randperm(group.channels, generator=generator))
    return supernet


@torch.no_grad()
def heatmap_error(network: Network, source: SceneSource, space: op.SearchSpace) -> float:
    """Return the heatmap loss on pictures without augmentation, in eval mode."""
    batches = TrainBatches(
        source, STILL, batch_size=BATCH, seed=0, resolution_of=lambda _: RESOLUTION
    )
    network.eval()
    total, count = 0.0, len(source) // BATCH
    for step in range(count):
        batch = batches[step]
        images = normalize(batch.images, space.pixel_mean, space.pixel_std)
        loss = pose_loss(network(images), batch.heatmaps, batch.masks, batch.tags, with_tags=False)
        total += float(loss.heatmap)
    return total / count


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the lspet set")
    parser.add_argument("--shuffled", type=Path, metavar="WEIGHTS", help="of a supernet")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--scenes", type=int, default=320, help="validation pictures, at most 989")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/ordering"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
