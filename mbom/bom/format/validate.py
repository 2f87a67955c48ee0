"""Validating anybody's BOM: strict JSON, then the schema of its version, then lint."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from mbom.bom.format.lint import problems
from mbom.bom.format.problems import Problem
from mbom.bom.format.reading import read_document
from mbom.bom.format.schema import VERSIONS, pointer, schema_errors
from mbom.errors import FormatError
from mbom.inventory.findings import plain
from mbom.strictjson import Json

PROBLEMS_LIMIT = 1000  # of one document; nobody reads more, and a hostile one could have millions


@dataclass(frozen=True, kw_only=True)
class Report:
    """What is wrong with one document.

    Attributes:
        version: of CycloneDX, as the document states it; None where it is no document at all.
        problems: in the order of the document, those of the schema first.
        cut: whether there are more than ``PROBLEMS_LIMIT``.
    """

    version: str | None
    problems: tuple[Problem, ...]
    cut: bool = False

    @property
    def valid(self) -> bool:
        """Whether nothing is wrong; there may still be advice."""
        return not any(problem.severity == "problem" for problem in self.problems)

    def to_dict(self) -> dict[str, Json]:
        """Return the report as JSON."""
        return {
            "valid": self.valid,
            "specVersion": self.version,
            "problems": [problem.to_dict() for problem in self.problems],
            "cut": self.cut,
        }


def validate_file(path: Path, now: datetime) -> Report:
    """Validate a BOM file or the BOM of a bundle.

    Args:
        path: of the file or the bundle.
        now: what is later is in the future.

    Raises:
        StorageError: when nothing can be read there.
    """
    try:
        _, document = read_document(path)
    except FormatError as error:
        return Report(version=None, problems=(Problem(id="json", pointer="", detail=str(error)),))
    return validate(document, now)


def validate(document: dict[str, Json], now: datetime) -> Report:
    """Validate what strict JSON said."""
    version = document.get("specVersion")
    if not isinstance(version, str) or version not in VERSIONS:
        known = f"{', '.join(VERSIONS[:-1])} and {VERSIONS[-1]} are checked"
        detail = f"the document is CycloneDX {plain(str(version))}; {known}, 1.5 being the first that knows models"
        found = Problem(id="version-unsupported", pointer="/specVersion", detail=detail)
        return Report(version=version if isinstance(version, str) else None, problems=(found,))
    held = [
        Problem(id=found.id, pointer=found.pointer, detail=plain(found.detail))
        for found in islice(_problems(document, version, now), PROBLEMS_LIMIT + 1)
    ]
    return Report(version=version, problems=tuple(held[:PROBLEMS_LIMIT]), cut=len(held) > PROBLEMS_LIMIT)


def is_own(document: dict[str, Json]) -> bool:
    """Tell whether a document says that mbom built it, and so owes what mbom's documents state."""
    metadata = document.get("metadata")
    tools = metadata.get("tools") if isinstance(metadata, dict) else None
    listed = tools.get("components") if isinstance(tools, dict) else None
    return any(
        isinstance(tool, dict) and tool.get("name") == "mbom" and tool.get("bom-ref") == "tool:mbom"
        for tool in (listed if isinstance(listed, list) else ())
    )


def _problems(document: dict[str, Json], version: str, now: datetime) -> Iterator[Problem]:
    for where, message in schema_errors(document, version):
        yield Problem(id="schema", pointer=pointer(where), detail=message)
    yield from problems(document, full=is_own(document), now=now)
