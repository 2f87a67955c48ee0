"""The fuzz targets without their engine: no seed, and none of some thousand mutations of it, shows a fault."""

import contextlib
import json
import random
import re

import pytest
from fuzz import targets
from fuzz.mutators import mutate_json
from fuzz.seeds import seeds
from fuzz.targets import TARGETS

from mbom import strictjson
from mbom.errors import FormatError
from mbom.tensorfile import Header, TensorInfo, parse_header

SEEDS = seeds()
ROUNDS = {"template": 300, "inventory": 500}


def mutated(chance: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Change a few bytes: flipped, replaced, cut out, doubled, or taken from another seed."""
    found = bytearray(data)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(found) + 1)
        length = chance.randrange(1, 9)
        match chance.randrange(5):
            case 0 if at < len(found):
                found[at] ^= 1 << chance.randrange(8)
            case 1:
                found[at:at] = bytes([chance.randrange(256)])
            case 2:
                del found[at : at + length]
            case 3:
                found[at:at] = found[at : at + length]
            case _:
                other = chance.choice(others)
                start = chance.randrange(len(other) + 1)
                found[at : at + length] = other[start : start + length]
    return bytes(found)


def test_every_target_has_seeds() -> None:
    assert SEEDS.keys() == TARGETS.keys()
    assert all(SEEDS.values())


@pytest.mark.parametrize("name", TARGETS)
def test_no_seed_shows_a_fault(name: str) -> None:
    for data in SEEDS[name]:
        TARGETS[name].run(data)


@pytest.mark.parametrize("name", TARGETS)
def test_no_mutation_of_a_seed_shows_a_fault(name: str) -> None:
    chance = random.Random(name)
    small = [data for data in SEEDS[name] if len(data) <= TARGETS[name].longest]
    assert small, "no seed is short enough to be mutated"
    for _ in range(ROUNDS.get(name, 1000)):
        TARGETS[name].run(mutated(chance, chance.choice(small), small))


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.document is not None])
def test_no_mutation_of_a_document_shows_a_fault(name: str) -> None:
    prefix = TARGETS[name].document
    assert prefix is not None
    small = [data for data in SEEDS[name] if len(data) <= TARGETS[name].longest]
    changed = 0
    for seed in range(ROUNDS.get(name, 1000)):
        data = mutate_json(small[seed % len(small)], seed, prefix=prefix)
        if data is not None:
            TARGETS[name].run(data)
            changed += 1
    assert changed > 100


def test_many_mutations_of_headers_are_accepted() -> None:
    first, second = (
        b'{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}',
        b'{"dtype":"F4","shape":[2],"data_offsets":[24,25]}',
    )
    document = b'\0{"a":%b,"b":%b}' % (first, second)
    accepted = 0
    for seed in range(1000):
        data = mutate_json(document, seed, prefix=1)
        assert data is not None
        head = (len(data) - 1).to_bytes(8, "little") + data[1:]
        ends = [int(end) for end in re.findall(rb'"data_offsets": \[\d+, (\d+)\]', data)]
        with contextlib.suppress(FormatError):
            accepted += bool(parse_header(head, len(head) + max(ends, default=0), "x").tensors)
    assert accepted > 150


def test_a_header_that_only_we_accept_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    document = b'{"a":{"dtype":"NONE","shape":[1],"data_offsets":[0,1]}}'

    def lax(_: bytes, size: int, __: str) -> Header:
        tensor = TensorInfo(name="a", dtype="NONE", shape=(1,), start=size - 1, end=size)
        return Header(tensors=(tensor,), metadata={}, data_start=size - 1)

    targets.header(b"\0" + document)
    monkeypatch.setattr(targets, "parse_header", lax)
    with pytest.raises(AssertionError, match="by safetensors not"):
        targets.header(b"\0" + document)


def test_json_that_two_readers_read_otherwise_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strictjson, "loads", lambda data, **_: json.loads(data, parse_int=float))
    with pytest.raises(AssertionError):
        targets.strict_json(b"\x80[1]")


def test_an_exception_of_another_kind_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object, **__: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr(targets, "read_index", crash)
    with pytest.raises(KeyError):
        targets.index(b"{}")


def test_a_global_that_is_not_listed_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "asked", lambda _: ({"os.system"}, False))
    with pytest.raises(AssertionError, match="not listed"):
        targets.pickled(b"N.")
