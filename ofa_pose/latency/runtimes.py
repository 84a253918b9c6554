"""The runtimes that tables can be made for: how a network is handed to each, and what it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ofa_pose.converters.packages import require_packages
from ofa_pose.errors import UnknownNameError
from ofa_pose.latency.kit import Export
from ofa_pose.latency.measuring.runner import Prepare
from ofa_pose.models.unit import unit_cache


@dataclass(frozen=True)
class Runtime:
    """One runtime.

    Attributes:
        name: its name.
        layout: of activations inside.
        in_place: whether it can time units inside a network; if not, each is measured alone.
        bundled: whether networks can be taken to another device without torch.
        exporter: makes the function that turns a plan into the runtime's file.
        prepare: makes a runner; None where `measuring` has it.
    """

    name: str
    layout: str
    exporter: Callable[[], Export]
    in_place: bool = True
    bundled: bool = True
    prepare: Callable[[], Prepare | None] = lambda: None

    def require(self, *, running: bool) -> None:
        """Check that its packages are installed.

        Args:
            running: also those that run networks.

        Raises:
            MissingExtraError: one is not.
        """
        require_packages(self.name, running=running)


def get_runtime(name: str) -> Runtime:
    """Return a runtime by name.

    Raises:
        UnknownNameError: there is none of this name.
    """
    if name not in RUNTIMES:
        raise UnknownNameError("runtime", name, RUNTIMES, list_all=True)
    return RUNTIMES[name]


def _onnx() -> Export:
    from ofa_pose.latency.to_onnx import OnnxExporter

    return OnnxExporter()


def _ncnn() -> Export:
    from ofa_pose.latency.to_ncnn import NcnnExporter

    return NcnnExporter()


# A unit is converted in seconds: a validation takes over what the build converted.
@unit_cache(maxsize=1)
def _litert() -> Export:
    from ofa_pose.latency.to_litert import LiteRtExporter

    return LiteRtExporter()


def _torch() -> Export:
    from ofa_pose.latency.with_torch import to_torch

    return to_torch


def _torch_runner() -> Prepare:
    from ofa_pose.latency.with_torch import TorchRunner

    return TorchRunner


RUNTIMES = {
    runtime.name: runtime
    for runtime in (
        Runtime("torch", "NHWC", _torch, bundled=False, prepare=_torch_runner),
        Runtime("onnxruntime", "NCHWc", _onnx),
        Runtime("ncnn", "NCHWc", _ncnn),
        Runtime("openvino", "NHWC", _onnx, bundled=False),
        Runtime("litert", "NHWC", _litert, in_place=False),
    )
}
"""By name."""
