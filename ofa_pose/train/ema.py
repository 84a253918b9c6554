"""Exponential moving average of a model's weights, to be evaluated and exported in their place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ofa_pose.errors import RecipeError, WeightsError, listing
from ofa_pose.interrupt import deferred_interrupt


class Average:
    """Follows a model: each update makes it `decay * average + (1 - decay) * weights`.

    Floating-point parameters and buffers are averaged, batch norm's statistics included; other
    buffers are copied. It starts as a copy of the model, on the model's device. A supernet is
    averaged whole: weights that a step leaves alone draw the average nearer all the same.

    Args:
        model: what will be followed.
        decay: at least 0, below 1; 0.999 looks back over about 1,000 steps.
        warmup: begin with a short memory, so that the first weights are soon forgotten: update
            n, counted from 0, uses `min(decay, (1 + n) / (10 + n))`. Source: TensorFlow's
            `tf.train.ExponentialMovingAverage`, argument `num_updates`.

    Attributes:
        updates: how many there were.

    Raises:
        RecipeError: an impossible decay.
    """

    def __init__(self, model: nn.Module, decay: float, *, warmup: bool = True) -> None:
        if not 0 <= decay < 1:
            raise RecipeError(f"the decay of averaged weights must lie in [0, 1), got {decay}")
        self.decay = decay
        self.warmup = warmup
        self.updates = 0
        self._average = {name: tensor.clone() for name, tensor in _tensors(model).items()}
        self._lent = False

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the model's weights as they are after a step.

        Raises:
            WeightsError: the model has other tensors than the one that has been followed.
        """
        self._require_own()
        pairs = self._pairs(_tensors(model))
        decay = self.decay
        if self.warmup:
            decay = min(decay, (1 + self.updates) / (10 + self.updates))
        real = [pair for pair in pairs if pair[0].is_floating_point()]
        averages, weights = [average for average, _ in real], [weight for _, weight in real]
        # One kernel for many tensors on a GPU; torch.optim.swa_utils averages with it, too.
        torch._foreach_lerp_(averages, weights, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]
        for average, weight in pairs:
            if not average.is_floating_point():
                average.copy_(weight)
        self.updates += 1

    @contextlib.contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Give the model the averaged weights inside the block, and its own back afterwards.

        The values change places, the tensors stay where they are, so optimizers and compiled
        graphs notice nothing; the model's own values come back bit for bit, after an error or a
        Ctrl-C too. What the block changes in the model, it changes in the average. Meanwhile the
        average can be neither updated nor saved.

        Raises:
            WeightsError: the model has other tensors than the one that has been followed.
        """
        self._require_own()
        try:
            with deferred_interrupt():
                self._exchange(model)
                self._lent = True
            yield
        finally:
            if self._lent:
                with deferred_interrupt():
                    self._exchange(model)
                    self._lent = False

    def state_dict(self) -> dict[str, Any]:
        """Return `updates` and `average`, tensors by name; like a module's, they are not copies."""
        self._require_own()
        return {"updates": self.updates, "average": dict(self._average)}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned, to the same bits.

        Raises:
            WeightsError: the tensors are not those of the model that is followed.
        """
        self._require_own()
        for average, kept in self._pairs(state["average"]):
            average.copy_(kept)
        self.updates = int(state["updates"])

    @torch.no_grad()
    def _exchange(self, model: nn.Module) -> None:
        pairs = self._pairs(_tensors(model))
        held = [weight.clone() for _, weight in pairs]  # all memory first: then nothing can fail
        for (average, weight), own in zip(pairs, held, strict=True):
            weight.copy_(average)
            average.copy_(own)

    def _pairs(self, others: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Return each averaged tensor with the one of its name among `others`."""
        faults = sorted(self._average.keys() ^ others.keys())
        if not faults:
            faults = [n for n, own in self._average.items() if own.shape != others[n].shape]
        if faults:
            raise WeightsError(
                f"the averaged weights are another model's; they differ in {listing(faults)}"
            )
        return [(own, others[name]) for name, own in self._average.items()]

    def _require_own(self) -> None:
        if self._lent:
            raise RuntimeError("the averaged weights are lent to a model: leave `applied` first")


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name, each once, without their gradients."""
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: tensor.detach() for name, tensor in named.items()}
