"""Runs a checkpoint's stock model in float64, streamed from disk, and records what it computes.

This package is the only importer of torch and transformers, and only inside the child process: importing it, and
asking whether the extra is installed, takes neither.
"""

import contextlib
import importlib.metadata
import importlib.util
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from mbom import __version__, strictjson
from mbom.behaviour.deployed import TEXT_LIMIT, Deployed
from mbom.behaviour.numbers import SIZE_LIMIT
from mbom.behaviour.projection import challenge_key
from mbom.behaviour.prompts import Prompt, challenged
from mbom.behaviour.record import JSON_LIMIT, JSON_NAME, NUMBERS_NAME, Record, check_nonce
from mbom.digest import sha256
from mbom.engine import process
from mbom.engine.budget import Budget, available_memory
from mbom.engine.reporting import MeasureProgress
from mbom.engine.sidefiles import configuration, content, vocabulary
from mbom.errors import BusyError, EngineError, FormatError, StorageError
from mbom.inventory.record import Inventory
from mbom.storage import locks
from mbom.strictjson import Fields, Json

__all__ = ["TRANSFORMERS", "Device", "Measure", "MeasureProgress", "Measurement", "available", "measure"]

Device = Literal["auto", "cpu", "cuda"]

TRANSFORMERS = "5.23.0"  # the one version whose interfaces ``mbom.engine.stock`` was written against
STATE_INTERVAL = 60.0  # seconds of work that an interruption may cost, beside the layer that it interrupts
FILE_LIMIT = 2 << 30  # of a state; 2,048 positions of 16,384 numbers take 0.27 GB, four streams of 7,168 0.47 GB
_EXTRA = ("torch", "transformers", "tokenizers", "jinja2")
_INSTALL = "pip install 'mbom[engine]'"


class Measure(Protocol):
    """The behaviour pass as the verbs call it, with everything else about it already chosen."""

    def __call__(self, files: Mapping[str, Path], inventory: Inventory) -> Record:
        """Measure the checkpoint whose files are given, bound to the digests of ``inventory``."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """``measure`` with what else it takes, as attesting and verifying call it."""

    device: Device = "auto"
    challenge: str | None = None
    sensitivity: int = 0
    states: Path | None = None
    resume: bool = False
    deployed: str | None = None
    progress: Callable[[MeasureProgress], None] | None = None
    time_limit: float | None = None
    until: contextlib.ExitStack | None = None

    def __call__(self, files: Mapping[str, Path], inventory: Inventory) -> Record:
        """Measure a checkpoint."""
        return measure(
            files,
            inventory,
            device=self.device,
            challenge=self.challenge,
            sensitivity=self.sensitivity,
            states=self.states,
            resume=self.resume,
            deployed=self.deployed,
            progress=self.progress,
            time_limit=self.time_limit,
            until=self.until,
        )


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
    sensitivity: int = 0,
    states: Path | None = None,
    resume: bool = False,
    deployed: str | None = None,
    progress: Callable[[MeasureProgress], None] | None = None,
    time_limit: float | None = None,
    until: contextlib.ExitStack | None = None,
) -> Record:
    """Run a checkpoint on the fixed prompts in a child process and return what it computed.

    Args:
        files: where each file of the checkpoint lies on this machine, by name.
        inventory: the digests that the bytes must have as they are read.
        device: "auto" takes a CUDA device where there is one.
        challenge: a nonce that the tails of the prompts and all signs are drawn under; None for the fixed record.
        sensitivity: how many single weights are moved by one unit in the last place, each on trial.
        states: a folder for what an interrupted measurement came to; None keeps nothing.
        resume: go on with an interrupted measurement of the same checkpoint, if there is one.
        deployed: the narrow type of an ordinary run whose distance from the record is noted in it; see
            ``mbom.engine.deployed``. Where that cannot be done, the record says why.
        progress: called after each step, and now and then within one.
        time_limit: seconds that the pass may take, beginning with the rendered prompts.
        until: what ends when the record is where it belongs; when that ends badly, what was measured is kept for
            ``resume``. None stands for the return of this function.

    Raises:
        EngineError: when the extra is missing, or the model cannot be run here: not its kind, not in this memory, not
            in this time, or its process broke.
        RefusedError: when a file is not what the inventory says, or contradicts another; for a nonce of another form.
    """
    if challenge is not None:
        check_nonce(challenge, what="challenge")
    lack = available()
    if lack is not None:
        raise EngineError(lack)
    from mbom.engine.render import render  # noqa: PLC0415 - needs the extra

    digests = {file.name: file.sha256 for file in inventory.files}
    rows = vocabulary(files, inventory)
    prompts = render(files, rows, digests=digests)
    if challenge is not None:
        prompts = challenged(prompts, rows, challenge_key(inventory.digest, challenge))
    record = run_prompts(
        files,
        inventory,
        prompts,
        device=device,
        challenge=challenge,
        sensitivity=sensitivity,
        states=states,
        resume=resume,
        progress=progress,
        time_limit=time_limit,
        until=until,
    )
    if deployed is not None:
        told = _deployed(files, inventory, record, dtype=deployed, device=device, time_limit=time_limit)
        record = replace(record, deployed=told)
    return record


def _deployed(
    files: Mapping[str, Path],
    inventory: Inventory,
    record: Record,
    *,
    dtype: str,
    device: Device,
    time_limit: float | None,
) -> Deployed:
    """Run the ordinary path in another child process; what goes wrong there is no reason to lose the record."""
    width = max(len(prompt.token_ids) for prompt in record.prompts)
    takes = Budget.of(inventory.tensors, configuration(files, inventory), prompts=1, width=width)
    itemsize, stored = 4 if dtype == "float32" else 2, sum(tensor.end - tensor.start for tensor in inventory.tensors)
    needed, available = takes.whole_bytes(itemsize), available_memory()
    with tempfile.TemporaryDirectory(prefix="mbom-") as name:
        folder = Path(name)
        (folder / "inventory.json").write_bytes(inventory.to_bytes())
        (folder / NUMBERS_NAME).write_bytes(record.numbers.to_bytes())
        request: dict[str, Json] = {
            "files": {file: str(path.absolute()) for file, path in files.items()},
            "inventory": str(folder / "inventory.json"),
            "prompts": [list(prompt.token_ids) for prompt in record.prompts],
            "numbers": str(folder / NUMBERS_NAME),
            "dtype": dtype,
            "device": device,
            "weights": takes.weights,
            "memory": takes.whole_address_space_bytes(itemsize, stored),
        }
        # Also for CUDA: weights come through this machine's memory.
        if available is not None and needed > available:
            reason = f"the whole model in {dtype} needs about {needed / 1e9:.1f} GB, {available / 1e9:.1f} GB are there"
            return Deployed(dtype=dtype, device=device, reason=reason)
        try:
            limits = process.Limits(wall_seconds=time_limit, cpu_seconds=takes.cpu_seconds)
            answer = process.run("deployed", request, limits=limits)
            return Deployed.from_fields(Fields(answer, "the deployed process"))
        except (EngineError, FormatError) as error:
            return Deployed(dtype=dtype, device=device, reason=process.one_line(str(error))[:TEXT_LIMIT])


def run_prompts(
    files: Mapping[str, Path],
    inventory: Inventory,
    prompts: tuple[Prompt, ...],
    *,
    device: Device,
    challenge: str | None = None,
    sensitivity: int = 0,
    states: Path | None = None,
    resume: bool = False,
    interval: float = STATE_INTERVAL,
    progress: Callable[[MeasureProgress], None] | None,
    time_limit: float | None = None,
    until: contextlib.ExitStack | None = None,
) -> Record:
    """Run a checkpoint on rendered prompts in a child process, and read its record as strictly as a stranger's."""
    config, width = configuration(files, inventory), max((len(prompt.token_ids) for prompt in prompts), default=0)
    takes = Budget.of(inventory.tensors, config, prompts=len(prompts), width=width)
    with contextlib.ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="mbom-"))
        folder = Path(name)
        (folder / "inventory.json").write_bytes(inventory.to_bytes())
        request: dict[str, Json] = {
            "files": {file: str(path.absolute()) for file, path in files.items()},
            "inventory": str(folder / "inventory.json"),
            "prompts": [_entry(prompt) for prompt in prompts],
            "challenge": challenge,
            "sensitivity": sensitivity,
            "device": device,
            "state": None,
            "memory": takes.to_dict(available_memory()),
            "json": str(folder / JSON_NAME),
            "safetensors": str(folder / NUMBERS_NAME),
        }
        if states is not None:
            kept = (until or stack).enter_context(_state(states, request, inventory, resume=resume))
            if kept is not None:
                request["state"] = {"folder": str(kept.absolute()), "interval": interval}
        limits = process.Limits(wall_seconds=time_limit, cpu_seconds=takes.cpu_seconds, file_bytes=FILE_LIMIT)
        process.run("measure", request, limits=limits, progress=lambda report: _hear(report, progress))
        record = Record.from_bytes(content(folder / JSON_NAME, JSON_LIMIT), content(folder / NUMBERS_NAME, SIZE_LIMIT))
        if (record.model_digest, record.challenge, record.prompts) != (inventory.digest, challenge, prompts):
            raise EngineError("the measure process returned a record of another checkpoint or of other prompts")
    return record


@contextlib.contextmanager
def _state(states: Path, request: dict[str, Json], inventory: Inventory, *, resume: bool) -> Iterator[Path | None]:
    """Yield the folder for the state of a request, emptied unless an earlier run is to be gone on with.

    Its name is a digest of all that the numbers depend on, so that a state is never taken up by another request. It is
    deleted when the block ends well. While one run has it, another of the same request gets None and keeps no state.

    Raises:
        BusyError: when another run has the state that this one is to go on from.
        EngineError: when it cannot be made.
    """
    identity: dict[str, Json] = {name: request[name] for name in ("prompts", "challenge", "sensitivity", "device")}
    versions: dict[str, Json] = {name: importlib.metadata.version(name) for name in ("torch", "transformers")}
    identity |= {"inventory": sha256(inventory.to_bytes()), "mbom": __version__, "versions": versions}
    folder = states / sha256(strictjson.canonical(identity))
    with contextlib.ExitStack() as stack:
        if not _held(stack, folder, wanted=resume):
            yield None
            return
        try:
            if not resume and folder.exists():
                shutil.rmtree(folder)
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise EngineError(f"{folder}: no place for the state of the measurement: {error.strerror}") from error
        yield folder
        shutil.rmtree(folder, ignore_errors=True)


def _held(stack: contextlib.ExitStack, folder: Path, *, wanted: bool) -> bool:
    """Lock the folder of a state until ``stack`` ends; return False when another run has it and that is no matter."""
    busy = f"{folder}: another run is measuring the same, and goes on from there itself; measure without --resume"
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        stack.enter_context(locks.held(folder.with_suffix(".lock"), busy=busy))
    except BusyError:
        if wanted:
            raise
        return False
    except OSError as error:
        raise EngineError(f"{folder}: no place for the state of the measurement: {error.strerror}") from error
    except StorageError as error:
        raise EngineError(f"no place for the state of the measurement: {error}") from error
    return True


def _entry(prompt: Prompt) -> dict[str, Json]:
    return {"id": prompt.id, "kind": prompt.kind, "variant": prompt.variant, "token_ids": list(prompt.token_ids)}


def _hear(report: Json, progress: Callable[[MeasureProgress], None] | None) -> None:
    """Pass on what the child says of its progress.

    Raises:
        EngineError: when it says nonsense.
    """
    try:
        parsed = MeasureProgress.from_json(report, "the measure process")
    except FormatError as error:
        raise EngineError(f"broken protocol: {error}") from error
    if progress is not None:
        progress(parsed)
