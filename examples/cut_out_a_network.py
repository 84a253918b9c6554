"""Cut the network of one arch out of a supernet, and use it as plain PyTorch.

    python examples/cut_out_a_network.py

The weights here are random: `ofa_pose.supernet.load_supernet(path)` gives trained ones.
"""

import torch

import ofa_pose as op


def main() -> None:
    """Count, extract, run."""
    space = op.load_space("litepose-xs")
    arch = space.arch("XS")  # the network of the LitePose paper
    cost = op.count(space, arch, skeleton="crowdpose")
    print(
        f"{arch.key}: {cost.macs['exact'] / 1e9:.3f} G exact MACs, {cost.params / 1e6:.3f} M params"
    )

    supernet = op.Supernet(space, seed=0, skeleton="crowdpose").eval()
    network = supernet.extract(arch)  # an nn.Module with weights of its own
    with torch.inference_mode():
        quarter, half = network(torch.zeros(1, 3, arch.resolution, arch.resolution))
    print(f"heatmaps and tags {tuple(quarter.shape)}, heatmaps {tuple(half.shape)}")


if __name__ == "__main__":
    main()
