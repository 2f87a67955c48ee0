"""Two ways of running stock modules: in float64 throughout, and without memory for their parameters.

Model code asks for narrow floats by name (``x.to(torch.float32)``, ``softmax(dtype=torch.float32)``). A dispatch mode
sees every operation below autograd and can change what was asked for; what comes out is checked, not trusted.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import torch
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from mbom.errors import EngineError

STACKED = 3  # dimensions of a parameter that holds one matrix for each expert
Observer = Callable[[torch.Tensor, int], None]


# What a request for a narrow type becomes. Types of 8 bits only store weights; no operation computes in them.
WIDE = {
    torch.float32: torch.float64, torch.bfloat16: torch.float64, torch.float16: torch.float64,
    torch.complex64: torch.complex128, torch.complex32: torch.complex128,
}  # fmt: skip
_COMPUTED = frozenset({torch.float64, torch.complex128})


def _wide(value: Any) -> Any:  # noqa: ANN401 - any argument of any operation
    return WIDE.get(value, value) if isinstance(value, torch.dtype) else value


class Float64(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch annotates its subclass hook in part
    """Runs every operation in float64: requests for narrower floats are rewritten, narrower results are an error.

    Attributes:
        on_topk: called with the scores and k of every top-k selection, where set.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.on_topk: Observer | None = None
        self._outside: list[torch.dtype] = []

    def __enter__(self) -> Self:
        """Enter the mode; what names no type (a quotient of integers) is float64 too."""
        self._outside.append(torch.get_default_dtype())
        torch.set_default_dtype(torch.float64)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the mode."""
        super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]
        torch.set_default_dtype(self._outside.pop())

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave operations alone: stored weights are narrow until they have been decoded.

        They do not pass through here at all, which would cost more than most of them do.
        """
        with torch._C._DisableTorchDispatch():  # noqa: SLF001 - the only way that costs nothing
            yield

    def __torch_dispatch__(
        self, func: OpOverload, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> object:
        """Run one operation."""
        kwargs = kwargs or {}
        args = tuple(_wide(arg) for arg in args)
        kwargs = {name: _wide(value) for name, value in kwargs.items()}
        if self.on_topk is not None and func is torch.ops.aten.topk.default:
            self.on_topk(args[0], args[1])  # no mode is active in here
        result = func(*args, **kwargs)
        for value in result if isinstance(result, tuple | list) else (result,):
            if (
                isinstance(value, torch.Tensor)
                and (value.dtype.is_floating_point or value.dtype.is_complex)
                and value.dtype not in _COMPUTED
            ):
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
        # Stacked experts of Llama 4 begin as zeros. No constant has three dimensions; one that did would show as NaN.
        if func is torch.ops.aten.zeros.default and len(args[0]) == STACKED:
            return placeholder(args[0], torch.device("cpu"))
        if func._schema.is_mutable and args and isinstance(args[0], torch.Tensor) and _is_placeholder(args[0]):  # noqa: SLF001 - the only way to ask
            return args[0]
        return super().__torch_dispatch__(func, types, args, kwargs)


def placeholder(shape: torch.Size | tuple[int, ...] | list[int], device: torch.device) -> torch.Tensor:
    """Return NaN in the given shape, in the memory of one number: a weight used unread shows in every result."""
    return torch.full((), float("nan"), dtype=torch.float64, device=device).expand(shape)


def _is_placeholder(value: torch.Tensor) -> bool:
    return value.numel() > 1 and not any(value.stride())
