"""One of two processes that score together; its arguments are the rank and the folder of dots."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["GLOO_SOCKET_IFNAME"] = "lo"

import torch
import torch.distributed as dist
from conftest import DOT, DotSet

from ofa_pose import Supernet, load_space
from ofa_pose.errors import DataError
from ofa_pose.evaluate import Shard, SubnetEvaluator, evaluate_network, predict_scenes
from ofa_pose.pose import DecodeSettings


class Unplugged:
    """A source that fails in the middle."""

    skeleton = DOT

    def __init__(self, source: Any) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Any:
        if index == 5:
            raise DataError("the disk was pulled out")
        return self.source[index]

    def ground_truth(self) -> dict[str, Any]:
        return self.source.ground_truth()

    def fingerprint(self) -> str:
        return self.source.fingerprint()


def error_of(act: Callable[[], Any]) -> list[str]:
    try:
        act()
    except Exception as error:
        return [type(error).__name__, str(error)]
    return []


def main(rank: int, folder: Path) -> dict[str, Any]:
    dots = DotSet(folder)
    space = load_space("toy")
    supernet = Supernet(space, seed=3, skeleton=DOT)

    def subnet(**options: Any) -> SubnetEvaluator:
        return SubnetEvaluator(
            supernet,
            calibration=dots.open(),
            scenes=dots.open(),
            batch_size=1,  # in batches of one size a picture's last bits are the same everywhere
            settings=DecodeSettings(threshold=0),
            **options,
        )

    told: dict[str, Any] = {"subnet_alone": subnet()(space.largest)}
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(seconds=20),
    )
    shard = Shard.of_process_group()
    assert shard == Shard(rank, 2)
    shared: dict[str, Any] = {"resolution": 64, "batch_size": 2, "shard": shard}
    pixels = {"pixel_mean": dots.space.pixel_mean, "pixel_std": dots.space.pixel_std}
    told["results"] = predict_scenes(dots.network, dots.open(), **pixels, **shared)
    told["scores"] = evaluate_network(dots.network, dots.open(), space=dots.space, **shared)
    together = subnet(shard=shard)
    told["subnet"] = together(space.largest)
    state = together.subnet(space.largest).state_dict()
    told["statistics"] = hashlib.sha256(
        b"".join(state[name].numpy().tobytes() for name in sorted(state))
    ).hexdigest()
    source = Unplugged(dots.open())
    told["failure"] = error_of(lambda: predict_scenes(dots.network, source, **pixels, **shared))
    if rank == 0:
        started = time.monotonic()
        told["deserted"] = error_of(lambda: shard.gather(lambda: "here"))
        told["deserted_seconds"] = time.monotonic() - started
    return told


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(main(int(sys.argv[1]), Path(sys.argv[2]))), flush=True)
    os._exit(0)
