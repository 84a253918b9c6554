"""Draws docs/pipeline.png and docs/overlay.png: what a tier sees in painted scenes, step by step.

ofa-pose search --budget 600M
python benchmarks/draw_pipeline.py runs/search-litepose-lite0/M.yaml
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import torch
from PIL import Image

from ofa_pose.data import SyntheticScenes, normalize, resize_for_network
from ofa_pose.data.inputs import to_tensor
from ofa_pose.files import atomic_path
from ofa_pose.pose import fuse_outputs
from ofa_pose.predict import PosePredictor

SIDE = 288  # of a panel, pixels
GAP, TITLE = 8, 26
FAINT = 0.15  # heatmap value below which a tag means nothing


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw what a tier sees in painted scenes.")
    parser.add_argument("tier", type=Path, help="the YAML of a tier")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--scene", type=int, default=17, help="drawn step by step")
    parser.add_argument("--overlays", type=int, nargs="+", default=[17, 15, 3], help="drawn")
    parser.add_argument("--joint", default="neck", help="whose maps are shown alone")
    parser.add_argument("--min-score", type=float, default=0.15)
    given = parser.parse_args()
    predictor = PosePredictor(given.tier, min_score=given.min_score)
    count = max(given.scene, *given.overlays) + 1
    scenes = SyntheticScenes(0, count, size=512, skeleton=predictor.skeleton)
    pictures = [scenes[number].image for number in given.overlays]
    drawn = [predictor.draw(picture, predictor(picture)) for picture in pictures]
    write_png(given.out / "overlay.png", grid(drawn, [""] * len(drawn), columns=len(drawn)))
    steps = pipeline(predictor, scenes[given.scene].image, given.joint)
    write_png(given.out / "pipeline.png", steps)


def pipeline(predictor: PosePredictor, picture: np.ndarray, joint: str) -> np.ndarray:
    """Return six panels: the picture, heatmaps, tags, people."""
    heatmaps, tags = maps_of(predictor, picture)
    number = predictor.skeleton.joints.index(joint)
    strongest = heatmaps.argmax(axis=0)
    all_tags = np.take_along_axis(tags, strongest[None], axis=0)[0]
    sure = heatmaps.max(axis=0) > FAINT
    low, high = np.percentile(all_tags[sure], [5, 95]) if sure.any() else (0.0, 1.0)
    dim = picture // 5
    panels = {
        "1. the picture": picture,
        f"2. heatmap: where a {joint} is": glow(dim, heatmaps[number]),
        "3. heatmaps of all joints": glow(dim, heatmaps.max(axis=0)),
        f"4. tags of {joint}s: whose it is": tint(dim, tags[number], heatmaps[number], (low, high)),
        "5. tags of all joints": tint(dim, all_tags, heatmaps.max(axis=0), (low, high)),
        "6. joints with like tags are a person": predictor.draw(picture, predictor(picture)),
    }
    return grid(list(panels.values()), list(panels), columns=3)


def maps_of(predictor: PosePredictor, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the (K, H, W) heatmaps and tags that decoding starts from, at half size."""
    tier = predictor.tier
    resized, _ = resize_for_network(picture, tier.resolution)
    images = normalize(to_tensor([resized]), tier.space.pixel_mean, tier.space.pixel_std)
    with torch.inference_mode():
        outputs = tier.build()(images)
        size = (images.shape[2], images.shape[3])
        heatmaps, tags = fuse_outputs(outputs, size=size, project=False)
    return heatmaps[0], tags[0, ..., 0]


def glow(picture: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """Return the picture lit where the heatmap is high."""
    strength = fitted(heatmap, picture).clip(0, 1)
    colours = mpl.colormaps["inferno"](strength)[..., :3] * 255
    return np.maximum(picture, colours).astype(np.uint8)


def tint(
    picture: np.ndarray, tags: np.ndarray, heatmap: np.ndarray, span: tuple[float, float]
) -> np.ndarray:
    """Return the picture coloured by tag where the heatmap says that there is a joint."""
    low, high = span
    strength = (fitted(heatmap, picture) / FAINT).clip(0, 1)[..., None] ** 4
    share = ((fitted(tags, picture) - low) / max(high - low, 1e-6)).clip(0, 1)
    colours = mpl.colormaps["turbo"](share)[..., :3] * 255
    return (picture * (1 - strength) + colours * strength).astype(np.uint8)


def fitted(values: np.ndarray, picture: np.ndarray) -> np.ndarray:
    return cv2.resize(values, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def grid(panels: Sequence[np.ndarray], titles: Sequence[str], *, columns: int) -> np.ndarray:
    """Return panels of one size in rows, with their titles above them, on white."""
    title = TITLE if any(titles) else 0
    rows = -(-len(panels) // columns)
    height, width = rows * (SIDE + title + GAP) - GAP, columns * (SIDE + GAP) - GAP
    sheet = np.full((height, width, 3), 255, np.uint8)
    for number, (panel, text) in enumerate(zip(panels, titles, strict=True)):
        top, left = number // columns * (SIDE + title + GAP), number % columns * (SIDE + GAP)
        small = cv2.resize(panel, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        sheet[top + title : top + title + SIDE, left : left + SIDE] = small
        cv2.putText(
            sheet, text, (left, top + title - 9), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (30, 30, 30), 1,
            cv2.LINE_AA,
        )  # fmt: skip
    return sheet


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write a picture without the last two bits of its colours: noise that costs bytes."""
    with atomic_path(path) as temporary:
        Image.fromarray(picture & 0xFC).save(temporary, "PNG", optimize=True)


if __name__ == "__main__":
    main()
