"""Put a trained supernet into the box: its weights in fp16, with their metadata.

    python benchmarks/ship_starter.py runs/lspet-supernet/last.safetensors
    python benchmarks/ship_starter.py runs/painted-supernet/last.safetensors --as painted

The file goes to `search_spaces/weights/<space>-<as>.safetensors`; its card beside it is written by
hand.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ofa_pose.supernet import load_supernet, save_supernet

WEIGHTS = Path(__file__).parent.parent / "search_spaces" / "weights"


def main() -> None:
    """Convert and say how large the file is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("supernet", type=Path, help="weights that a training wrote")
    parser.add_argument("--as", dest="name", default="starter", help="last part of the file's name")
    options = parser.parse_args()
    supernet = load_supernet(options.supernet)
    path = WEIGHTS / f"{supernet.space.name}-{options.name}.safetensors"
    save_supernet(path, supernet, half=True)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
