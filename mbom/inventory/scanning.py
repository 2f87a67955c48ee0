"""From a source to an inventory: what to fetch, one read of every file, and what all of it says together."""

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from mbom import strictjson
from mbom.errors import RefusedError, SourceError
from mbom.inventory.content import content_findings, executable_findings
from mbom.inventory.executables import Contents
from mbom.inventory.findings import finding, ordered
from mbom.inventory.identity import Identity
from mbom.inventory.index import INDEX_FILE, Index, closure, others
from mbom.inventory.journal import Journal
from mbom.inventory.metering import Meter, Phase, ScanProgress
from mbom.inventory.naming import name_findings
from mbom.inventory.reading import Reading, read
from mbom.inventory.record import DeclaredFile, FileRecord, Inventory, TensorRecord, is_path
from mbom.inventory.roles import CODE, OTHER, WEIGHTS, role
from mbom.inventory.weights import MODEL_CONFIG, Selection, select
from mbom.source import Advertised, LocalFile, Source

# Two threads saturate two cores, and beyond four a disk or a network is the limit.
THREADS = min(4, max(2, os.cpu_count() or 2))
SIDE_LIMIT = strictjson.SIZE_LIMIT  # bytes of one side file kept in memory: nothing larger would be parsed
SIDE_TOTAL = 256 << 20  # bytes of all of them; gpt-oss has 28 MB, most of it the tokenizer


@dataclass(frozen=True, kw_only=True)
class Scan:
    """An inventory, with what later steps need of the files themselves.

    ``paths`` says where each file that was read lies. ``side`` holds the bytes of configuration, index, tokenizer,
    chat template, card, licence and policy files, taken from the same read that was hashed; a file beyond
    ``SIDE_LIMIT``, or beyond ``SIDE_TOTAL`` when those at the root are counted first, is not there. ``contents`` says
    what files could make a reader run, for those of which there is anything to say. ``identities`` tells which file it
    was that was read, and ``reused`` names those that were read by an earlier run of the same attestation.
    """

    inventory: Inventory
    paths: Mapping[str, Path]
    side: Mapping[str, bytes]
    contents: Mapping[str, Contents] = field(default_factory=dict)
    identities: Mapping[str, Identity] = field(default_factory=dict)
    reused: tuple[str, ...] = ()


def scan(
    source: Source,
    *,
    everything: bool = False,
    threads: int = THREADS,
    progress: Callable[[ScanProgress], None] | None = None,
    journal: Journal | None = None,
) -> Scan:
    """Fetch a checkpoint and read every byte of it once.

    A folder is read whole. From the hub come the files that are not weights and, unless those already give an error,
    the weights that transformers loads; other weights are ``declared``. Tensors are recorded for the loaded weights
    only. What is wrong with the checkpoint is a finding, and the inventory holds what could be read.

    Args:
        source: where the checkpoint is.
        everything: fetch other weight sets from the hub too.
        threads: how many files are read at once.
        progress: called after every chunk, from one thread at a time, though not always the same.
        journal: what an interrupted run has read already, and where this one notes what it reads.

    Raises:
        RefusedError: when a file is not what the source advertised, twice, or its name cannot be recorded.
        ChangedError: when a file changes while it is read.
        UnavailableError: when the source or the system does not give the bytes.
    """
    listing = {file.name: file for file in sorted(source.listing(), key=lambda file: file.name)}
    for name in listing:
        if not is_path(name):
            raise RefusedError(f"{name[:200]!r}: a file name that is no plain printable path; rename it")
    reader = _Reader(source, threads=threads, kept=kept(listing.values()), progress=progress, journal=journal)
    readings = reader.read([listing[name] for name in listing if role(name) != WEIGHTS], "files", tensors=())
    side = {name: reading.content for name, reading in readings.items() if reading.content is not None}
    selection = select(tuple(listing.values()), side.get(INDEX_FILE), side.get(MODEL_CONFIG))

    weights = [listing[name] for name in listing if role(name) == WEIGHTS]
    if source.origin.kind == "hub":
        doomed = any(seen.severity == "error" for seen in selection.findings)
        loaded = () if doomed else selection.loaded
        weights = [file for file in weights if everything or file.name in loaded]
    readings |= reader.read(weights, "weights", tensors=selection.loaded)
    return Scan(
        inventory=_inventory(source, listing.values(), selection, readings, side),
        paths={name: readings[name].path for name in sorted(readings)},
        side={name: side[name] for name in sorted(side)},
        contents=_contents(readings),
        identities={name: readings[name].identity for name in sorted(readings)},
        reused=tuple(sorted(journal.reused)) if journal is not None else (),
    )


def kept(listing: Collection[Advertised]) -> frozenset[str]:
    """Choose whose bytes stay in memory, the files at the root first, so that a flood below it cannot push them out."""
    kept, total = set(), 0
    for file in sorted(listing, key=lambda file: (file.name.count("/"), file.name)):
        if role(file.name) in (WEIGHTS, CODE, OTHER) or file.size > SIDE_LIMIT or total + file.size > SIDE_TOTAL:
            continue
        kept.add(file.name)
        total += file.size
    return frozenset(kept)


class _Reader:
    """Reads files as they arrive, several at a time, and holds the source to what it advertised."""

    def __init__(
        self,
        source: Source,
        *,
        threads: int,
        kept: Collection[str],
        progress: Callable[[ScanProgress], None] | None,
        journal: Journal | None,
    ) -> None:
        self._source = source
        self._threads = threads
        self._kept = kept
        self._progress = progress
        self._journal = journal

    def read(self, files: Sequence[Advertised], phase: Phase, *, tensors: Collection[str]) -> dict[str, Reading]:
        """Fetch and read ``files``, those in ``tensors`` as safetensors, and return the readings by name."""
        size = sum(file.size for file in files)
        meter = Meter(phase, files=len(files), size=size, progress=self._progress)
        readings: dict[str, Reading] = {}
        pending: list[tuple[LocalFile, Future[Reading]]] = []
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="mbom-read")
        try:
            for local in self._source.fetch([file.name for file in files]):
                pending.append((local, pool.submit(self._told, local, meter, tensors)))  # noqa: PERF401 - arrives slowly
            for local, future in pending:
                readings[local.name] = self._settled(local, future.result(), meter, tensors)
        finally:
            meter.stop()  # after an interrupt or an error, whoever still reads ends at the next chunk
            pool.shutdown(cancel_futures=True)
        if missing := [file.name for file in files if file.name not in readings]:
            raise SourceError(f"{missing[0]}: listed by the source, and not delivered")
        return readings

    def _told(self, local: LocalFile, meter: Meter, tensors: Collection[str]) -> Reading:
        """Return what the journal tells of a file, or else read it and note that."""
        if self._journal is None or local.name not in tensors:
            return self._one(local, meter, tensors)
        reading = self._journal.recall(local)
        if reading is not None:
            meter.tick(local.name, reading.size)
            meter.done(local.name)
            return reading
        opened = time.time_ns()
        reading = self._one(local, meter, tensors)
        self._journal.note(reading, opened_ns=opened)
        return reading

    def _one(self, local: LocalFile, meter: Meter, tensors: Collection[str]) -> Reading:
        reading = read(
            local,
            tensors=local.name in tensors,
            keep=local.name in self._kept,
            tick=lambda count: meter.tick(local.name, count),
        )
        meter.done(local.name)
        return reading

    def _settled(self, local: LocalFile, reading: Reading, meter: Meter, tensors: Collection[str]) -> Reading:
        """Return the reading when it is what was advertised, else fetch the file once more and insist.

        A folder of the hub's cache advertises too and has no second copy; what is wrong there becomes a finding.
        """
        if self._source.origin.kind == "folder" or contradiction(local.advertised, reading) is None:
            return reading
        again = self._source.refetch(local.name)
        reading = self._one(again, meter, tensors)
        if (wrong := contradiction(again.advertised, reading)) is not None:
            raise RefusedError(f"{local.name}: fetched twice, and not what the hub advertises: {wrong}")
        return reading


def contradiction(advertised: Advertised, reading: Reading) -> str | None:
    """Say how a file differs from what was advertised; the git blob id counts only where no SHA-256 is given."""
    pairs = [("size", advertised.size, reading.size), ("sha256", advertised.sha256, reading.sha256)]
    if advertised.sha256 is None:
        pairs.append(("git blob", advertised.git_blob, reading.git_blob))
    for what, promised, found in pairs:
        if promised is not None and promised != found:
            return f"{what} {found}, advertised {promised}"
    return None


def _inventory(
    source: Source,
    listing: Collection[Advertised],
    selection: Selection,
    readings: Mapping[str, Reading],
    side: Mapping[str, bytes],
) -> Inventory:
    """Put together what the names, the indexes and the contents say."""
    found = [*selection.findings, *name_findings(file.name for file in listing), *others(side)]
    for file in listing:
        if (reading := readings.get(file.name)) is not None:
            found.extend(content_findings(reading))
            if (wrong := contradiction(file, reading)) is not None:
                found.append(finding("digest-mismatch", file.name, wrong))
    found.extend(executable_findings(_contents(readings)))
    headers = {name: reading.header for name, reading in readings.items() if reading.header is not None}
    if selection.index is not None:
        found.extend(closure(selection.index, headers))
    return Inventory(
        origin=source.origin,
        files=tuple(
            FileRecord(name=reading.name, size=reading.size, sha256=reading.sha256, role=role(reading.name))
            for reading in (readings[name] for name in sorted(readings))
        ),
        tensors=_tensors(readings, selection.index),
        declared=tuple(
            DeclaredFile(name=file.name, size=file.size, sha256=file.sha256, git_blob=file.git_blob)
            for file in listing
            if file.name not in readings
        ),
        findings=ordered(found),
    )


def _contents(readings: Mapping[str, Reading]) -> dict[str, Contents]:
    return {name: readings[name].contents for name in sorted(readings) if readings[name].contents != Contents()}


def _tensors(readings: Mapping[str, Reading], index: Index | None) -> tuple[TensorRecord, ...]:
    """Return the tensors by name; of one that lies in two shards, which is a finding, that which the index means."""
    places = index.weight_map if index is not None else {}
    chosen: dict[str, TensorRecord] = {}
    for name, reading in sorted(readings.items()):
        for tensor, digest in zip(reading.header.tensors if reading.header else (), reading.blake3, strict=True):
            if tensor.name not in chosen or places.get(tensor.name) == name:
                chosen[tensor.name] = TensorRecord.of(name, tensor, digest)
    return tuple(chosen[name] for name in sorted(chosen))
