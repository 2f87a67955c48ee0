"""The predicate of mbom's own statement: which model, which tool, when, and the digest of all other evidence."""

from dataclasses import dataclass
from datetime import UTC, datetime

from mbom.errors import FormatError
from mbom.inventory.record import model_object, read_model
from mbom.source import Origin
from mbom.strictjson import Fields, Json

PREDICATE_TYPE = "urn:mbom:attestation:v1"
BOM_PREDICATE_TYPE = "https://cyclonedx.org/bom"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Another member of the bundle: its name there, the SHA-256 of its bytes, its media type."""

    name: str
    sha256: str
    media_type: str


@dataclass(frozen=True, kw_only=True)
class Attestation:
    """What the attester claims in one place; the subjects of the statement are the files of the checkpoint.

    ``time`` is the attester's own clock in UTC, to the second: a claim, not a proof.
    """

    origin: Origin
    model_digest: str
    tool_version: str
    time: datetime
    evidence: tuple[Evidence, ...]

    def to_dict(self) -> dict[str, Json]:
        """Return the predicate as JSON."""
        return {
            "model": model_object(self.origin, self.model_digest),
            "tool": {"name": "mbom", "version": self.tool_version},
            "time": format_time(self.time),
            "evidence": [
                {"name": item.name, "sha256": item.sha256, "mediaType": item.media_type} for item in self.evidence
            ],
        }

    @classmethod
    def from_dict(cls, value: Json) -> "Attestation":
        """Read the predicate strictly.

        Raises:
            FormatError: on anything missing, unknown, doubled or of the wrong type.
        """
        fields = Fields(value, "attestation")
        origin, digest = read_model(fields.object("model"))
        tool = fields.object("tool")
        tool.constant("name", "mbom")
        version = tool.text("version")
        tool.end()
        time = parse_time(fields.text("time"), "attestation: 'time'")
        evidence = []
        for item in fields.objects("evidence"):
            evidence.append(Evidence(name=item.text("name"), sha256=item.sha256(), media_type=item.text("mediaType")))
            item.end()
        fields.end()
        if len({item.name for item in evidence}) != len(evidence):
            raise FormatError("attestation: 'evidence' names a member twice")
        return cls(origin=origin, model_digest=digest, tool_version=version, time=time, evidence=tuple(evidence))


def format_time(time: datetime) -> str:
    """Return a UTC time to the second as RFC 3339, such as ``2026-11-02T08:30:00Z``."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str, what: str) -> datetime:
    """Read what ``format_time`` writes, and nothing else.

    Raises:
        FormatError: for any other spelling.
    """
    try:
        time = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise FormatError(f"{what}: {text[:80]!r} is not a UTC time like 2026-11-02T08:30:00Z") from error
    if format_time(time) != text:
        raise FormatError(f"{what}: {text[:80]!r} is not a UTC time like 2026-11-02T08:30:00Z")
    return time
