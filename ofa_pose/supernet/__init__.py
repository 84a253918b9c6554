"""How weights are shared: slicing, re-calibration, extraction, weights on disk."""

from ofa_pose.supernet.calibrate import recalibrate
from ofa_pose.supernet.ordering import (
    ChannelGroup,
    channel_groups,
    order_channels,
    permute_channels,
)
from ofa_pose.supernet.supernet import Supernet
from ofa_pose.supernet.weights import (
    load_all_but_heads,
    load_state,
    load_supernet,
    load_weights,
    save_supernet,
    save_weights,
    supernet_metadata,
)

__all__ = [
    "ChannelGroup",
    "Supernet",
    "channel_groups",
    "load_all_but_heads",
    "load_state",
    "load_supernet",
    "load_weights",
    "order_channels",
    "permute_channels",
    "recalibrate",
    "save_supernet",
    "save_weights",
    "supernet_metadata",
]
