"""The packages that each runtime needs, and the extras that bring them."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from ofa_pose.errors import MissingExtraError


@dataclass(frozen=True)
class Packages:
    """What one runtime needs.

    Attributes:
        extra: the extra of this package that brings it; empty for torch.
        exporting: packages needed to make the runtime's files.
        running: packages needed to run them.
    """

    extra: str
    exporting: tuple[str, ...]
    running: tuple[str, ...] = ()


PACKAGES = {
    "torch": Packages("", ("torch",)),
    "onnxruntime": Packages("onnx", ("onnx", "onnxscript"), ("onnxruntime",)),
    "ncnn": Packages("ncnn", ("pnnx",), ("ncnn",)),
    "openvino": Packages("openvino", ("onnx", "onnxscript"), ("openvino",)),
    "litert": Packages("litert", ("litert_torch", "ai_edge_litert")),
}
"""By the runtime's name."""


def require_packages(runtime: str, *, running: bool) -> None:
    """Check that a runtime's packages are installed.

    Args:
        runtime: one of `PACKAGES`.
        running: also those that run its files.

    Raises:
        MissingExtraError: one is not.
    """
    packages = PACKAGES[runtime]
    needed = (*packages.exporting, *(packages.running if running else ()))
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"the runtime {runtime} needs {', '.join(missing)}, which come with an extra; "
            f"install it: pip install 'ofa-pose[{packages.extra}]'"
        )
