"""Runs a checkpoint's stock model in float64, streamed from disk, and records what it computes.

This package is the only importer of torch and transformers, and only inside the child process: importing it, and
asking whether the extra is installed, takes neither.
"""

import importlib.metadata
import importlib.util
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from mbom.behaviour.numbers import SIZE_LIMIT
from mbom.behaviour.projection import challenge_key
from mbom.behaviour.prompts import Prompt, challenged
from mbom.behaviour.record import JSON_LIMIT, JSON_NAME, NUMBERS_NAME, Record, check_nonce
from mbom.engine import process
from mbom.engine.sidefiles import CONFIG, configuration, content
from mbom.errors import EngineError, FormatError
from mbom.inventory.record import Inventory
from mbom.strictjson import Fields, Json

__all__ = ["TRANSFORMERS", "Device", "Measure", "MeasureProgress", "Measurement", "available", "measure"]

Device = Literal["auto", "cpu", "cuda"]

TRANSFORMERS = "5.23.0"  # the one version whose interfaces ``mbom.engine.stock`` was written against
_EXTRA = ("torch", "transformers", "tokenizers", "jinja2")
_INSTALL = "pip install 'mbom[engine]'"


@dataclass(frozen=True, kw_only=True)
class MeasureProgress:
    """How far a measurement is.

    Attributes:
        phase: "layers", then "output head".
        done: steps of the phase that are done.
        total: steps of the phase.
        experts_read: experts read so far, over all layers.
    """

    phase: str
    done: int
    total: int
    experts_read: int


class Measure(Protocol):
    """The behaviour pass as the verbs call it, with everything else about it already chosen."""

    def __call__(self, files: Mapping[str, Path], inventory: Inventory) -> Record:
        """Measure the checkpoint whose files are given, bound to the digests of ``inventory``."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """``measure`` with a device, a nonce and a place for its reports, as attesting and verifying call it."""

    device: Device = "auto"
    challenge: str | None = None
    progress: Callable[[MeasureProgress], None] | None = None

    def __call__(self, files: Mapping[str, Path], inventory: Inventory) -> Record:
        """Measure a checkpoint."""
        return measure(files, inventory, device=self.device, challenge=self.challenge, progress=self.progress)


def available() -> str | None:
    """Return None when a checkpoint can be run here, else a sentence that says what to do. Imports nothing heavy."""
    missing = [name for name in _EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        return f"running a checkpoint needs {', '.join(missing)}: {_INSTALL}"
    found = importlib.metadata.version("transformers")
    if found != TRANSFORMERS:
        return f"running a checkpoint needs transformers {TRANSFORMERS}, {found} is installed: {_INSTALL}"
    return None


def measure(
    files: Mapping[str, Path],
    inventory: Inventory,
    *,
    device: Device = "auto",
    challenge: str | None = None,
    progress: Callable[[MeasureProgress], None] | None = None,
) -> Record:
    """Run a checkpoint on the fixed prompts in a child process and return what it computed.

    Args:
        files: where each file of the checkpoint lies on this machine, by name.
        inventory: the digests that the bytes must have as they are read.
        device: "auto" takes a CUDA device where there is one.
        challenge: a nonce that the tails of the prompts and all signs are drawn under; None for the fixed record.
        progress: called after each step.

    Raises:
        EngineError: when the extra is missing, or the model cannot be run here.
        RefusedError: when a file is not what the inventory says, or contradicts another; for a nonce of another form.
    """
    if challenge is not None:
        check_nonce(challenge, what="challenge")
    lack = available()
    if lack is not None:
        raise EngineError(lack)
    from mbom.engine.render import render  # noqa: PLC0415 - needs the extra

    digests = {file.name: file.sha256 for file in inventory.files}
    vocabulary = _vocabulary(files, inventory)
    prompts = render(files, vocabulary, digests=digests)
    if challenge is not None:
        prompts = challenged(prompts, vocabulary, challenge_key(inventory.digest, challenge))
    return run_prompts(files, inventory, prompts, device=device, challenge=challenge, progress=progress)


def run_prompts(
    files: Mapping[str, Path],
    inventory: Inventory,
    prompts: tuple[Prompt, ...],
    *,
    device: Device,
    challenge: str | None = None,
    progress: Callable[[MeasureProgress], None] | None,
) -> Record:
    """Run a checkpoint on rendered prompts in a child process, and read its record as strictly as a stranger's."""
    with tempfile.TemporaryDirectory(prefix="mbom-") as name:
        folder = Path(name)
        (folder / "inventory.json").write_bytes(inventory.to_bytes())
        request: dict[str, Json] = {
            "files": {file: str(path.absolute()) for file, path in files.items()},
            "inventory": str(folder / "inventory.json"),
            "prompts": [_entry(prompt) for prompt in prompts],
            "challenge": challenge,
            "device": device,
            "json": str(folder / JSON_NAME),
            "safetensors": str(folder / NUMBERS_NAME),
        }
        limits = process.Limits(file_bytes=max(JSON_LIMIT, SIZE_LIMIT))
        process.run("measure", request, limits=limits, progress=lambda report: _report(report, progress))
        record = Record.from_bytes(content(folder / JSON_NAME, JSON_LIMIT), content(folder / NUMBERS_NAME, SIZE_LIMIT))
    if (record.model_digest, record.challenge, record.prompts) != (inventory.digest, challenge, prompts):
        raise EngineError("the measure process returned a record of another checkpoint or of other prompts")
    return record


def _vocabulary(files: Mapping[str, Path], inventory: Inventory) -> int:
    size = configuration(files, inventory).get("vocab_size")
    if type(size) is not int or size < 1:
        raise FormatError(f"{CONFIG}: vocab_size is {size!r}, a positive integer is allowed")
    return size


def _entry(prompt: Prompt) -> dict[str, Json]:
    return {"id": prompt.id, "kind": prompt.kind, "variant": prompt.variant, "token_ids": list(prompt.token_ids)}


def _report(report: Json, progress: Callable[[MeasureProgress], None] | None) -> None:
    """Pass on what the child says of its progress."""
    fields = Fields(report, "the measure process")
    parsed = MeasureProgress(
        phase=fields.text("phase"),
        done=fields.integer("done"),
        total=fields.integer("total"),
        experts_read=fields.integer("experts_read"),
    )
    fields.end()
    if progress is not None:
        progress(parsed)
