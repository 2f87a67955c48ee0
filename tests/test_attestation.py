"""The predicate of mbom's statement: written, read back, and refused when it is bent."""

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mbom.attestation import Attestation, Evidence
from mbom.errors import FormatError
from mbom.source import Origin

SCHEMA = json.loads((Path(__file__).parent.parent / "schemas/attestation.schema.json").read_text())
HUB = Attestation(
    origin=Origin(kind="hub", name="tiny", repo="acme/tiny", revision="a" * 40),
    model_digest="b" * 64,
    tool_version="0.1.0",
    time=datetime(2026, 11, 2, 8, 30, tzinfo=UTC),
    evidence=(Evidence(name="bom.cdx.json", sha256="c" * 64, media_type="application/json"),),
)

BENT: dict[str, tuple[tuple[str | int, ...], Any]] = {
    "a revision that is a branch": (("model", "revision"), "main"),
    "an upper-case digest": (("model", "digest"), "B" * 64),
    "a hub model without repository": (("model", "repo"), None),
    "a folder with a revision": (("model", "source"), "folder"),
    "an unknown source": (("model", "source"), "torrent"),
    "another tool": (("tool", "name"), "mbom2"),
    "a time with an offset": (("time",), "2026-11-02T08:30:00+01:00"),
    "a time that is no time": (("time",), "2026-02-31T08:30:00Z"),
    "a short digest of evidence": (("evidence", 0, "sha256"), "cc"),
    "evidence that is no list": (("evidence",), {}),
    "an unknown member": (("note",), "trust me"),
    "an unknown member of the model": (("model", "verified"), True),
}  # fmt: skip


def set_at(document: Any, path: tuple[str | int, ...], value: Any) -> None:
    for key in path[:-1]:
        document = document[key]
    document[path[-1]] = value


def test_what_is_written_is_read_and_follows_the_schema() -> None:
    document = HUB.to_dict()
    jsonschema.validate(document, SCHEMA)
    assert Attestation.from_dict(json.loads(json.dumps(document))) == HUB


@pytest.mark.parametrize("case", BENT)
def test_a_bent_predicate_is_refused(case: str) -> None:
    path, value = BENT[case]
    document = copy.deepcopy(HUB.to_dict())
    set_at(document, path, value)
    with pytest.raises(FormatError, match="attestation"):
        Attestation.from_dict(document)
    # A date that does not exist is beyond what a pattern can say.
    if case != "a time that is no time":
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document, SCHEMA)


@pytest.mark.parametrize("member", ["model", "tool", "time", "evidence"])
def test_a_missing_member_is_named(member: str) -> None:
    document = HUB.to_dict()
    del document[member]
    with pytest.raises(FormatError, match=member):
        Attestation.from_dict(document)


def test_evidence_listed_twice_is_refused() -> None:
    document = HUB.to_dict()
    assert isinstance(document["evidence"], list)
    document["evidence"] *= 2
    with pytest.raises(FormatError, match="twice"):
        Attestation.from_dict(document)
