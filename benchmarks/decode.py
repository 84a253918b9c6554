"""What decoding costs beside its reference mode and beside a network, and what its steps give.

    python benchmarks/decode.py --data DATA --out benchmarks/decode.md

First the speeds: the fast mode, compiled and not, and the reference mode take turns on the same
random scenes, and so do the fast mode and the XS network's forward pass, all on one thread. Then,
with `--data` (a folder of the annotations of `FILES`), the oracle: heatmaps and tags made from
the labels are decoded and scored, whole and with one step left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

import ofa_pose as op
from ofa_pose.evaluate import Truth, people_by_truth
from ofa_pose.pose import (
    BOX_AREA_FACTOR,
    DecodeSettings,
    Person,
    decode_outputs,
    evaluate_predictions,
    make_targets,
    person_to_result,
)
from ofa_pose.pose.fuse import zoomed_maps
from ofa_pose.pose.simulate import RandomScene, oracle_outputs, oracle_tags, random_scene
from ofa_pose.skeleton import Skeleton, load_skeleton

FILES = {
    "crowdpose": "crowdpose_val.json",
    "coco": "coco_val2017_first538_person_keypoints.json",
}
CASES = [(128, 5, False), (128, 5, True), (256, 15, False), (512, 5, True), (512, 15, True)]
XS = {
    **{"resolution": 256, "stem": 16, "stage1": 16, "stage2": 32, "stage3": 48, "stage4": 80},
    **{"deconv1": 16, "deconv2": 24, "deconv3": 24},
}
REFERENCE = DecodeSettings(mode="reference")


def main() -> None:
    """Measure, and write the page."""
    options = parse()
    torch.set_num_threads(1)
    page = [PAGE_HEAD, *speeds(options.rounds), "", *beside_network(options.rounds)]
    if options.data is not None:
        page += ["", *oracle(options.data, options.short, options.images, options.compared)]
    text = "\n".join(page) + "\n"
    print(text)
    if options.out is not None:
        options.out.write_text(text, encoding="utf-8")


PAGE_HEAD = """# Decoding: speed, and what its steps give

Made by `python benchmarks/decode.py --data DATA --out benchmarks/decode.md`; one thread. Scenes
are random, 17 joints, a fifth of them missing, noise in heatmaps and tags. A decoding goes from
a network's outputs to people. What stands in one row took turns in one run; a ratio is the
median over the rounds."""


def speeds(rounds: int) -> list[str]:
    """The fast mode against the reference mode."""
    lines = [
        "",
        "## Against the reference mode",
        "",
        "| input | people | flip test | fast, ms | fast without numba, ms | reference, ms | "
        "ratio | ratio without numba |",
        "|---|---|---|---|---|---|---|---|",
    ]
    coco = load_skeleton("coco")
    for side, people, flip in CASES:
        scene = random_scene(people, coco, people=people, size=(side, side), flip=flip)

        def fast(scene: RandomScene = scene) -> None:
            decode(scene, coco)

        def plain(scene: RandomScene = scene) -> None:
            with uncompiled():
                decode(scene, coco)

        def reference(scene: RandomScene = scene) -> None:
            decode(scene, coco, REFERENCE)

        times = in_turns([fast, plain, reference], rounds)
        medians = [f"{statistics.median(column):.1f}" for column in zip(*times, strict=True)]
        ratios = [
            f"{statistics.median(row[2] / row[column] for row in times):.1f}" for column in (0, 1)
        ]
        cells = [f"{side}×{side}", str(people), "yes" if flip else "no", *medians, *ratios]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def beside_network(rounds: int) -> list[str]:
    """The fast mode against the XS network in eager PyTorch, at its 256 px."""
    space = op.load_space("litepose-xs")
    network = op.build(space, space.arch(XS), skeleton="coco").eval()
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    image = torch.rand(1, 3, 256, 256).contiguous(memory_format=torch.channels_last)
    coco = load_skeleton("coco")
    lines = [
        "## Beside the XS network at 256×256",
        "",
        "| people | decoding, ms | XS forward, ms | forwards |",
        "|---|---|---|---|",
    ]
    for people in (1, 5, 10, 15):
        scene = random_scene(people, coco, people=people, size=(256, 256), flip=False)

        def forward() -> None:
            with torch.inference_mode():
                network(image)

        def fast(scene: RandomScene = scene) -> None:
            decode(scene, coco)

        times = in_turns([fast, forward], rounds)
        ours, theirs = (statistics.median(column) for column in zip(*times, strict=True))
        ratio = statistics.median(row[0] / row[1] for row in times)
        lines.append(f"| {people} | {ours:.1f} | {theirs:.1f} | {ratio:.2f} |")
    return lines


def decode(
    scene: RandomScene, skeleton: Skeleton, settings: DecodeSettings | None = None
) -> list[list[Person]]:
    """Decode one scene."""
    return decode_outputs(
        scene.outputs,
        skeleton,
        size=scene.size,
        flipped_outputs=scene.flipped,
        settings=settings or DecodeSettings(),
    )


def uncompiled() -> Any:
    """A context in which decoding does without its compiled loops."""
    from ofa_pose.pose import compiled

    return mock.patch.object(compiled, "enabled", False)


def in_turns(works: Sequence[Callable[[], None]], rounds: int) -> list[list[float]]:
    """Milliseconds of each work in each round; a first round, which compiles, does not count."""
    times = []
    for _ in range(rounds + 1):
        row = []
        for work in works:
            start = time.perf_counter()
            work()
            row.append(1e3 * (time.perf_counter() - start))
        times.append(row)
    return times[1:]


@dataclass(frozen=True)
class Labelled:
    """A picture's labels at the network's input; `scale` pixels there are one of the picture."""

    image_id: int
    keypoints: np.ndarray
    areas: np.ndarray
    size: tuple[int, int]
    scale: float

    def truth(self, skeleton: Skeleton) -> Truth:
        """Who the candidates belong to."""
        return Truth(self.keypoints, 2 * np.sqrt(self.areas)[:, None] * np.array(skeleton.sigmas))


def oracle(folder: Path, short: int, images: int | None, compared: int) -> list[str]:
    """The AP of decoding what labels make, with and without its steps."""
    lines = [
        "## What the steps give: heatmaps and tags made from labels",
        "",
        f"OKS-AP at {short} px (short side). Each joint's heatmaps are the targets of both outputs "
        "and the tags tell everybody apart; so what is lost is lost by decoding. `labels` are the "
        "labels themselves as predictions.",
        "",
    ]
    names = list(FILES)
    with ProcessPoolExecutor(len(names)) as pool:
        works = [pool.submit(steps, folder, name, short, images, compared) for name in names]
        tables = [work.result() for work in works]
    counts = [f"{name}: {table[0]}" for name, table in zip(names, tables, strict=True)]
    lines += [f"Pictures: {', '.join(counts)}.", ""]
    lines += [f"| | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for row in tables[0][1]:
        scores = " | ".join(f"{scores[row]:.4f}" for _, scores in tables)
        lines.append(f"| {row} | {scores} |")
    return lines


def steps(
    folder: Path, name: str, short: int, images: int | None, compared: int
) -> tuple[int, dict[str, float]]:
    """How many pictures, and the AP of each variant; the reference on the first `compared`."""
    torch.set_num_threads(1)
    skeleton = load_skeleton(name)
    truth = json.loads((folder / FILES[name]).read_text(encoding="utf-8"))
    if images is not None:
        truth["images"] = truth["images"][:: max(1, len(truth["images"]) // images)][:images]
    first = {image["id"] for image in truth["images"][:compared]}
    found: dict[str, list[dict[str, Any]]] = {}
    for picture in pictures(truth, skeleton, short):
        for variant, people in variants(
            picture, skeleton, with_reference=picture.image_id in first
        ):
            shrunk = [
                Person(person.keypoints / [picture.scale, picture.scale, 1], person.score)
                for person in people
            ]
            results = [person_to_result(person, picture.image_id) for person in shrunk]
            found.setdefault(variant, []).extend(results)
    scores = {}
    for variant, results in found.items():
        kept = first if "first" in variant else {image["id"] for image in truth["images"]}
        part = {
            "images": [image for image in truth["images"] if image["id"] in kept],
            "annotations": [a for a in truth["annotations"] if a["image_id"] in kept],
        }
        scores[variant] = evaluate_predictions(part, results, skeleton)["AP"]
    return len(truth["images"]), scores


def variants(
    picture: Labelled, skeleton: Skeleton, *, with_reference: bool
) -> Iterator[tuple[str, list[Person]]]:
    """The people that each way of decoding finds."""
    keypoints, size = picture.keypoints, picture.size
    labels = np.where(keypoints[..., 2:] > 0, keypoints, 0.0)
    yield "labels", [Person(person, 1.0) for person in labels]
    both = oracle_outputs(keypoints, size=size)
    (found,) = decode_outputs(both, skeleton, size=size)
    yield "fast: both outputs, parabola, refine", found
    ((heatmaps, maps),) = zoomed_maps([(both, None)], skeleton, size=size)
    by_labels = people_by_truth(heatmaps, maps, picture.truth(skeleton), DecodeSettings())
    yield "… grouped by the labels, not by tags", by_labels
    yield "… joints at the centre of their pixel", at_centres(found, 1)
    yield "… joints at the centre of their cell of 2 pixels", at_centres(found, 2)
    (plain,) = decode_outputs(both, skeleton, size=size, settings=DecodeSettings(refine=False))
    yield "… without refine", plain
    (high,) = make_targets(keypoints, None, size=size, strides=(2,)).heatmaps
    tags = oracle_tags(keypoints, (high.shape[1], high.shape[2]), 2)
    single = [torch.from_numpy(np.concatenate([high, tags]))[None]]
    (sharp,) = decode_outputs(single, skeleton, size=size)
    yield "… the half-size output alone", sharp
    if with_reference:
        yield "fast, on the first pictures", found
        (published,) = decode_outputs(both, skeleton, size=size, settings=REFERENCE)
        yield "reference (quarter shift, refine), on the first pictures", published
        yield "… without quarter shift, on the first pictures", at_centres(published, 1)


def at_centres(people: Sequence[Person], pixels: int) -> list[Person]:
    """The people with their joints at the centres of squares of so many pixels."""
    moved = []
    for person in people:
        keypoints = person.keypoints.copy()
        found = keypoints[:, 2] > 0
        # A parabola's top may lie on the far edge of the pixel.
        cells = np.floor((keypoints[found, :2] - 1e-9) / pixels)
        keypoints[found, :2] = (cells + 0.5) * pixels
        moved.append(Person(keypoints, person.score))
    return moved


def pictures(truth: dict[str, Any], skeleton: Skeleton, short: int) -> Iterator[Labelled]:
    """The labels as they come to the network: short side `short`, long side a multiple of 64."""
    people: dict[int, list[list[float]]] = {}
    areas: dict[int, list[float]] = {}
    for entry in truth["annotations"]:
        if not entry["iscrowd"] and entry["num_keypoints"]:
            people.setdefault(entry["image_id"], []).append(entry["keypoints"])
            box = entry["bbox"]
            area = entry.get("area", BOX_AREA_FACTOR * box[2] * box[3])
            areas.setdefault(entry["image_id"], []).append(area)
    for image in truth["images"]:
        scale = short / min(image["height"], image["width"])
        keypoints = np.array(people.get(image["id"], []), dtype=float)
        keypoints = keypoints.reshape(-1, skeleton.num_joints, 3)
        keypoints[..., :2] *= scale
        scaled = np.array(areas.get(image["id"], []), dtype=float) * scale**2
        height, width = (
            int(np.ceil(round(image[side] * scale) / 64)) * 64 for side in ("height", "width")
        )
        yield Labelled(image["id"], keypoints, scaled, (height, width), scale)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="of each comparison of speeds")
    parser.add_argument("--data", type=Path, help="folder of the annotations, for the oracle")
    parser.add_argument("--short", type=int, default=512, help="short side in pixels")
    parser.add_argument("--images", type=int, help="so many pictures, evenly spread; default: all")
    parser.add_argument("--compared", type=int, default=100, help="pictures for the reference")
    parser.add_argument("--out", type=Path, help="the page to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
