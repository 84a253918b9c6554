"""A tier that is run from its ONNX file, by onnxruntime instead of PyTorch."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ofa_pose.errors import (
    MissingExtraError,
    OfaPoseError,
    UsageError,
    WeightsError,
    missing_package,
)
from ofa_pose.export.schema import check_document, read_tier_file
from ofa_pose.export.tier import Tier, check_threads, restore_tier

if TYPE_CHECKING:
    import onnxruntime
    import torch

    from ofa_pose.evaluate import Mapper

_LOG = logging.getLogger(__name__)
SUFFIX = ".onnx"
DOCUMENT = "tier_document"
"""Key of the file's metadata that holds the tier's YAML, as JSON."""


@dataclass(frozen=True, kw_only=True)
class OnnxTier(Tier):
    """A tier whose network onnxruntime runs; `weights` is None, as they are in its ONNX file.

    Attributes:
        session: what runs the network.
        threads: that it runs on; None is all processors.
    """

    session: onnxruntime.InferenceSession
    threads: int | None = None

    def build(self, *, device: str | torch.device = "cpu") -> Any:
        """Return a module that maps normalised images to what the tier's network maps them to.

        Raises:
            UsageError: the device is not the CPU.
        """
        _check_cpu(device)
        from ofa_pose.export.onnx_network import OnnxNetwork

        return OnnxNetwork(self).eval()

    def mapper(self, *, device: str | torch.device = "cpu", threads: int | None = None) -> Mapper:
        """Return the network as `find_people` takes it, without PyTorch.

        Raises:
            UsageError: the device is not the CPU, or `threads` are others than the session's.
        """
        _check_cpu(device)
        check_threads(threads)
        if threads not in (None, self.threads):
            raise UsageError(f"an ONNX file has its threads from load_onnx(..., threads={threads})")
        return lambda pixels: self.run(pixels.transpose(0, 3, 1, 2).astype(np.float32, order="C"))

    def run(self, pixels: np.ndarray) -> list[np.ndarray]:
        """Return the maps of pictures, (N, 3, H, W) float32 RGB of 0 to 255, contiguous.

        Raises:
            OfaPoseError: onnxruntime cannot run the network.
        """
        name = self.session.get_inputs()[0].name
        try:
            maps = self.session.run(None, {name: pixels})
        except Exception as error:
            raise OfaPoseError(f"onnxruntime stopped: {_one_line(error)}") from None
        return [np.asarray(map_) for map_ in maps]


def load_onnx(path: str | Path, *, threads: int | None = None) -> OnnxTier:
    """Read what `export_onnx` wrote, with everything that its tier's YAML tells.

    It needs neither the tier's YAML nor its weights, nor the package onnx.

    Args:
        path: of the ONNX file.
        threads: that onnxruntime runs the network on; by default all processors.

    Raises:
        MissingExtraError: onnxruntime is not installed (extra `onnx`).
        UsageError: the file is absent, no tier is described in it, or threads is no such number.
        WeightsError: it is damaged.
    """
    path = Path(path)
    check_threads(threads)
    session = _session(path, threads=threads)
    told = session.get_modelmeta().custom_metadata_map
    if DOCUMENT not in told:
        raise UsageError(f"{path} does not tell its joints; `ofa-pose export` writes one that does")
    try:
        document = check_document(json.loads(told[DOCUMENT]), source=path)
        tier = restore_tier(document, path=path)
    except ValueError as error:
        raise WeightsError(f"{path}: what it tells of its tier cannot be read: {error}") from None
    _warn_of_others(path, tier)
    return OnnxTier(**{**vars(tier), "weights": None}, session=session, threads=threads)


def _warn_of_others(path: Path, tier: Tier) -> None:
    """Warn of a tier's YAML beside the file that has other weights by now."""
    beside = path.with_suffix(".yaml")
    with contextlib.suppress(OfaPoseError):
        if beside.is_file() and read_tier_file(beside).weights.sha256 != tier.sha256:
            _LOG.warning("%s is not of the weights that %s names: export it again", path, beside)


def load_runnable(
    path: str | Path, *, device: str | torch.device = "cpu", threads: int | None = None
) -> Tier:
    """Return a tier from its YAML (`load_tier`) or from its ONNX file (`load_onnx`), to be built.

    Args:
        path: which of the two it is, is told by its suffix.
        device: that it will be built on.
        threads: of an ONNX file, as in `load_onnx`; a YAML's are given to `Tier.mapper`.

    Raises:
        MissingExtraError: a YAML, and no PyTorch.
        UsageError: or another error, as `load_tier`, `load_onnx` and `check_device` say.
    """
    if Path(path).suffix.lower() == SUFFIX:
        _check_cpu(device)
        return load_onnx(path, threads=threads)
    try:
        from ofa_pose.export.tier_files import load_tier
        from ofa_pose.models import check_device
    except ModuleNotFoundError as error:
        raise missing_package(error) from None
    check_device(device)
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


def quiet_options(onnxruntime: Any) -> Any:
    """Return options of a session that prints nothing: its errors are raised, too."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # fatal
    return options


def _session(path: Path, *, threads: int | None) -> onnxruntime.InferenceSession:
    onnxruntime = import_onnxruntime()
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"no ONNX file at {path}") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    options = quiet_options(onnxruntime)
    if threads is not None:
        options.intra_op_num_threads = threads
    # Its threads would wait for the next picture by running, while others decode this one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own types, which derive from nothing in common
        raise WeightsError(f"{path}: onnxruntime cannot read it: {_one_line(error)}") from None


def _check_cpu(device: str | torch.device) -> None:
    if str(device).partition(":")[0] != "cpu":
        raise UsageError(
            f"an ONNX file is run on the CPU here, not on {device}; give the tier's YAML"
        )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
