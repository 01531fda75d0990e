"""CUDA graphs: the launches of a step recorded once, and then made as one."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

log = logging.getLogger(__name__)

Function = Callable[..., Sequence[Tensor | None]]
WARM = 3  # calls before the capture, in which cuBLAS and cuDNN choose and allocate
PLACES = 32  # that it looks at
MOST = 8  # graphs of one function
CLOSE = 1e-2  # to the largest entry: how far a replay may be from the function, which may add up in another order


class Input:
    """Where a graph reads an argument that it does not write into."""

    def __init__(self, tensor: Tensor) -> None:
        self.memory = once(tensor).clone()
        self.read = self.memory.expand(tensor.shape)
        self.seen, self.version = tensor, tensor._version

    def take(self, tensor: Tensor) -> None:
        """Copies what is not the tensor of the last time, or has changed since."""
        if tensor is not self.seen or tensor._version != self.version:
            self.memory.copy_(once(tensor), non_blocking=True)
            self.seen, self.version = tensor, tensor._version


class Captured(NamedTuple):
    graph: Any
    inputs: list[Input]
    results: Sequence[Tensor | None]


class Graphed:
    """A function of tensors on a GPU, captured as a CUDA graph where it is called again and again.

    A graph knows addresses: there is one for each place of the tensors that the function writes into, and the others
    are copied to where the graph reads them. **The results are overwritten by the next call.** A first replay is
    compared with the function. Where it differs, or where the capture fails (as of a function that waits for the GPU),
    the function is called as it is from then on.

    Args:
        function: tensors ─► tensors; it may write into its arguments.
        written: how many of the first arguments it may write into; they are all on the GPU.
    """

    def __init__(self, function: Function, written: int) -> None:
        self.function, self.written = function, written
        self.calls: Counter[tuple[int, ...]] = Counter()
        self.captured: dict[tuple[int, ...], Captured] = {}
        self.stream: Any = None
        self.works = True

    def __call__(self, *tensors: Tensor) -> Sequence[Tensor | None]:
        if not self.works:
            return self.function(*tensors)
        place = tuple(tensor.data_ptr() for tensor in tensors[: self.written])
        if place in self.captured:
            graph, inputs, results = self.captured[place]
            for mine, theirs in zip(inputs, tensors[self.written :], strict=True):
                mine.take(theirs)
            graph.replay()
            return results
        if (
            place not in self.calls and len(self.calls) >= PLACES
        ):  # as of what is written into memory that comes and goes
            return self.function(*tensors)
        self.calls[place] += 1
        if self.calls[place] <= WARM:
            return self._beside(tensors)
        try:
            return self._capture(place, tensors)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            log.info("goes on without a CUDA graph: %s", reason)
            self.works = False
            self.forget()
        return self.function(*tensors)

    def forget(self) -> None:
        """Lets go of all graphs and their memory."""
        if self.captured:
            torch.cuda.synchronize()
        self.captured.clear()
        self.calls.clear()

    def _beside(self, tensors: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Called on another stream than the usual one, as a capture is."""
        usual, self.stream = torch.cuda.current_stream(), self.stream or torch.cuda.Stream()
        self.stream.wait_stream(usual)
        with torch.cuda.stream(self.stream):
            results = self.function(*tensors)
        usual.wait_stream(self.stream)
        for result in results:
            if result is not None:
                result.record_stream(usual)
        return results

    def _capture(self, place: tuple[int, ...], tensors: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Raises RuntimeError, with all as it was: it cannot be captured, or a replay differs."""
        if len(self.captured) >= MOST:
            self.forget()
        written, rest = tensors[: self.written], tensors[self.written :]
        before = [tensor.clone() for tensor in written]
        inputs = [Input(tensor) for tensor in rest]
        graph = torch.cuda.CUDAGraph()
        # other threads may use the GPU meanwhile
        with _restored(), torch.cuda.graph(graph, capture_error_mode="thread_local"):
            results = self.function(*written, *(one.read for one in inputs))
        drawn = torch.cuda.get_rng_state()
        graph.replay()
        torch.cuda.set_rng_state(drawn)  # the function draws the same numbers
        after = [tensor.clone() for tensor in before]
        expected = self.function(*after, *rest)
        if not all(map(close, (*results, *written), (*expected, *after))):
            torch.cuda.set_rng_state(drawn)
            for tensor, former in zip(written, before, strict=True):
                tensor.copy_(former)
            raise RuntimeError("its replay differs from the function itself")
        self.captured[place] = Captured(graph, inputs, results)
        return results


@contextmanager
def _restored() -> Iterator[None]:
    """A capture that fails leaves its stream the current one, and the generator in its state of a capture."""
    stream, generator = torch.cuda.current_stream(), torch.cuda.default_generators[torch.cuda.current_device()]
    state = generator.clone_state()
    try:
        yield
    except BaseException:
        torch.cuda.set_stream(stream)
        generator.graphsafe_set_state(state)
        raise


def captured(function: Function, written: int, device: torch.device) -> Function:
    """The function, `Graphed` where that is possible."""
    return Graphed(function, written) if device.type == "cuda" and written else function


def once(tensor: Tensor) -> Tensor:
    """Each entry once: what was expanded is of size 1 again."""
    for dim, (size, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)):
        if stride == 0 and size > 1:
            tensor = tensor.narrow(dim, 0, 1)
    return tensor


def close(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    if not one.is_floating_point():
        return torch.equal(one, other)
    largest = other.nan_to_num(0, 0, 0).abs().amax().item() if other.numel() else 0.0
    return torch.allclose(one, other, rtol=0, atol=CLOSE * largest, equal_nan=True)
