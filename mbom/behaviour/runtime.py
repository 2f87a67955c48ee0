"""Where and with what a measurement ran."""

from dataclasses import dataclass
from typing import Literal

from mbom.errors import FormatError
from mbom.strictjson import Fields, Json

STRING_LIMIT = 200  # characters of a version or a device
THREAD_LIMIT = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Where and with what the measurement ran, as the machine says; no comparison depends on it.

    Attributes:
        device: what computed: ``cpu``, or ``cuda`` with the name of the device.
        precision: the type of every floating-point number.
        python: version of the interpreter.
        torch: version of the library, as those of transformers and tokenizers.
        transformers: version.
        tokenizers: version.
        system: the operating system's kernel, such as ``Linux``.
        system_version: its release.
        machine: the architecture, such as ``x86_64``.
        processor: the model of the CPU, ``unknown`` where the system does not tell it.
        driver: version of the CUDA device's driver; None without such a device, or where nothing tells it.
        cuda: version of CUDA that torch was built for; None without such a device.
        threads: of the CPU.
        isolation: the protections that held.
    """

    device: str
    precision: Literal["float64"] = "float64"
    python: str
    torch: str
    transformers: str
    tokenizers: str
    system: str
    system_version: str
    machine: str
    processor: str
    driver: str | None
    cuda: str | None
    threads: int
    isolation: tuple[str, ...]

    def to_dict(self) -> dict[str, Json]:
        """Return the runtime as JSON."""
        return {
            "device": self.device,
            "precision": self.precision,
            "python": self.python,
            "torch": self.torch,
            "transformers": self.transformers,
            "tokenizers": self.tokenizers,
            "system": self.system,
            "system_version": self.system_version,
            "machine": self.machine,
            "processor": self.processor,
            "driver": self.driver,
            "cuda": self.cuda,
            "threads": self.threads,
            "isolation": list(self.isolation),
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> "Runtime":
        """Read the runtime."""
        fields.constant("precision", "float64")
        runtime = cls(
            device=fields.text("device"),
            python=fields.text("python"),
            torch=fields.text("torch"),
            transformers=fields.text("transformers"),
            tokenizers=fields.text("tokenizers"),
            system=fields.text("system"),
            system_version=fields.text("system_version"),
            machine=fields.text("machine"),
            processor=fields.text("processor"),
            driver=fields.text_or_null("driver"),
            cuda=fields.text_or_null("cuda"),
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
    texts = [value for value in vars(runtime).values() if isinstance(value, str)]
    for text in (*texts, *runtime.isolation):
        if not 1 <= len(text) <= STRING_LIMIT or not text.isprintable():
            raise FormatError(f"{what}: runtime: {text[:80]!r} is not 1 to {STRING_LIMIT} printable characters")
    if not 1 <= runtime.threads <= THREAD_LIMIT:
        raise FormatError(f"{what}: runtime: {runtime.threads} threads")
