"""Two ways of running stock modules: in float64 throughout, and without memory for their parameters.

Model code asks for narrow floats by name (``x.to(torch.float32)``, ``softmax(dtype=torch.float32)``). A dispatch mode
sees every operation below autograd and can change what was asked for; what comes out is checked, not trusted.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from mbom.errors import EngineError

Observer = Callable[[torch.Tensor, int], None]


def _narrow(value: object) -> bool:
    return isinstance(value, torch.dtype) and value.is_floating_point and value != torch.float64


class Float64(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch annotates its subclass hook in part
    """Runs every operation in float64: requests for narrower floats are rewritten, narrower results are an error.

    Attributes:
        on_topk: called with the scores and k of every top-k selection, where set.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.on_topk: Observer | None = None
        self._paused = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave operations alone: stored weights are narrow until they have been decoded."""
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = before

    def __torch_dispatch__(
        self, func: OpOverload, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> object:
        """Run one operation."""
        kwargs = kwargs or {}
        if self._paused:
            return func(*args, **kwargs)
        args = tuple(torch.float64 if _narrow(arg) else arg for arg in args)
        kwargs = {name: torch.float64 if _narrow(value) else value for name, value in kwargs.items()}
        if self.on_topk is not None and func is torch.ops.aten.topk.default:
            with self.paused():
                self.on_topk(args[0], args[1])
        result = func(*args, **kwargs)
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, torch.Tensor) and (_narrow(value.dtype) or value.dtype.is_complex):
                raise EngineError(f"the operation {func} computed in {value.dtype}, not in float64")
        return result


class Skeleton(Float64):  # type: ignore[no-untyped-call]  # as above
    """Builds modules whose parameters take no memory, while constants are computed in float64 on the CPU.

    Uninitialised memory, which is how parameters begin, becomes one NaN seen through strides of zero; writes to it
    (random initialisation) do nothing. Everything that is computed, such as rotary frequencies, is computed.
    """

    def __torch_dispatch__(
        self, func: OpOverload, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> object:
        """Run one operation, or pretend to."""
        if func is torch.ops.aten.empty.memory_format:
            dtype = (kwargs or {}).get("dtype") or torch.get_default_dtype()
            if dtype.is_floating_point:
                return placeholder(args[0], torch.device("cpu"))
        if func._schema.is_mutable and args and isinstance(args[0], torch.Tensor) and _is_placeholder(args[0]):  # noqa: SLF001 - the only way to ask
            return args[0]
        return super().__torch_dispatch__(func, types, args, kwargs)


def placeholder(shape: torch.Size | tuple[int, ...] | list[int], device: torch.device) -> torch.Tensor:
    """Return NaN in the given shape, in the memory of one number: a weight used unread shows in every result."""
    return torch.full((), float("nan"), dtype=torch.float64, device=device).expand(shape)


def _is_placeholder(value: torch.Tensor) -> bool:
    return value.numel() > 1 and not any(value.stride())
