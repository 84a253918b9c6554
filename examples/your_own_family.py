"""Your own family of networks in one file, no pose networks: it trains, searches and exports.

    python examples/your_own_family.py --out runs/digits

The networks tell handwritten digits apart (scikit-learn's, 8 x 8 pixels, in its package). What may
vary is declared in `SPACE`; `digits` lists the units of an arch, which are plain PyTorch modules;
slicing, channel ordering, counting, the search and the tier's files are the library's. Only what
knows of digits is written here: the pictures, the loss and the accuracy. A minute on one core.
A package of its own registers its family by an entry point of the group `ofa_pose.families`.
"""

import argparse
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

import ofa_pose as op
from ofa_pose.export import check_same_outputs, export_onnx, load_tier, make_tier, save_tier
from ofa_pose.models import NetworkPlan, Unit, UnitSpec, register_unit
from ofa_pose.supernet import order_channels
from ofa_pose.train import ArchSampler, FixedSampler, SandwichSampler

SPACE = op.SearchSpace(
    name="digits",
    family="digits",
    choices=(
        op.Choice("resolution", (16, 12, 8)),  # pixels; the digits are resized
        op.Choice("width1", (24, 16, 8)),
        op.Choice("width2", (48, 32, 16)),
        op.Choice("depth1", (2, 1)),  # convolutions at full size ...
        op.Choice("depth2", (3, 2, 1)),  # ... and at half of it
    ),
    pixel_mean=(78, 78, 78),  # of 0..255
    pixel_std=(96, 96, 96),
)


@register_unit("digits_conv")
class Conv(nn.Module):
    """3x3 convolution, batch norm, ReLU; added to its input where the spec says so."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.conv = nn.Conv2d(spec.in_channels[0], spec.out_channels, 3, spec.stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(spec.out_channels)
        self.activation = nn.ReLU()
        self.residual = spec.residual

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C, H, W)` to `(N, out_channels, H/stride, W/stride)`."""
        y = self.activation(self.norm(self.conv(x)))
        return x + y if self.residual else y


@register_unit("digits_head")
class Head(nn.Module):
    """The mean over the map, and a linear layer."""

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flat = nn.Flatten()
        self.linear = nn.Linear(spec.in_channels[0], spec.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C, H, W)` to logits `(N, out_channels)`."""
        return self.linear(self.flat(self.pool(x)))


@op.register_family("digits")
def digits(space: op.SearchSpace, arch: op.Arch, *, classes: int = 10) -> NetworkPlan:
    """List the units of one arch: what the supernet cuts, the counter counts and `build` builds."""
    units: list[Unit] = []
    channels, side = 3, arch.resolution
    for stage in (1, 2):
        width = arch[f"width{stage}"]
        for block in range(arch[f"depth{stage}"]):
            stride = 2 if stage == 2 and block == 0 else 1
            spec = UnitSpec(
                "digits_conv",
                ((channels, side, side),),
                width,
                kernel=3,
                stride=stride,
                residual=block > 0,
            )
            source = units[-1].name if units else "input"
            units.append(Unit(f"stage{stage}.{block}", spec, (source,)))
            channels, side = width, side // stride
    head = UnitSpec("digits_head", ((channels, side, side),), classes)
    units.append(Unit("head", head, (units[-1].name,)))
    return NetworkPlan(tuple(units), ("head",))


@dataclass(frozen=True)
class Pictures:
    """Normalised digits `(N, 3, 8, 8)` and their classes `(N,)`."""

    images: Tensor
    classes: Tensor

    def batches(self, resolution: int, order: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images `(size, 3, resolution, resolution)` and classes, in the given order."""
        for part in order.split(size):
            images = F.interpolate(self.images[part], size=resolution, mode="bilinear")
            yield images, self.classes[part]

    def all(self, resolution: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield everything, in order."""
        return self.batches(resolution, torch.arange(len(self.classes)), 256)


def read_digits() -> tuple[Pictures, Pictures, Pictures]:
    """Return pictures to train on, to choose by and to report on; no two share one."""
    pixels, classes = map(np.asarray, load_digits(return_X_y=True))
    pixels = pixels.reshape(-1, 1, 8, 8).repeat(3, axis=1) * (255 / 16)
    mean, std = (np.reshape(v, (3, 1, 1)) for v in (SPACE.pixel_mean, SPACE.pixel_std))
    everything = np.arange(len(classes))
    train, rest = train_test_split(everything, test_size=0.5, stratify=classes, random_state=0)
    choose, report = train_test_split(rest, test_size=0.5, stratify=classes[rest], random_state=0)
    images, labels = torch.tensor((pixels - mean) / std).float(), torch.tensor(classes)
    train, choose, report = (
        Pictures(images[part], labels[part]) for part in (train, choose, report)
    )
    return train, choose, report


def learn(
    supernet: op.Supernet, pictures: Pictures, sampler: ArchSampler, *, steps: int, lr: float
) -> None:
    """Take steps on the archs that the sampler names, their gradients added."""
    generator = torch.Generator().manual_seed(steps)
    optimizer = torch.optim.Adam(supernet.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    supernet.train()
    for step in range(steps):
        drawn = torch.randint(len(pictures.classes), (64,), generator=generator)
        ((images, classes),) = pictures.batches(sampler.resolution(step), drawn, 64)
        optimizer.zero_grad()
        for arch in sampler.archs(step):
            (logits,) = supernet(images, arch)
            F.cross_entropy(logits, classes).backward()
        optimizer.step()
        schedule.step()


def accuracy(network: nn.Module, pictures: Pictures, resolution: int) -> float:
    """Return the share of pictures that the network gets right."""
    with torch.inference_mode():
        right = [
            (network(images)[0].argmax(1) == classes).sum()
            for images, classes in pictures.all(resolution)
        ]
    return float(sum(right)) / len(pictures.classes)


@dataclass(frozen=True)
class Judge:
    """What the search asks: an arch's scores, of the weights it inherits."""

    supernet: op.Supernet
    train: Pictures
    choose: Pictures

    def subnet(self, arch: op.Arch) -> nn.Module:
        """Cut an arch out and measure its batch norms anew."""
        network = self.supernet.extract(arch)
        op.recalibrate(network, (images for images, _ in self.train.all(arch.resolution)))
        return network

    def __call__(self, arch: op.Arch) -> dict[str, float]:
        """Return the arch's accuracy on the pictures that choose."""
        return {"accuracy": accuracy(self.subnet(arch), self.choose, arch.resolution)}


def main() -> None:
    """Train the largest, order its channels, train the supernet, search, export."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--steps", type=int, default=600, help="of the supernet")
    parser.add_argument("--evaluations", type=int, default=40)
    parser.add_argument("--budgets", nargs="+", default=["70k", "200k", "1M"], help="exact MACs")
    parser.add_argument("--out", type=Path, default=Path("runs/digits"))
    given = parser.parse_args()

    train, choose, report = read_digits()
    supernet = op.Supernet(SPACE, seed=0)
    learn(supernet, train, FixedSampler(SPACE.largest), steps=given.steps // 3, lr=3e-3)
    order_channels(supernet)  # the important ones first, as narrow archs take the first ones
    learn(supernet, train, SandwichSampler(SPACE, seed=0), steps=given.steps, lr=3e-3)

    supernet.eval()
    judge = Judge(supernet, train, choose)
    result = op.search(
        SPACE, judge, budgets=given.budgets, objective="accuracy", evaluations=given.evaluations
    )
    print(f"{len(SPACE)} archs; {result.message}")
    for row in result.front:
        cost = row.costs["macs_exact"]
        print(f"front: {row.arch.key:>16} {cost:>9,.0f} MACs, {row.score('accuracy'):.3f}")
    for name, winner in result.tiers.items():
        arch, network = winner.arch, judge.subnet(winner.arch)
        scores = {
            "search": dict(winner.scores),
            "report": {"accuracy": accuracy(network, report, arch.resolution)},
        }
        saved = save_tier(given.out, make_tier(name, SPACE, arch, scores=scores), network)
        assert saved.path is not None
        loaded = load_tier(saved.path)
        check_same_outputs(loaded.build(), network, resolution=arch.resolution)
        print(
            f"{name}: {arch.key}, {loaded.costs.macs['exact']:,} MACs, accuracy "
            f"{scores['search']['accuracy']:.3f} where it was chosen, "
            f"{scores['report']['accuracy']:.3f} on other digits; {saved.path}"
        )
        if all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime")):
            file = export_onnx(loaded, saved.path.with_suffix(".onnx"), force=True)
            print(f"{file.path}: onnxruntime's outputs differ by {file.difference:.1e} at most")


if __name__ == "__main__":
    main()
