"""One candidate's evaluation against the published procedure, on the same pictures.

    python benchmarks/evaluation.py --data lspet --resolution 256 128
    python benchmarks/evaluation.py                     # synthetic scenes instead of photographs

The published procedure, as LitePose's search scores a candidate, is written out here: copy the
whole supernet, open both data sets and make their loaders anew, run the calibration pictures
through the network (in PyTorch's own memory format, gradients recorded), then one picture at a
time and its mirror image, resize the maps to the input's size and group with the published decoder
(`published_decoder.py`). Where it differs from the original it is faster: its loader makes no
targets for the calibration pictures, the assignment is SciPy's instead of one in plain Python, and
nothing goes through a folder of temporary files. Batch-norm statistics are reset and averaged as
here, else the two would score different networks.

Both use the starter's weights, the same pictures from the same files, one thread and pycocotools'
rules. Here people are found as a search finds them, by the fast decoder. Of pairings of equal cost
it takes that of high candidates with people of high joints; the published cost leaves it to the
solver, and with the starter, whose tags hardly differ between people, nearly every pairing is one
of equals. So the AP of the published steps is printed twice: as published, and with ties broken as
here. What is left of the difference is that a joint moves to the top of a parabola here.

What a search pays for a candidate is measured after another of its resolution has been scored, so
that pictures are in memory; what the first one cost is printed, too. A search makes no flip test
unless it is told to. Seconds are of the processor's time, which other programs disturb less.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import published_decoder
import torch
import torch.nn.functional as F
from lspet_sources import CANVAS, calibration_scenes, report_scenes
from torch.utils.data import DataLoader, Dataset

import ofa_pose as op
from ofa_pose.data import (
    CocoScenes,
    SceneSource,
    SyntheticScenes,
    normalize,
    resize_for_network,
    write_coco,
)
from ofa_pose.evaluate import SubnetEvaluator
from ofa_pose.memory import keep_freed_memory
from ofa_pose.pose import evaluate_predictions, person_to_result
from ofa_pose.supernet import Supernet, load_supernet

STARTER = Path(__file__).parents[1] / "search_spaces/weights/litepose-lite0-starter.safetensors"
BATCH = 8


def main() -> None:
    """Measure and print a Markdown table."""
    options = parse()
    torch.set_num_threads(1)
    keep_freed_memory()
    supernet = load_supernet(options.supernet)
    space = supernet.space
    print(f"{options.scenes} pictures scored, {options.calibration} to calibrate with, one thread")
    print(
        "| network | published | here, same flip test | ratio | AP published | same ties |", end=""
    )
    print(" AP here | difference | here, no flip test | ratio | first of its resolution |")
    print("|---" * 11 + "|")
    with tempfile.TemporaryDirectory() as folder:
        write_sets(Path(folder), options)
        for resolution in options.resolution:
            for name, widths in (("full", space.largest), ("smallest", space.smallest)):
                arch = space.arch({**widths, "resolution": resolution})
                row = compare(supernet, arch, Path(folder))
                print(f"| {name}, {resolution} px | {row}", flush=True)


def compare(supernet: Supernet, arch: op.Arch, folder: Path) -> str:
    """One line of the table."""
    kept = {
        flip: SubnetEvaluator(
            supernet,
            calibration=open_set(folder, "calibration"),
            scenes=open_set(folder, "scored"),
            calibration_images=10**6,
            batch_size=BATCH,
            flip=flip,
        )
        for flip in (True, False)
    }
    other = supernet.space.arch({**supernet.space.smallest, "resolution": arch.resolution})
    with timed() as first:
        kept[True](other)
    kept[False](other)
    with timed() as mirrored:
        here = kept[True](arch)["AP"]
    with timed() as plain:
        kept[False](arch)
    with timed() as published:
        there = published_score(supernet, arch, folder)
    decided = published_score(supernet, arch, folder, decided=True)
    return (
        f"{published[0]:.1f} s | {mirrored[0]:.2f} s | {published[0] / mirrored[0]:.1f} | "
        f"{there:.4f} | {decided:.4f} | {here:.4f} | {here - decided:+.4f} | {plain[0]:.2f} s | "
        f"{published[0] / plain[0]:.1f} | {first[0]:.2f} s |"
    )


def published_score(
    supernet: Supernet, arch: op.Arch, folder: Path, *, decided: bool = False
) -> float:
    """Score one candidate as the published search does."""
    space = supernet.space
    network = copy.deepcopy(supernet)
    skeleton = op.load_skeleton("crowdpose")
    calibration = loader(open_set(folder, "calibration"), arch, space, batch_size=BATCH)
    scored = open_set(folder, "scored")
    pictures = loader(scored, arch, space, batch_size=1)
    calibrate(network, arch, calibration)
    with torch.no_grad():
        results = detect(network, arch, pictures, skeleton, decided=decided)
    return evaluate_predictions(scored.ground_truth(), results, skeleton)["AP"]


def calibrate(network: Supernet, arch: op.Arch, batches: DataLoader) -> None:
    """Run the pictures through the copy in training mode, averaging the statistics."""
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
    network.train()
    seen = 0
    for images, _, _ in batches:
        seen += len(images)
        for norm in norms:
            norm.momentum = len(images) / seen
        network(images, arch)
    network.eval()


def detect(
    network: Supernet,
    arch: op.Arch,
    pictures: DataLoader,
    skeleton: op.Skeleton,
    *,
    decided: bool,
) -> list[dict[str, Any]]:
    """Find people picture by picture, with the flip test, on maps of the input's size."""
    results = []
    flip = list(skeleton.flip)
    for image, (image_id,), (matrix,) in pictures:
        size = (image.shape[2], image.shape[3])
        passes = []
        for mirrored in (False, True):
            low, high = network(image.flip(3) if mirrored else image, arch)
            joints = high.shape[1]
            grown = F.interpolate(low, size=high.shape[2:], mode="bilinear", align_corners=False)
            heatmaps, tags = (grown[:, :joints] + high) / 2, grown[:, joints:]
            if mirrored:
                heatmaps, tags = (maps.flip(3)[:, flip] for maps in (heatmaps, tags))
            passes.append((heatmaps, tags))
        heatmaps = (passes[0][0] + passes[1][0]) / 2
        heatmaps, *tags = (
            F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
            for maps in (heatmaps, passes[0][1], passes[1][1])
        )
        people = published_decoder.decode(
            heatmaps[0], torch.stack(tags, dim=4)[0], skeleton, decided=decided
        )
        for person in people:
            points = person.keypoints.copy()
            found = points[:, 2] > 0
            points[found, :2] = points[found, :2] @ matrix[:, :2].T + matrix[:, 2]
            results.append(person_to_result(replace(person, keypoints=points), image_id))
    return results


class Inputs(Dataset):
    """Pictures as the network wants them, read and resized whenever they are asked for."""

    def __init__(self, source: SceneSource, arch: op.Arch, space: op.SearchSpace) -> None:
        self.source, self.resolution, self.space = source, arch.resolution, space

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int, np.ndarray]:
        scene = self.source[index]
        canvas, matrix = resize_for_network(scene.image, self.resolution)
        image = torch.from_numpy(canvas.transpose(2, 0, 1).copy())[None]
        return normalize(image, self.space.pixel_mean, self.space.pixel_std), scene.image_id, matrix


def loader(
    source: SceneSource, arch: op.Arch, space: op.SearchSpace, *, batch_size: int
) -> DataLoader:
    """Batches in order."""

    def collate(rows: list[tuple[torch.Tensor, int, np.ndarray]]) -> tuple[object, ...]:
        images, ids, matrices = zip(*rows, strict=True)
        return torch.cat(images), ids, matrices

    return DataLoader(Inputs(source, arch, space), batch_size=batch_size, collate_fn=collate)


def write_sets(folder: Path, options: argparse.Namespace) -> None:
    """Write both sets as JPEGs with COCO annotations, as data sets come."""
    sets: dict[str, SceneSource]
    if options.data is None:
        sets = {
            name: SyntheticScenes(seed, count, size=CANVAS, skeleton="crowdpose")
            for name, seed, count in (
                ("calibration", 101, options.calibration),
                ("scored", 102, options.scenes),
            )
        }
    else:
        sets = {
            "calibration": calibration_scenes(options.data, options.calibration),
            "scored": report_scenes(options.data, options.scenes),
        }
    for name, source in sets.items():
        write_coco(source, folder, split=name)


def open_set(folder: Path, name: str) -> CocoScenes:
    """Open a set that `write_sets` wrote."""
    return CocoScenes(
        folder / "annotations" / f"{name}.json", folder / "images" / name, skeleton="crowdpose"
    )


@contextmanager
def timed() -> Iterator[list[float]]:
    """Seconds of the processor that the block took, in a list once it has ended."""
    taken: list[float] = []
    start = time.process_time()
    yield taken
    taken.append(time.process_time() - start)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the lspet set")
    parser.add_argument("--supernet", type=Path, default=STARTER)
    parser.add_argument("--resolution", type=int, nargs="+", default=[256, 128])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--calibration", type=int, default=64)
    return parser.parse_args()


if __name__ == "__main__":
    main()
