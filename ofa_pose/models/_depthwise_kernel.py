"""The compiled loop of the depthwise weight gradient; importing this file needs numba.

The loop is fast when the sums stay in registers along a row of the map while the lanes of a
register are neighbouring channels, a form that compilers do not find by themselves. So its
innermost part is spelt in LLVM's vector types, which LLVM maps onto the registers that the
processor has; everything around it is Python for numba.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, cast

import numpy as np
import torch
from llvmlite import ir
from numba import carray, cfunc, from_dtype, types  # pyright: ignore[reportPrivateImportUsage]
from numba.core import cgutils
from numba.extending import intrinsic
from torch import Tensor

from ofa_pose.models._threads import run_on_torch_threads

LANES = 8
"""Channels in a vector."""

JOB = np.dtype(
    [
        (name, np.int64)
        for name in (
            "next_task",  # 0 at first, counted up by the threads
            *("input", "grad", "sums"),  # addresses
            *("images", "channels", "height", "width", "grad_height", "grad_width"),
            *("kernel_height", "stride_y", "stride_x", "padding_y", "padding_x"),
            *("dilation_y", "dilation_x"),
            "groups",
        )
    ]
)
"""What a kernel is told."""

_MIN_TASKS = 32  # to occupy many threads; a constant, so that no sum depends on their number

_FLOAT, _INT = ir.FloatType(), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_ZERO = _INT(0)


def weight_gradient(
    input: Tensor,
    grad_output: Tensor,
    *,
    kernel_size: Sequence[int],
    geometry: Sequence[Sequence[int]],
) -> Tensor:
    """Return the gradient `(C, 1, kh, kw)` of a depthwise weight.

    Args:
        input: `(N, C, H, W)`, float32 on the CPU, not empty, C at least `LANES`.
        grad_output: `(N, C, H', W')`, float32 on the CPU.
        kernel_size: height and width in cells.
        geometry: stride, padding and dilation, each along height and width in cells.
    """
    input = input.contiguous(memory_format=torch.channels_last)
    grad_output = grad_output.contiguous(memory_format=torch.channels_last)
    images, channels, height, width = input.shape
    vectors = 2 if channels >= 2 * LANES else 1
    lanes = vectors * LANES
    blocks = -(-channels // lanes)
    groups = min(images, -(-_MIN_TASKS // blocks))
    sums = torch.zeros(groups, blocks, *kernel_size, lanes)
    job = np.array(
        (
            *(0, input.data_ptr(), grad_output.data_ptr(), sums.data_ptr()),
            *(images, channels, height, width, *grad_output.shape[2:]),
            *(kernel_size[0], *chain.from_iterable(geometry)),
            groups,
        ),
        dtype=JOB,
    )
    kernel = compile_kernel(kernel_size[1], vectors=vectors)
    run_on_torch_threads(kernel.address, job.ctypes.data)
    for group in range(1, groups):
        sums[0] += sums[group]
    gradient = sums[0].permute(0, 3, 1, 2).reshape(blocks * lanes, 1, *kernel_size)
    return torch.cat([gradient[: channels - lanes], gradient[-lanes:]])


@lru_cache
def compile_kernel(taps: int, *, vectors: int) -> Any:
    """Compile the loop; the function's `address` is that of a `void (*)(void *)`.

    Its argument is a `JOB`: `input` is `(images, height, width, channels)` float32, `grad`
    likewise, and `sums` is `(groups, blocks, kernel_height, taps, vectors · LANES)` float32, to
    which the gradient is added. A task is one group of images and one block of channels; the
    last block ends at the last channel, so it may overlap the one before it. Threads that run
    the function on the same job share its tasks out among them. No sum depends on who takes it.

    Args:
        taps: width of the kernel in cells.
        vectors: vectors in a block of channels; a job has at least that many channels.
    """

    def work(jobs):  # noqa: ANN001, ANN202
        job = carray(jobs, 1)[0]
        lanes = vectors * LANES
        blocks = (job.channels + lanes - 1) // lanes
        while True:
            task = _take_task(jobs)  # pyright: ignore[reportCallIssue]
            if task >= job.groups * blocks:
                return
            group, block = task // blocks, task % blocks
            channel = min(block * lanes, job.channels - lanes)
            first = group * job.images // job.groups
            last = (group + 1) * job.images // job.groups
            for grad_row in range(first * job.grad_height, last * job.grad_height):
                image, grad_y = grad_row // job.grad_height, grad_row % job.grad_height
                grad = job.grad + 4 * (grad_row * job.grad_width * job.channels + channel)
                for kernel_y in range(job.kernel_height):
                    y = grad_y * job.stride_y - job.padding_y + kernel_y * job.dilation_y
                    if y < 0 or y >= job.height:
                        continue
                    row = (image * job.height + y) * job.width
                    _add_row(
                        taps,
                        vectors,
                        job.sums + 4 * (task * job.kernel_height + kernel_y) * taps * lanes,
                        job.input + 4 * (row * job.channels + channel),
                        grad,
                        job.width,
                        job.grad_width,
                        job.channels,
                        job.stride_x,
                        job.padding_x,
                        job.dilation_x,
                    )

    signature = types.void(types.CPointer(from_dtype(JOB)))
    return cfunc(signature, error_model="numpy")(work)


@intrinsic
def _take_task(typing_context: Any, jobs: Any) -> Any:
    """Return a job's `next_task` and add 1 to it, in one step that threads cannot share."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
        counter = builder.bitcast(values[0], _INT.as_pointer())
        return builder.atomic_rmw("add", counter, _INT(1), "monotonic")

    return types.int64(jobs), emit


@intrinsic(prefer_literal=True)
def _add_row(
    typing_context: Any,
    taps: Any,
    vectors: Any,
    sums: Any,
    row: Any,
    grad: Any,
    width: Any,
    grad_width: Any,
    channels: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
) -> Any:
    """Add what one row of the map gives to one row of the kernel.

    `sums[tap] += Σ_x grad[x] · row[x · stride - padding + tap · dilation]`, where `sums`, `row`
    and `grad` are addresses, an element is a block of channels, and what lies outside the row is
    left out, not multiplied by 0: a NaN reaches only the taps that meet it.
    """

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> ir.Value:
        _emit_row(builder, taps.literal_value, vectors.literal_value, *values[2:])
        return context.get_dummy_value()

    return types.void(taps, vectors, *[types.int64] * 9), emit


def _emit_row(
    builder: ir.IRBuilder,
    taps: int,
    vectors: int,
    sums: ir.Value,
    row: ir.Value,
    grad: ir.Value,
    width: ir.Value,
    grad_width: ir.Value,
    channels: ir.Value,
    stride: ir.Value,
    padding: ir.Value,
    dilation: ir.Value,
) -> None:
    multiply_add = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(_VECTOR, [_VECTOR] * 3),
        f"llvm.fmuladd.v{LANES}f32",
    )
    zero = ir.Constant(_VECTOR, [0.0] * LANES)
    # LLVM turns these places on the stack into registers.
    totals = [
        [cgutils.alloca_once_value(builder, zero) for _ in range(vectors)] for _ in range(taps)
    ]
    with cgutils.for_range(builder, grad_width) as loop:
        places = _places(builder, grad, count=vectors, index=loop.index, size=channels)
        factors = [builder.load(place, align=4) for place in places]
        first = builder.sub(builder.mul(loop.index, stride), padding)
        columns: list[Any] = [
            builder.add(first, builder.mul(dilation, _INT(tap))) for tap in range(taps)
        ]

        def add_tap(tap: int) -> None:
            places = _places(builder, row, count=vectors, index=columns[tap], size=channels)
            for total, factor, place in zip(totals[tap], factors, places, strict=True):
                value = builder.load(place, align=4)
                new = builder.call(multiply_add, [factor, value, builder.load(total)])
                builder.store(new, total)

        inside = builder.and_(
            builder.icmp_signed(">=", first, _ZERO),
            builder.icmp_signed("<", columns[-1], width),
        )
        with builder.if_else(inside) as (all_taps, some_taps):
            with all_taps:
                for tap in range(taps):
                    add_tap(tap)
            with some_taps:
                for tap in range(taps):
                    # As an unsigned number, a negative column is beyond every width.
                    with builder.if_then(builder.icmp_unsigned("<", columns[tap], width)):
                        add_tap(tap)
    places = _places(builder, sums, count=taps * vectors)
    for place, total in zip(places, chain.from_iterable(totals), strict=True):
        new = builder.fadd(builder.load(place, align=4), builder.load(total))
        builder.store(new, place, align=4)


def _places(
    builder: ir.IRBuilder,
    address: ir.Value,
    *,
    count: int,
    index: ir.Value = _ZERO,
    size: ir.Value = _ZERO,
) -> list[ir.Value]:
    """Return pointers to `count` vectors side by side, from float `index · size` on."""
    floats = builder.inttoptr(address, _FLOAT.as_pointer())
    start = builder.gep(floats, [cast(ir.Value, builder.mul(index, size))])
    first = builder.bitcast(start, _VECTOR.as_pointer())
    return [builder.gep(first, [_INT(vector)]) for vector in range(count)]
