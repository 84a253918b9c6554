"""Runs a compiled function on torch's own threads."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache

import torch

_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def run_on_torch_threads(function: int, argument: int) -> None:
    """Call a `void (*)(void *)` once on each of `torch.get_num_threads()` threads; wait for all.

    torch's threads spin for a while after each of its parallel loops, in expectation of the
    next, so a second pool beside theirs would find the processors taken. They are GNU OpenMP's
    where torch comes from PyPI for Linux. Where its library lacks GNU's entry point, the
    function is called once, here.

    Args:
        function: its address; it must divide the work among however many calls there are.
        argument: an address, handed to every call.
    """
    threads, parallel = torch.get_num_threads(), _openmp_parallel()
    if threads > 1 and parallel is not None:
        parallel(function, argument, threads, 0)
    else:
        _FUNCTION(function)(argument)


@lru_cache(maxsize=1)
def _openmp_parallel() -> Callable[[int, int, int, int], None] | None:
    """GNU OpenMP's entry point (function, argument, threads, flags) in the library torch uses."""
    # A symbol is also sought in the libraries that the given one is linked to.
    parallel = getattr(ctypes.CDLL(torch._C.__file__), "GOMP_parallel", None)  # noqa: SLF001
    if parallel is not None:
        parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        parallel.restype = None
    return parallel
