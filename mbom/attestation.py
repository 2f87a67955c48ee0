"""The predicate of mbom's own statement: which model, which tool, when, and the digest of all other evidence."""

from dataclasses import dataclass
from datetime import UTC, datetime

from mbom.digest import GIT_HEX
from mbom.errors import FormatError
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
            "model": {
                "source": self.origin.kind,
                "name": self.origin.name,
                "repo": self.origin.repo,
                "revision": self.origin.revision,
                "digest": self.model_digest,
            },
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
        model = fields.object("model")
        digest = model.sha256("digest")
        origin = read_origin(model)
        model.end()
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


def read_origin(model: Fields) -> Origin:
    """Take ``source``, ``name``, ``repo`` and ``revision`` from a model object and check that they agree.

    Raises:
        FormatError: for an unknown source, or a hub model without repository and 40-hex revision.
    """
    kind = model.text("source")
    name = model.text("name")
    repo = model.optional_text("repo")
    revision = model.optional_text("revision")
    if kind == "hub":
        if repo is None or revision is None or GIT_HEX.fullmatch(revision) is None:
            raise FormatError(f"{model.what}: a hub model needs a repository and a revision of 40 hex digits")
        return Origin(kind="hub", name=name, repo=repo, revision=revision)
    if kind == "folder":
        if repo is not None or revision is not None:
            raise FormatError(f"{model.what}: a folder has no repository or revision")
        return Origin(kind="folder", name=name)
    raise FormatError(f"{model.what}: 'source' is {kind[:80]!r}, only 'hub' and 'folder' are known")


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
