"""CUDA graphs: the launches of a step recorded once, and then made as one."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

log = logging.getLogger(__name__)

Function = Callable[..., Sequence[Tensor]]
WARM = 3  # calls before the capture, in which cuBLAS and cuDNN choose and allocate
MOST = 8  # graphs of one function
CLOSE = 1e-2  # to the largest entry: how far a replay may be from the function, which may add up in another order


class Captured(NamedTuple):
    """A graph with the memory that it reads beside what it writes into, and where it leaves its results."""

    graph: Any
    inputs: list[Tensor]
    results: Sequence[Tensor]


class Graphed:
    """A function of tensors on a GPU, captured as a CUDA graph where it is called again and again.

    A graph knows addresses: there is one for each place of the tensors that the function writes into, and the others
    are copied to where the graph reads them. **The results are overwritten by the next call.** A first replay is
    compared with the function; where it differs (as with random numbers that are no function of the arguments), or
    where the capture fails (as of a function that waits for the GPU), the function is called as it is from then on.

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

    def __call__(self, *tensors: Tensor) -> Sequence[Tensor]:
        if not self.works:
            return self.function(*tensors)
        place = tuple(tensor.data_ptr() for tensor in tensors[: self.written])
        if place in self.captured:
            graph, inputs, results = self.captured[place]
            for mine, theirs in zip(inputs, tensors[self.written :], strict=True):
                mine.copy_(once(theirs), non_blocking=True)
            graph.replay()
            return results
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

    def _beside(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        """Called on another stream than the usual one, as a capture is."""
        usual, self.stream = torch.cuda.current_stream(), self.stream or torch.cuda.Stream()
        self.stream.wait_stream(usual)
        with torch.cuda.stream(self.stream):
            results = self.function(*tensors)
        usual.wait_stream(self.stream)
        for result in results:
            result.record_stream(usual)
        return results

    def _capture(self, place: tuple[int, ...], tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        """Raises RuntimeError, with all tensors as they were: it cannot be captured, or a replay differs."""
        if len(self.captured) >= MOST:
            self.forget()
        written, rest = tensors[: self.written], tensors[self.written :]
        before = [tensor.clone() for tensor in written]
        inputs = [once(tensor).clone() for tensor in rest]
        read = [mine.expand(tensor.shape) for mine, tensor in zip(inputs, rest, strict=True)]
        graph, generator = torch.cuda.CUDAGraph(), torch.cuda.default_generators[torch.cuda.current_device()]
        usual, state = torch.cuda.current_stream(), generator.clone_state()
        try:
            # other threads may use the GPU meanwhile
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                results = self.function(*written, *read)
        except RuntimeError:
            # torch leaves both as they are in a capture
            torch.cuda.set_stream(usual)
            generator.graphsafe_set_state(state)
            raise
        graph.replay()
        after = [tensor.clone() for tensor in before]
        expected = self.function(*after, *rest)
        if not all(map(close, (*results, *written), (*expected, *after))):
            for tensor, former in zip(written, before, strict=True):
                tensor.copy_(former)
            raise RuntimeError("its replay differs from the function itself")
        self.captured[place] = Captured(graph, inputs, results)
        return results


def captured(function: Function, written: int, device: torch.device) -> Function:
    """The function, `Graphed` where that is possible."""
    return Graphed(function, written) if device.type == "cuda" and written else function


def once(tensor: Tensor) -> Tensor:
    """Each entry once: what was expanded is of size 1 again."""
    for dim, (size, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)):
        if stride == 0 and size > 1:
            tensor = tensor.narrow(dim, 0, 1)
    return tensor


def close(one: Tensor, other: Tensor) -> bool:
    if not one.is_floating_point():
        return torch.equal(one, other)
    largest = other.nan_to_num(0, 0, 0).abs().amax().item() if other.numel() else 0.0
    return torch.allclose(one, other, rtol=0, atol=CLOSE * largest, equal_nan=True)
