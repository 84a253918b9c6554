"""A tier that is run from its ONNX file, by onnxruntime instead of PyTorch."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ofa_pose.errors import MissingExtraError, OfaPoseError, UsageError, WeightsError
from ofa_pose.export.schema import read_tier_file
from ofa_pose.export.tier import Tier, load_tier, restore_tier
from ofa_pose.models import check_device

if TYPE_CHECKING:
    import onnxruntime

_LOG = logging.getLogger(__name__)
SUFFIX = ".onnx"
DOCUMENT = "tier_document"
"""Key of the file's metadata that holds the tier's YAML, as JSON."""


@dataclass(frozen=True, kw_only=True)
class OnnxTier(Tier):
    """A tier whose network onnxruntime runs; `weights` is None, as they are in its ONNX file.

    Attributes:
        session: what runs the network.
    """

    session: onnxruntime.InferenceSession

    def build(self, *, device: str | torch.device = "cpu") -> Any:
        """Return a module that maps normalised images to what the tier's network maps them to.

        Raises:
            UsageError: the device is not the CPU.
        """
        if torch.device(device).type != "cpu":
            raise UsageError(
                f"an ONNX file is run on the CPU here, not on {device}; give the tier's YAML"
            )
        return _OnnxNetwork(self).eval()


def load_onnx(path: str | Path) -> OnnxTier:
    """Read what `export_onnx` wrote, with everything that its tier's YAML tells.

    It needs neither the tier's YAML nor its weights, nor the package onnx.

    Raises:
        MissingExtraError: onnxruntime is not installed (extra `onnx`).
        UsageError: the file is absent, or no tier is described in it.
        WeightsError: it is damaged, or its space is not the installed one of that name.
    """
    path = Path(path)
    session = _session(path)
    told = session.get_modelmeta().custom_metadata_map
    if DOCUMENT not in told:
        raise UsageError(f"{path} does not tell its joints; `ofa-pose export` writes one that does")
    try:
        tier = restore_tier(json.loads(told[DOCUMENT]), path=path)
    except ValueError as error:
        raise WeightsError(f"{path}: what it tells of its tier cannot be read: {error}") from None
    _warn_of_others(path, tier)
    return OnnxTier(**{**vars(tier), "weights": None}, session=session)


def _warn_of_others(path: Path, tier: Tier) -> None:
    """Warn of a tier's YAML beside the file that has other weights by now."""
    beside = path.with_suffix(".yaml")
    with contextlib.suppress(OfaPoseError):
        if beside.is_file() and read_tier_file(beside).weights.sha256 != tier.sha256:
            _LOG.warning("%s is not of the weights that %s names: export it again", path, beside)


def load_runnable(path: str | Path, *, device: str | torch.device = "cpu") -> Tier:
    """Return a tier from its YAML (`load_tier`) or from its ONNX file (`load_onnx`), to be built.

    Args:
        path: which of the two it is, is told by its suffix.
        device: that it will be built on.

    Raises:
        UsageError: or another error, as `load_tier`, `load_onnx` and `check_device` say.
    """
    check_device(device)
    if Path(path).suffix.lower() == SUFFIX:
        return load_onnx(path)
    return load_tier(path, check_weights=False)


def import_onnxruntime() -> Any:
    """Return onnxruntime, told to send nothing home unless the user said so.

    Raises:
        MissingExtraError: it is not installed.
    """
    # From 1.29 on it sends telemetry, and warns where HOME cannot be written.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError(
            "an ONNX file needs onnxruntime: pip install 'ofa-pose[onnx]'"
        ) from None
    return onnxruntime


def _session(path: Path) -> onnxruntime.InferenceSession:
    onnxruntime = import_onnxruntime()
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"no ONNX file at {path}") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    # Its threads would wait for the next picture by running, while others decode this one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own types, which derive from nothing in common
        raise WeightsError(f"{path}: onnxruntime cannot read it: {_one_line(error)}") from None


class _OnnxNetwork(nn.Module):
    """The network of an ONNX file, behind the normalisation that the file undoes itself."""

    def __init__(self, tier: OnnxTier) -> None:
        super().__init__()
        self._session = tier.session
        self._input = tier.session.get_inputs()[0].name
        mean, std = (
            torch.tensor(values).view(1, 3, 1, 1)
            for values in (tier.space.pixel_mean, tier.space.pixel_std)
        )
        self._mean, self._std = mean, std

    def forward(self, images: Tensor) -> list[Tensor]:
        pixels = torch.addcmul(self._mean, images, self._std).contiguous()
        try:
            maps = self._session.run(None, {self._input: pixels.numpy()})
        except Exception as error:
            raise OfaPoseError(f"onnxruntime stopped: {_one_line(error)}") from None
        return [torch.from_numpy(map_) for map_ in maps]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
