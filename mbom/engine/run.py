"""The measurement itself, as it runs in the child process: from a request in JSON to the two files of a record."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from mbom.behaviour.coverage import Coverage
from mbom.behaviour.numbers import Numbers
from mbom.behaviour.projection import FIXED, challenge_key
from mbom.behaviour.prompts import Prompt
from mbom.behaviour.record import Record, summarise
from mbom.behaviour.sketches import Sketched
from mbom.engine import head, stock
from mbom.engine.budget import confine
from mbom.engine.checkpoint import Checkpoint
from mbom.engine.conversion import Conversion
from mbom.engine.encodings import description, weights
from mbom.engine.machine import runtime
from mbom.engine.plan import plan
from mbom.engine.reporting import Reporter
from mbom.engine.sensitivity import choose
from mbom.engine.sidefiles import TOKENIZER, TOKENIZER_LIMIT, bound, configuration
from mbom.engine.sketch import Sketches
from mbom.engine.state import State
from mbom.engine.stream import StreamedModel
from mbom.engine.taps import Taps
from mbom.errors import EngineError, FormatError
from mbom.inventory.record import Inventory
from mbom.strictjson import Fields, Json

Emit = Callable[[Json], None]


def in_child(request: dict[str, Json], emit: Emit) -> Json:
    """Measure the checkpoint of ``request`` and write its record.

    Args:
        request: ``files`` (name to path), ``inventory`` (path), ``prompts``, ``device``, ``json`` and ``safetensors``
            (paths to write), ``challenge`` (a nonce or null), ``sensitivity`` (number of trials), ``state`` (``folder``
            and ``interval`` of ``mbom.engine.state.State``, or null), ``isolation`` (what the child has given up), and
            if this process may be confined to it, ``memory`` (see ``mbom.engine.budget.confine``).
        emit: takes a report after each step.

    Raises:
        EngineError: when the model cannot be run here.
        RefusedError: when a file is not what the inventory says, or contradicts another.
    """
    fields = Fields(request, "request")
    listed = fields.object("files")
    inventory = Inventory.from_bytes(Path(fields.text("inventory")).read_bytes())
    files = {file.name: Path(listed.text(file.name)) for file in inventory.files if listed.has(file.name)}
    device = chosen_device(fields.text("device"))
    memory = fields.object("memory") if fields.has("memory") else None
    if memory is not None and device.type == "cpu":
        confine(memory)
    record = measured(
        files,
        inventory,
        tuple(_prompt(entry) for entry in fields.objects("prompts")),
        challenge=fields.optional_text("challenge"),
        sensitivity=fields.integer("sensitivity"),
        state=_state(fields.object("state")) if fields.has("state") else None,
        device=device,
        isolation=fields.texts("isolation"),
        emit=emit,
    )
    Path(fields.text("json")).write_bytes(record.to_json())
    Path(fields.text("safetensors")).write_bytes(record.to_safetensors())
    fields.end()
    return None


def measured(
    files: dict[str, Path],
    inventory: Inventory,
    prompts: tuple[Prompt, ...],
    *,
    challenge: str | None = None,
    sensitivity: int = 0,
    state: State | None = None,
    device: torch.device,
    isolation: tuple[str, ...],
    emit: Emit,
) -> Record:
    """Run every prompt through the checkpoint once and return the record of what it computed.

    With a ``state``, go on where an earlier run left off, and leave off so that a later one can.
    """
    config = configuration(files, inventory)
    key = FIXED if challenge is None else challenge_key(inventory.digest, challenge)
    with Checkpoint(files, inventory.tensors) as checkpoint:
        built = stock.build(config, tensors=len(inventory.tensors), device=device)
        conversion = Conversion(built)
        values = weights(checkpoint.records, description(config, files, inventory))
        planned = plan(built, conversion, values, checkpoint.records)
        trials = choose(planned, checkpoint.records, count=sensitivity, model_digest=inventory.digest)
        model = StreamedModel(built, conversion, planned, checkpoint, device, sketches=Sketches(key=key), trials=trials)
        ids, taps = _batch(prompts, key, built.vocabulary)
        if not built.resumable:
            state = None
        done = state.take_up(model, taps, checkpoint) if state is not None else None
        before = checkpoint.bytes_read
        reporter = Reporter(
            emit,
            counts=lambda: (checkpoint.bytes_read - before, model.experts_read),
            experts=model.experts,
            bytes_total=model.bytes_to_read,
            bytes_before=before,
        )
        model.on_read = reporter.tick

        def on_layer(index: int, hidden: torch.Tensor) -> None:
            taps.on_layer(index, hidden)
            reporter.step("layer", index + 1, len(built.layers))
            if state is not None:
                state.keep(index + 1, hidden, model, taps, checkpoint)

        reporter.step("layer", done.layers if done is not None else 0, len(built.layers))
        with taps.routers(built, model.mode):
            hidden = model.residual(ids, on_layer, done=done)
        reporter.step("output head", 0, 1)
        rows = hidden.flatten(0, 1)[taps.positions.to(hidden.device)]  # (N, H)
        logits = head.logits(rows, model.head_rows(), built.vocabulary, key=key, softcap=built.softcap)
        reporter.step("output head", 1, 1)
        reporter.step("unused tensors", 0, 1)
        unused = model.read_unused()
        unread = next(checkpoint.unread(), None)
        assert unread is None, f"{unread} was not read"
        reporter.step("unused tensors", 1, 1)
        sketched, numbers = _numbers(model, logits, taps)
        coverage = Coverage.of(
            prompts,
            numbers,
            experts=model.experts,
            vocabulary=built.vocabulary,
            tensors_read=len(checkpoint.passes),
            tensors_not_executed=unused,
        )
    return Record(
        model_digest=inventory.digest,
        prompts=prompts,
        runtime=runtime(device, isolation),
        coverage=coverage,
        weights=sketched,
        embedding=built.embedding,
        head=None if planned.head is planned.embedding else built.head,
        numbers=numbers,
        summaries=summarise(prompts, numbers, _decoder(files, inventory, prompts)),
        sensitivity=model.sketches.flips(),
        challenge=challenge,
    )


def chosen_device(name: str) -> torch.device:
    """Return the device that "auto", "cpu" or "cuda" stands for on this machine.

    Raises:
        EngineError: when it is not there.
    """
    present = torch.cuda.is_available()
    if name == "cuda" and not present:
        raise EngineError("there is no CUDA device that this torch can use; run on the CPU instead")
    if name not in ("auto", "cpu", "cuda"):
        raise EngineError(f"the device {name!r} is none of auto, cpu, cuda")
    return torch.device("cuda" if name != "cpu" and present else "cpu")


def _prompt(fields: Fields) -> Prompt:
    """Read a prompt of the request; the record's reader checks what it says."""
    kind, variant = fields.text("kind"), fields.optional_text("variant")
    prompt = Prompt(
        id=fields.text("id"),
        kind=kind,  # type: ignore[arg-type]
        variant=variant,  # type: ignore[arg-type]
        token_ids=fields.integers("token_ids"),
    )
    fields.end()
    return prompt


def _batch(prompts: tuple[Prompt, ...], key: bytes, vocabulary: int) -> tuple[torch.Tensor, Taps]:
    """Return (prompts, positions) token ids, and the taps for what is no padding."""
    lengths = [len(prompt.token_ids) for prompt in prompts]
    width = max(lengths, default=0)
    if min(lengths, default=0) == 0:
        raise EngineError("a prompt without tokens cannot be run")
    ids = torch.zeros((len(prompts), width), dtype=torch.int64)  # padded on the right with whatever token 0 is
    for row, prompt in enumerate(prompts):
        ids[row, : lengths[row]] = torch.tensor(prompt.token_ids)
    if int(ids.max()) >= vocabulary:
        raise FormatError(f"a prompt has token {int(ids.max())}, the embedding has {vocabulary} rows")
    real = torch.arange(width) < torch.tensor(lengths).unsqueeze(1)  # (prompts, width)
    return ids, Taps(positions=real.flatten().nonzero().squeeze(1), key=key)


def _state(fields: Fields) -> State:
    state = State(folder=Path(fields.text("folder")), interval=fields.number("interval"))
    fields.end()
    return state


def _numbers(model: StreamedModel, logits: head.Logits, taps: Taps) -> tuple[tuple[Sketched, ...], Numbers]:
    """Put tensors into the record's arrays, with the list of weights that the sketches are of."""
    count = len(taps.positions)
    sketched, sketches = model.sketches.collected()
    rows = model.sketches.rows
    choices = taps.choices
    logprobs = logits.top - logits.logsumexp.unsqueeze(1)
    numbers = Numbers(
        top_ids=logits.top_ids.numpy().astype(np.int32),
        top_logprobs=logprobs.numpy(),
        logsumexp=logits.logsumexp.numpy(),
        logits_projection=logits.projection.numpy(),
        residual_projection=torch.stack(taps.residual).numpy(),
        router_layers=np.array([choice.layer for choice in choices], dtype=np.int32),
        router_ids=np.stack([choice.experts.numpy().astype(np.uint16) for choice in choices])
        if choices
        else np.empty((0, count, 0), dtype=np.uint16),
        router_margin=np.stack([choice.margin.numpy() for choice in choices])
        if choices
        else np.empty((0, count), dtype=np.float64),
        sketches=sketches,
        embedding_rows=rows[model.stock.embedding],
        head_rows=rows.get(model.stock.head, np.empty(0)),
    )
    return sketched, numbers


def _decoder(files: dict[str, Path], inventory: Inventory, prompts: tuple[Prompt, ...]) -> Callable[[int], str | None]:
    """Return what turns a token id into text for people; seeded prompts mean that there is no tokenizer."""
    if TOKENIZER not in files or any(prompt.kind == "seeded" for prompt in prompts):
        return lambda _token: None
    tokenizer = Tokenizer.from_buffer(bound(files, inventory, TOKENIZER, TOKENIZER_LIMIT))

    def decode(token: int) -> str | None:
        text = tokenizer.decode([token], skip_special_tokens=False)
        return text if isinstance(text, str) and text else None

    return decode
