"""Weights on disk: safetensors with metadata that says whose weights they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ofa_pose.errors import WeightsError, listing
from ofa_pose.files import atomic_write
from ofa_pose.models import Network
from ofa_pose.space import SearchSpace
from ofa_pose.supernet.metadata import (
    WEIGHTS_FORMAT,
    check_options,
    check_space,
    read_options,
    read_space_of,
    weights_metadata,
)
from ofa_pose.supernet.supernet import Supernet


def save_weights(
    path: str | Path,
    state: Mapping[str, Tensor],
    *,
    metadata: Mapping[str, str],
    half: bool = False,
) -> None:
    """Write tensors to a safetensors file, atomically; the same ones to the same bytes.

    Args:
        path: the file.
        state: name → tensor.
        metadata: stored in the file's header.
        half: store floating tensors in fp16.

    Raises:
        WeightsError: a tensor holds a NaN or an infinity (also one made by `half`).
        OfaPoseError: the folder cannot be written or the disk is full.
    """
    out = {}
    for name, tensor in state.items():
        tensor = tensor.detach().cpu()
        if half and tensor.is_floating_point():
            tensor = tensor.half()
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{path}: {name} holds NaN or infinity; not written")
        # A copy, as a layer may stand under two names and safetensors refuses one memory for both.
        out[name] = tensor.clone(memory_format=torch.contiguous_format)
    atomic_write(path, _in_order(save(out, metadata=dict(metadata))))


def _in_order(content: bytes) -> bytes:
    """Sort the header of a safetensors file, whose metadata comes in an order drawn at random."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the tensors are aligned
    return len(text).to_bytes(8, "little") + text + content[start:]


def load_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file: tensors (fp16 comes back as fp32) and its metadata.

    Raises:
        WeightsError: missing, damaged, or with a NaN or an infinity.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"no weights at {path}")
    try:
        with safe_open(path, framework="pt") as stream:
            metadata = stream.metadata() or {}
            state = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path} is not a whole safetensors file ({error})") from None
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{path}: {name} holds NaN or infinity")
        if tensor.dtype == torch.float16:
            state[name] = tensor.float()
    return state, metadata


def load_state(module: torch.nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Load a state dict strictly; every missing, unexpected or misshapen key is listed.

    Raises:
        WeightsError: the keys or shapes do not fit.
    """
    own = module.state_dict()
    faults = [f"missing {name}" for name in own.keys() - state.keys()]
    faults += [f"unexpected {name}" for name in state.keys() - own.keys()]
    faults += [
        f"{name} is {tuple(state[name].shape)}, expected {tuple(own[name].shape)}"
        for name in own.keys() & state.keys()
        if own[name].shape != state[name].shape
    ]
    if faults:
        raise WeightsError(f"{source} does not fit the network: {listing(sorted(faults))}")
    module.load_state_dict(dict(state))


def load_all_but_heads(
    network: Network, state: Mapping[str, Tensor], *, source: str
) -> tuple[str, ...]:
    """Load a network's weights, but for the units that give its outputs, which stay as they are.

    For a start from a network that predicts other joints.

    Args:
        network: filled in place.
        state: of a network of the same arch; its heads may have any shape.
        source: the weights, for the message.

    Returns:
        The names of the units that were left alone.

    Raises:
        WeightsError: the keys or shapes of the other units do not fit.
    """
    heads = tuple(dict.fromkeys(network.plan.outputs))
    own = network.state_dict()

    def is_kept(name: str) -> bool:
        return name.startswith(tuple(f"{head}." for head in heads))

    kept = {name: tensor for name, tensor in own.items() if is_kept(name)}
    others = {name: tensor for name, tensor in state.items() if not is_kept(name)}
    load_state(network, {**others, **kept}, source=source)
    return heads


def supernet_metadata(supernet: Supernet) -> dict[str, str]:
    """What a supernet's weights file says of itself; see `weights_metadata`."""
    return weights_metadata("supernet", supernet.space, options=supernet.options)


def save_supernet(path: str | Path, supernet: Supernet, *, half: bool = False) -> None:
    """Write a supernet's weights with metadata of space and options, the skeleton whole."""
    save_weights(path, supernet.state_dict(), metadata=supernet_metadata(supernet), half=half)


def load_supernet(
    path: str | Path, *, space: SearchSpace | None = None, **options: Any
) -> Supernet:
    """Rebuild a supernet from its weights file, in eval mode.

    Args:
        path: a file written by `save_supernet`.
        space: the space it must be of; by default the one its metadata holds or, in an older
            file, names.
        options: family options it must have been trained with, such as `skeleton="crowdpose"`;
            by default those its metadata holds.

    Raises:
        WeightsError: damaged, not a supernet's, of another space, or with other options.
    """
    state, metadata = load_weights(path)
    return restore_supernet(state, metadata, source=str(path), space=space, **options)


def restore_supernet(
    state: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    *,
    source: str,
    space: SearchSpace | None = None,
    **options: Any,
) -> Supernet:
    """Rebuild a supernet from what its file holds; see `load_supernet`.

    Args:
        state: its state dict.
        metadata: of `supernet_metadata`.
        source: the file, for the messages.
        space: as for `load_supernet`.
        options: as for `load_supernet`.

    Raises:
        WeightsError: damaged, not a supernet's, of another space, or with other options.
    """
    _check_metadata(source, metadata)
    if space is None:
        space = read_space_of(metadata, source=source)
    else:
        check_space(metadata, space, source=source)
    stored = read_options(metadata, source=source)
    check_options(stored, options, source=source)
    supernet = Supernet(space, **{**stored, **options})
    load_state(supernet, state, source=source)
    return supernet.eval()


def _check_metadata(path: str, metadata: Mapping[str, str]) -> None:
    if metadata.get("kind") != "supernet":
        kind = metadata.get("kind", "unlabelled weights")
        raise WeightsError(f"{path} holds {kind!r}, not a supernet")
    if metadata.get("format") != WEIGHTS_FORMAT:
        raise WeightsError(
            f"{path} has weights format {metadata.get('format')!r}; "
            f"this version reads {WEIGHTS_FORMAT!r}"
        )
    missing = {"space", "space_hash", "options"} - metadata.keys()
    if missing:
        raise WeightsError(f"{path} lacks the metadata {', '.join(sorted(missing))}")
