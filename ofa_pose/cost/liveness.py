"""Which tensors of a unit are alive at once, by its calls of layers and functions in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class _Call:
    """One call of a layer or function; tensors that share their memory are one.

    Attributes:
        reads: the memories that it reads.
        makes: the new memories that it fills.
        in_place: whether it is computed in a memory that it is the last to read.
        adds: whether it is a sum.
    """

    reads: frozenset[int]
    makes: tuple[int, ...]
    in_place: bool
    adds: bool


class Liveness:
    """The tensors of one run of a unit, and who made and read them.

    A tensor lives from its making to its last reading by a layer or function; the output, and one
    that nothing reads, to the end. The unit's inputs live throughout. Views and what is changed in
    place use the memory that there is. Batch norm and activations are computed in place where
    nothing reads their source later and it is no input; so is a sum that nothing but sums reads,
    as it is the output.

    Args:
        inputs: the unit's.
        sizes: their elements.
    """

    def __init__(self, inputs: Sequence[Tensor], sizes: Iterable[int]) -> None:
        self._kept = list(inputs)  # alive, so that no other tensor gets the id of one
        self._memory = {id(tensor): number for number, tensor in enumerate(inputs)}
        self._sizes = list(sizes)
        self._inputs = len(self._sizes)
        self._calls: list[_Call] = []

    def call(self, source: Tensor, result: Tensor, size: int, *, in_place: bool) -> None:
        """Record a call that makes a new tensor of `size` elements from another."""
        reads = frozenset(self._known((source,)))
        self._calls.append(_Call(reads, (self._new(result, size),), in_place, adds=False))

    def run(
        self,
        sources: Iterable[Tensor],
        results: Iterable[Tensor],
        *,
        in_place: bool,
        adds: bool = False,
    ) -> None:
        """Record a call that was run; what it made, changed or only viewed is told by storage."""
        sources = list(sources)
        storages = {_storage(tensor): tensor for tensor in sources}
        makes: list[int] = []
        own: set[int] = set()
        for result in results:
            source = storages.setdefault(_storage(result), result)
            if id(result) not in self._memory:
                if source is result:
                    makes.append(self._new(result, result.numel()))
                elif id(source) in self._memory:
                    self._know(result, self._memory[id(source)])
            own.update(self._known((result,)))
        reads = frozenset(self._known(sources)) - own
        if reads or makes:
            self._calls.append(_Call(reads, tuple(makes), in_place, adds))

    def peak(self, output: Tensor) -> int:
        """Most elements alive at once, the inputs and the output of the unit included."""
        end = len(self._calls)
        last_read = {memory: step for step, call in enumerate(self._calls) for memory in call.reads}
        last_read.update(dict.fromkeys(self._known((output,)), end))
        read_on = {memory for call in self._calls if not call.adds for memory in call.reads}
        held = sum(self._sizes[: self._inputs])
        peak = held + output.numel()
        alive: dict[int, int] = {}
        for step, call in enumerate(self._calls):
            for made in call.makes:
                alive[made] = self._sizes[made]
                if call.in_place or (call.adds and made not in read_on):
                    ending = (m for m in call.reads if m in alive and last_read[m] == step)
                    for memory in ending:
                        if alive[memory] >= alive[made]:
                            alive[made] = alive.pop(memory)
                            break
            peak = max(peak, held + sum(alive.values()))
            alive = {m: size for m, size in alive.items() if last_read.get(m, end) > step}
        return peak

    def _known(self, tensors: Iterable[Tensor]) -> Iterator[int]:
        """The memories of those that are neither weights nor views of them."""
        return (self._memory[id(tensor)] for tensor in tensors if id(tensor) in self._memory)

    def _new(self, tensor: Tensor, size: int) -> int:
        self._sizes.append(size)
        self._know(tensor, len(self._sizes) - 1)
        return len(self._sizes) - 1

    def _know(self, tensor: Tensor, memory: int) -> None:
        self._memory[id(tensor)] = memory
        self._kept.append(tensor)


def tensors_in(value: object) -> Iterator[Tensor]:
    """Yield the tensors of what a function takes or returns, those in containers, too."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from tensors_in(tuple(value.values()))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from tensors_in(one)


def _storage(tensor: Tensor) -> int:
    """Views of a tensor have its storage; tensors of torch's meta device have no addresses."""
    return tensor.untyped_storage()._cdata  # noqa: SLF001
