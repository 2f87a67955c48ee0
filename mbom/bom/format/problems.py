"""What can be wrong with a CycloneDX document: one public id for each problem, with its severity.

A *problem* makes the document wrong: whoever relies on it is misled. *Advice* is about what it could say better. Ids
are never renamed or given another meaning, because reports, policies and tests quote them.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from mbom.strictjson import Json

Severity = Literal["problem", "advice"]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """The severity of a problem and what it means, in one line for people.

    ``own`` tells whether a BOM that mbom builds must be free of it. Some advice is about what a publisher did not say
    or an operator's clock, which is no reason to give up a BOM.
    """

    severity: Severity
    meaning: str
    own: bool = True


def _problem(meaning: str) -> Kind:
    return Kind(severity="problem", meaning=meaning)


def _advice(meaning: str, *, own: bool = True) -> Kind:
    return Kind(severity="advice", meaning=meaning, own=own)


KINDS = MappingProxyType({
    "bom-ref-duplicate": _problem("Two objects have the same bom-ref, so a reference to it may mean either."),
    "citation-pointer": _problem("A citation is about a place that the document does not have."),
    "dependency-repeated": _problem("The dependencies of one object are listed in two places."),
    "digest-algorithm": _problem("A digest is of an algorithm that CycloneDX does not know."),
    "digest-contradicts": _problem("One object has two digests of the same algorithm that differ."),
    "digest-is-commit": _problem("A git commit is given as the SHA-1 of content, which nobody can check."),
    "digest-length": _problem("A digest has not the length of its algorithm."),
    "json": _problem("The file is not strict JSON, is over a limit, or is no CycloneDX document."),
    "licence-dropped": _advice("A tag or property names a licence that no licence of the component does.", own=False),
    "licence-expression": _advice("A licence expression does not parse, or names ids that SPDX does not list."),
    "licence-id-as-name": _advice("An SPDX id is given as a licence's name, where tools do not look.", own=False),
    "licence-missing": _advice("A model has no licence at all, not even a name or an unknown one.", own=False),
    "licence-unnamed": _advice("A licence is called 'other' or the like, with neither address nor text.", own=False),
    "model-card-misplaced": _problem("A modelCard stands on a component that is no model."),
    "purl-case": _problem("The purl spells a hub name in other case than the component; the hub tells them apart."),
    "purl-form": _advice("A purl is not in its canonical form, so that two spellings of it do not compare equal."),
    "purl-malformed": _problem("A purl cannot be parsed."),
    "purl-not-commit": _problem("The version of a huggingface purl is no commit of 40 digits, so content can change."),
    "purl-unversioned": _advice("A huggingface purl has no version, so it names whatever lies there today.", own=False),
    "purl-version": _problem("The purl and the component give two versions."),
    "reference-dangling": _problem("A reference names the bom-ref of nothing in the document."),
    "schema": _problem("The document breaks the schema of its version."),
    "shard-as-model": _problem("One shard of the weights is listed as a model of its own."),
    "sum-differs": _problem("Parts do not add up to what their model states."),
    "timestamp": _advice("A time lies before CycloneDX or in the future.", own=False),
    "version-unsupported": _problem("The document is of a version of CycloneDX that is not checked here."),
    "weights-missing": _advice("A model is described, and no file of its weights with a digest.", own=False),
})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One problem of one document.

    Attributes:
        id: a key of ``KINDS``.
        pointer: where, as a JSON pointer (RFC 6901); empty for the whole document.
        detail: a sentence for people; it may quote hostile text.
    """

    id: str
    pointer: str
    detail: str

    @property
    def severity(self) -> Severity:
        """Whether the document is wrong or could be better."""
        return KINDS[self.id].severity

    def __str__(self) -> str:
        """Return the place and the sentence."""
        return f"{self.pointer}: {self.detail}" if self.pointer else self.detail

    def to_dict(self) -> dict[str, Json]:
        """Return the problem as JSON."""
        return {"id": self.id, "severity": self.severity, "pointer": self.pointer, "detail": self.detail}
