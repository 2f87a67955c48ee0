"""How much memory and processor time measuring a checkpoint may take, from its tensor table alone.

Two kinds of number come from the same arithmetic. What is *needed* is an estimate, for a sentence before the work
begins instead of a process killed in the middle of it. What is *allowed* is several times that, so that an honest
checkpoint always passes, and still a bound: it grows only with tensors, and tensors are bytes that the publisher had to
supply. Of ``config.json`` a number counts at most as far as a tensor's side bears it out.

Shapes of the forward pass that the terms below follow: one layer's dense weights and one expert are held in float64;
the embedding and the output head go by blocks of rows; all prompts pass a layer together, and the scores of attention
are computed prompt by prompt.
"""

import math
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mbom.engine import child
from mbom.errors import EngineError
from mbom.facts.members import Members
from mbom.facts.packing import logical_elements
from mbom.inventory.record import TensorRecord
from mbom.strictjson import Fields, Json

FLOAT = 8  # bytes of a float64

# Memory that does not depend on the checkpoint, in bytes.
START_BYTES = 512 << 20  # the interpreter with torch and transformers has 0.4 GB resident before the first weight
LATER_BYTES = 2 << 30  # address space of libraries that load late, buffers of readers, the allocator's slack
THREAD_BYTES = 160 << 20  # address space of one thread: a stack of 8 MiB, and two heaps of 64 MiB that glibc reserves
READER_THREADS = 8  # beyond those that compute, of which there is one for each processor

# Copies that live at once, as they are written in stock classes; the peak that was measured lay at half the sum.
STREAM_COPIES = 4  # of the residual stream: before, after and within a norm, and sums of them
INNER_COPIES = 3  # of the widest activation inside a layer: gate, up, their product; query, key, value
SCORE_COPIES = 3  # of the attention scores of one prompt: before and after mask and softmax
SCAN_COPIES = 3  # of heads x state for each position in a state-space layer
HEAD_COPIES = 3  # of a block of logits
EXPERT_COPIES = 2  # of an expert: its tensors, and what they are merged into
HEAD_ROWS = 2048  # rows of the output head in one block; equal to ``mbom.engine.stream.HEAD_ROWS``
TOKEN_BYTES = 256  # for each row of the vocabulary: seeded signs, their seed's bits, ids
TENSOR_BYTES = 4 << 10  # for each tensor: its record, its weight, its place in the plan

WHOLE_SHARE = 125  # per cent of all weights: a shard is there twice while it is converted
WHOLE_ALLOWED = 2  # times what a whole load needs
ALLOWED = 4  # times the memory that is needed: the next layer is read while one computes, and estimates are estimates

# Processor time. Rates are of one slow core, ten or more times below what was measured on a fast one, because threads
# that share a memory bus burn time without computing.
START_SECONDS = 900  # imports, building the model, prompts, the record
TENSOR_SECONDS = 0.02  # for each tensor: planning and merging
READ_RATE = 100e6  # bytes a second: reading and hashing
WEIGHT_RATE = 1e6  # weights a second: dequantising, sketches
PRODUCT_RATE = 2e9  # multiplications and additions a second in float64

_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks?)\.(\d{1,6})\.")
_EXPERT = re.compile(r"\.experts\.(\d{1,6})\.")
_ASIDE = frozenset({"vision_tower", "vision_model", "visual", "audio_tower", "audio_model", "mtp"})


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What measuring one checkpoint takes; memory in bytes.

    Attributes:
        layer_bytes: the dense weights of the largest layer in float64, and its largest tensor as it is stored.
        expert_bytes: the largest expert, likewise.
        activation_bytes: what a layer computes for all positions.
        end_bytes: the embedding's rows and blocks of the output head, with their logits.
        table_bytes: what is kept for each tensor.
        cpu_seconds: the processor time that is allowed, of all threads.
        weights: values of all tensors, packed ones unpacked.
    """

    layer_bytes: int
    expert_bytes: int
    activation_bytes: int
    end_bytes: int
    table_bytes: int
    cpu_seconds: int
    weights: int

    @classmethod
    def of(
        cls, tensors: Sequence[TensorRecord], config: Mapping[str, Json], *, prompts: int, width: int, passes: int = 1
    ) -> "Budget":
        """Work out what measuring a checkpoint takes.

        Args:
            tensors: its tensor table.
            config: ``config.json``.
            prompts: how many prompts pass together.
            width: tokens of the longest prompt, to which the others are padded.
            passes: how often the whole checkpoint is run.
        """
        inner = config.get("text_config")
        said = Members("config.json", inner if isinstance(inner, dict) else {}, dict(config))
        # Without the packing's width, packed integers count as stored; eight weights in each is the most there is.
        weights, _, _ = logical_elements(tensors, 4)
        sizes = _Sizes(tensors, weights, layers=said.integer("num_hidden_layers", "n_layer", "num_layers"))
        positions = prompts * width
        heads, scan_heads, state = (
            min(said.integer(*names) or 0, sizes.widest)
            for names in (("num_attention_heads", "n_head"), ("mamba_num_heads",), ("ssm_state_size", "mamba_d_state"))
        )
        activations = (
            STREAM_COPIES * positions * sizes.hidden
            + INNER_COPIES * positions * sizes.widest
            + SCORE_COPIES * heads * width * width
            + SCAN_COPIES * positions * scan_heads * state
        )
        ends = (
            STREAM_COPIES * positions * sizes.hidden + HEAD_ROWS * sizes.hidden + HEAD_COPIES * positions * HEAD_ROWS
        ) * FLOAT
        products = 2 * sum(weights.values()) * positions
        stored = sum(tensor.end - tensor.start for tensor in tensors)
        seconds = stored / READ_RATE + sum(weights.values()) / WEIGHT_RATE + products / PRODUCT_RATE
        return cls(
            layer_bytes=sizes.layer,
            expert_bytes=sizes.expert,
            activation_bytes=activations * FLOAT,
            end_bytes=ends + TOKEN_BYTES * sizes.vocabulary,
            table_bytes=TENSOR_BYTES * len(tensors),
            weights=sum(weights.values()),
            cpu_seconds=START_SECONDS + math.ceil(passes * (seconds + TENSOR_SECONDS * len(tensors))),
        )

    @property
    def needed_bytes(self) -> int:
        """Memory that the whole process is expected to hold at its peak."""
        return START_BYTES + self._shaped

    def whole_bytes(self, itemsize: int) -> int:
        """Memory that a process is expected to hold that loads all weights at once, in a type of ``itemsize`` bytes."""
        return START_BYTES + WHOLE_SHARE * self.weights * itemsize // 100 + self.activation_bytes + self.end_bytes

    def whole_address_space_bytes(self, itemsize: int, stored: int) -> int:
        """Address space that is allowed to such a process beyond its imports; the loader maps ``stored`` bytes."""
        return _reserved() + stored + WHOLE_ALLOWED * self.whole_bytes(itemsize)

    @property
    def address_space_bytes(self) -> int:
        """Address space that is allowed beyond what the imports take; reserved and untouched memory counts there."""
        return _reserved() + ALLOWED * self._shaped

    @property
    def _shaped(self) -> int:
        layer = self.layer_bytes + self.expert_bytes + self.activation_bytes
        return max(layer, self.end_bytes) + self.table_bytes

    def to_dict(self, available: int | None) -> dict[str, Json]:
        """Return what ``confine`` reads in the child."""
        return {
            "needed": self.needed_bytes,
            "layer": self.layer_bytes,
            "allowed": self.address_space_bytes,
            "available": available,
        }


class _Sizes:
    """The largest of everything in a tensor table; layer and expert in bytes, the others in elements of a side."""

    def __init__(self, tensors: Sequence[TensorRecord], weights: Mapping[str, int], *, layers: int | None) -> None:
        dense: defaultdict[str, int] = defaultdict(int)
        experts: defaultdict[str, int] = defaultdict(int)
        self.stored = self.widest = self.hidden = self.vocabulary = 0
        for tensor in tensors:
            match = _LAYER.search(tensor.name)
            beyond = match is not None and layers is not None and int(match[1]) >= layers
            if beyond or not _ASIDE.isdisjoint(tensor.name.split(".")):
                continue  # read, but not run: no more than a buffer of it is ever held
            if match is None:
                self._end(tensor)
                continue
            self.widest = max(self.widest, *_sides(tensor), 0)
            layer, stored, values = tensor.name[: match.end()], tensor.end - tensor.start, FLOAT * weights[tensor.name]
            if number := _EXPERT.search(tensor.name):
                experts[tensor.name[: number.end()]] += values
            elif ".experts." in tensor.name and len(tensor.shape) > 2:
                # All experts of a layer in one tensor, of which one is held at a time.
                stored //= max(tensor.shape[0], 1)
                experts[layer] += values // max(tensor.shape[0], 1)
            else:
                dense[layer] += values
            self.stored = max(self.stored, stored)
        self.layer = max(dense.values(), default=0) + self.stored
        self.expert = EXPERT_COPIES * max(experts.values(), default=0)

    def _end(self, tensor: TensorRecord) -> None:
        """Take in a matrix outside the layers: (vocabulary, hidden)."""
        if len(tensor.shape) == 2:
            self.hidden = max(self.hidden, tensor.shape[1])
            self.vocabulary = max(self.vocabulary, tensor.shape[0])


def _sides(tensor: TensorRecord) -> tuple[int, ...]:
    """Return the sides that an activation could have; a stack's first is its number of experts."""
    if len(tensor.shape) == 2 and tensor.shape[1] == 1:
        return ()  # some encodings store a matrix as one column of bytes
    return tensor.shape[1:] if len(tensor.shape) > 2 else tensor.shape


def _reserved() -> int:
    """Address space that no checkpoint needs and every process takes."""
    return LATER_BYTES + THREAD_BYTES * ((os.cpu_count() or 1) + READER_THREADS)


def available_memory() -> int | None:
    """Return the bytes of memory that a new process could have here, or None where the system does not say.

    That is what the kernel counts as available, with free swap, but no more than the control group allows.
    """
    found = []
    with suppress(OSError, ValueError):
        lines = (line.split() for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
        table = {words[0]: int(words[1]) << 10 for words in lines}
        found.append(table.get("MemAvailable:", os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")))
        found[0] += table.get("SwapFree:", 0)
    for path in _groups():
        with suppress(OSError, ValueError):  # also "max", which is no number
            found.append(int(path.read_text(encoding="ascii")))
    return min(found, default=None)


def _groups() -> tuple[Path, ...]:
    """Return the files with the limits of this process's control group and all above it; version 1 has one."""
    root = Path("/sys/fs/cgroup")
    paths = [root / "memory" / "memory.limit_in_bytes", root / "memory.max"]
    with suppress(OSError, ValueError):
        entries = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
        own = next((entry[3:] for entry in entries if entry.startswith("0::/")), "/")
        parts = Path(own).parts[1:]
        paths += [root.joinpath(*parts[: count + 1], "memory.max") for count in range(len(parts))]
    return tuple(paths)


def confine(memory: Fields) -> None:
    """Hold this process to what ``Budget.to_dict`` said; not for CUDA, which reserves far more than it uses.

    Raises:
        EngineError: when the machine has less than is needed.
    """
    needed, layer, allowed = memory.integer("needed"), memory.integer("layer"), memory.integer("allowed")
    available = memory.optional_integer("available")
    memory.end()
    if available is not None:
        if needed > available:
            raise EngineError(
                f"out of memory: measuring this checkpoint needs about {_gigabytes(needed)}, of which the largest "
                f"layer in float64 takes {_gigabytes(layer)}; {_gigabytes(available)} are available here. Use a "
                "machine with more memory, or leave the behaviour out"
            )
        allowed = min(allowed, available + _reserved())
    child.limit_memory(allowed)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
