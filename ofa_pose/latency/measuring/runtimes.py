"""The runtimes that can measure, by name; each is imported when it is prepared."""

from __future__ import annotations

from .runner import Prepare
from .with_litert import LiteRt
from .with_ncnn import Ncnn
from .with_onnxruntime import OnnxRuntime
from .with_openvino import OpenVino

RUNNERS: dict[str, Prepare] = {
    "litert": LiteRt,
    "ncnn": Ncnn,
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
}
