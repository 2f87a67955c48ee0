"""Where and with what a measurement ran."""

from dataclasses import dataclass
from typing import Literal

from mbom.errors import FormatError
from mbom.strictjson import Fields, Json

STRING_LIMIT = 200  # characters of a version or a device
THREAD_LIMIT = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Where and with what the measurement ran. ``isolation`` lists the protections that held."""

    device: str
    precision: Literal["float64"] = "float64"
    torch: str
    transformers: str
    tokenizers: str
    threads: int
    isolation: tuple[str, ...]

    def to_dict(self) -> dict[str, Json]:
        """Return the runtime as JSON."""
        return {
            "device": self.device,
            "precision": self.precision,
            "torch": self.torch,
            "transformers": self.transformers,
            "tokenizers": self.tokenizers,
            "threads": self.threads,
            "isolation": list(self.isolation),
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> "Runtime":
        """Read the runtime."""
        fields.constant("precision", "float64")
        runtime = cls(
            device=fields.text("device"),
            torch=fields.text("torch"),
            transformers=fields.text("transformers"),
            tokenizers=fields.text("tokenizers"),
            threads=fields.integer("threads", minimum=1),
            isolation=fields.texts("isolation"),
        )
        fields.end()
        return runtime


def check(runtime: Runtime, *, what: str) -> None:
    """Refuse what people could not read, or read in two ways.

    Raises:
        FormatError: with ``what`` as the name of the document.
    """
    texts = (runtime.device, runtime.torch, runtime.transformers, runtime.tokenizers, *runtime.isolation)
    for text in texts:
        if not 1 <= len(text) <= STRING_LIMIT or not text.isprintable():
            raise FormatError(f"{what}: runtime: {text[:80]!r} is not 1 to {STRING_LIMIT} printable characters")
    if not 1 <= runtime.threads <= THREAD_LIMIT:
        raise FormatError(f"{what}: runtime: {runtime.threads} threads")
