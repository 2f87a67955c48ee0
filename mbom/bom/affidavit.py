"""What a BOM holds on its attester's word alone, because nobody can compute it again from the checkpoint.

What the hub answered, what a comparison with a base came to, and which table named the producer: each is an input of
``build``, and can be read back from the document, so that a verifier rebuilds everything else around it.
"""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mbom.ancestry import RULE, Compared, Sketches
from mbom.bom import identity
from mbom.bom.properties import PREFIX, named
from mbom.bom.sections import producer
from mbom.bom.sections.author import Author
from mbom.errors import FormatError
from mbom.facts.lineage import NAMED_LIMIT, Lineage
from mbom.facts.producers import Producer
from mbom.inventory import Inventory
from mbom.source import Observed, Origin
from mbom.source.observed import GATES, is_moment
from mbom.strictjson import Json

UNKNOWN = "unknown"
NOT_COMPARED = "not compared"
BASE_REF = "base:"
_NOT_CHECKED = "not checked"
_UNSIGNED = "none, the base's bundle is not signed"
_FOLDER = "folder "
_HEX = r"([0-9a-f]{64})"
_RESOLVED = r"([0-9a-f]{40}), as the hub resolved it at \S{20}"
_GRANTED = {"auto": "terms must be accepted first", "manual": "the publisher decides who gets access"}
_SINGLE = ("hub:", "lineage:compared:", "lineage:verified", "lineage:revision")
_COUNTS = {
    "tensors": "tensors",
    "tensors:of-base": "base_tensors",
    "tensors:equal": "equal",
    "tensors:moved": "moved",
    "bytes": "size",
    "bytes:shared": "shared",
}
_SKETCHES = {"elements": "elements", "elements:compared": "compared", "elements:near": "near"}


@dataclass(frozen=True, kw_only=True)
class Affidavit:
    """What the attester says.

    Attributes:
        author: who stands behind the BOM; None where nobody is named.
        observed: the hub's answers; None where nobody asked.
        compared: comparisons with bases, by the name, revision and digest of the base.
        producers: who stands behind the accounts of the model and its bases, by account, where the table says.
    """

    author: Author | None = None
    observed: Observed | None = None
    compared: tuple[Compared, ...] = ()
    producers: tuple[Producer, ...] = ()

    def __post_init__(self) -> None:
        """Put comparisons and producers into the one order that they are read back in, without doubles."""
        compared = {item.model_digest: item for item in sorted(self.compared, key=_order)}
        producers = {item.account.lower(): item for item in self.producers}
        object.__setattr__(self, "compared", tuple(compared.values()))
        object.__setattr__(self, "producers", tuple(producers[name] for name in sorted(producers)))

    def producer(self, account: str | None) -> Producer | None:
        """Return who stands behind an account, where the table said."""
        return next((item for item in self.producers if account and item.account.lower() == account.lower()), None)


def _order(compared: Compared) -> tuple[str, str, str]:
    return compared.origin.repo or "", compared.origin.revision or "", compared.model_digest


def accounts(inventory: Inventory, lineage: Lineage, compared: Iterable[Compared] = ()) -> list[str | None]:
    """Return the accounts whose producers a BOM names: of the model, of its bases, and of those compared with."""
    names = [*(base.name for base in lineage.bases), *(item.origin.repo for item in compared)]
    return [identity.group(inventory.origin), *(producer.account(name) for name in names)]


def authors(author: Author | None) -> dict[str, Json]:
    """Return the part of a BOM that names its author."""
    return {} if author is None else {"metadata": {"authors": [author.to_dict()]}}


# ---- what the hub said ----


def observed(said: Observed | None) -> Iterator[tuple[str, str]]:
    """Yield the model's properties of what the hub said; nothing where nobody asked it."""
    if said is not None:
        yield "hub:gated", said.gated or UNKNOWN
        if said.gated in _GRANTED:
            yield "licence:restriction", f"gated: {_GRANTED[said.gated]} [the hub]"
        yield "hub:created", said.created or UNKNOWN
        yield "hub:last-modified", said.last_modified or UNKNOWN


def resolved(said: Observed | None, name: str, time: str) -> str:
    """Return the revision of a base model, which is the hub's word at the time of the attestation, or unknown."""
    commit = dict(said.bases).get(name) if said is not None else None
    return UNKNOWN if commit is None else f"{commit}, as the hub resolved it at {time}"


# ---- what was compared ----


def compared(item: Compared | None) -> Iterator[tuple[str, str]]:
    """Yield an ancestor's properties of what a comparison with it came to."""
    if item is None:
        yield "lineage:verified", NOT_COMPARED
        return
    yield "lineage:verified", item.outcome
    yield "lineage:verified:rule", RULE
    yield "lineage:compared:source", _source(item.origin)
    yield "lineage:compared:model-digest", item.model_digest
    yield "lineage:compared:attestation", f"sha256:{item.attestation}" if item.attestation else _UNSIGNED
    yield "lineage:compared:signature", f"verified: {item.signer}" if item.signer else _NOT_CHECKED
    yield from ((f"lineage:compared:{name}", str(vars(item)[member])) for name, member in _COUNTS.items())
    if item.sketches is not None:
        counts = vars(item.sketches)
        yield from ((f"lineage:compared:{name}", str(counts[member])) for name, member in _SKETCHES.items())
        yield "lineage:compared:distance", repr(item.sketches.distance)
        yield "lineage:compared:distance:error", repr(item.sketches.error)


def _source(origin: Origin) -> str:
    return f"{origin.repo}@{origin.revision}" if origin.repo else f"{_FOLDER}{origin.name}"


# ---- reading it back ----


def affidavit_of(document: Json) -> Affidavit:
    """Read back from a BOM what its attester said; the document is valid by the schema.

    Raises:
        FormatError: when a property has another form than ``build`` gives it.
    """
    model, ancestors = _model(document)
    commits, comparisons, producers = [], [], [producer.read(model)]
    for ancestor in ancestors:
        fields = _Properties(ancestor)
        commit = fields.commit()
        ref = ancestor.get("bom-ref")
        if commit is not None and isinstance(ref, str):
            commits.append((ref.removeprefix(BASE_REF), commit))
        comparisons.append(fields.compared())
        producers.append(producer.read(ancestor))
    return Affidavit(
        author=Author.read(document),
        observed=_Properties(model).observed(tuple(sorted(commits))),
        compared=tuple(item for item in comparisons if item is not None),
        producers=tuple(item for item in producers if item is not None),
    )


def observed_of(document: Json) -> Observed | None:
    """Read back from a BOM what the hub said. Raises FormatError as ``affidavit_of``."""
    return affidavit_of(document).observed


def _model(document: Json) -> tuple[dict[str, Json], list[dict[str, Json]]]:
    """Return the model of a BOM and its ancestors."""
    components = document.get("components") if isinstance(document, dict) else None
    model = components[0] if isinstance(components, list) and components else None
    if not isinstance(model, dict):
        raise FormatError("the BOM has no model")
    pedigree = model.get("pedigree")
    held = pedigree.get("ancestors") if isinstance(pedigree, dict) else None
    ancestors = [item for item in held if isinstance(item, dict)] if isinstance(held, list) else []
    if len(ancestors) > 2 * NAMED_LIMIT:
        raise FormatError(f"the BOM: {len(ancestors)} ancestors, the limit is {2 * NAMED_LIMIT}")
    return model, ancestors


class _Properties:
    """The properties of one component that come from affidavit, each of them once and in its one form."""

    def __init__(self, component: dict[str, Json]) -> None:
        held = [pair for pair in named(component) if pair[0].startswith(_SINGLE)]
        self.values = dict(held)
        self.name = str(component.get("name"))[:80]
        if len(self.values) != len(held):
            raise FormatError(f"the BOM: {self.name} has a property twice that it has once")

    def text(self, name: str, pattern: str, *, otherwise: str | None = None) -> str | None:
        """Return what the parentheses of a pattern hold, or None for the one other value that is allowed."""
        value = self.values.get(name)
        if value is not None and value == otherwise:
            return None
        match = re.fullmatch(pattern, value or "", re.ASCII)
        if match is None:
            shown = "missing" if value is None else repr(value[:80])
            raise FormatError(f"the BOM: {PREFIX}{name} of {self.name} is {shown}, which mbom does not write")
        return match[1]

    def required(self, name: str, pattern: str) -> str:
        """Return what the parentheses of a pattern hold."""
        found = self.text(name, pattern)
        assert found is not None
        return found

    def count(self, name: str) -> int:
        """Return a number of up to 18 digits, none of them needless."""
        return int(self.required(name, r"(0|[1-9]\d{0,17})"))

    def estimate(self, name: str) -> float:
        """Return a number as ``repr`` writes it."""
        text = self.required(name, r"(\d{1,20}(?:\.\d{1,20})?(?:e[+-]\d{1,3})?)")
        number = float(text)
        if repr(number) != text or not math.isfinite(number):
            raise FormatError(f"the BOM: {PREFIX}{name} of {self.name} is {text}, which mbom does not write")
        return number

    def observed(self, bases: tuple[tuple[str, str], ...]) -> Observed | None:
        """Return what the model's properties say of the hub's answers; ``bases`` come from the ancestors."""
        if not any(name.startswith("hub:") for name in self.values):
            return Observed(bases=bases) if bases else None
        found = Observed(
            gated=self.text("hub:gated", f"({'|'.join(GATES)})", otherwise=UNKNOWN),
            created=self.text("hub:created", r"(\S{20})", otherwise=UNKNOWN),
            last_modified=self.text("hub:last-modified", r"(\S{20})", otherwise=UNKNOWN),
            bases=bases,
        )
        for time in (found.created, found.last_modified):
            if time is not None and not is_moment(time):
                raise FormatError(f"the BOM: the hub's time {time} is not one like 2026-11-02T08:30:00Z")
        return found

    def commit(self) -> str | None:
        """Return the commit that an ancestor's name was resolved to."""
        return self.text("lineage:revision", _RESOLVED, otherwise=UNKNOWN)

    def compared(self) -> Compared | None:
        """Return the comparison that an ancestor's properties tell of."""
        outcome = self.text("lineage:verified", "(identical|derived|not shown)", otherwise=NOT_COMPARED)
        if outcome is None:
            return None
        found = Compared(
            origin=self._origin(),
            model_digest=self.required("lineage:compared:model-digest", _HEX),
            attestation=self.text("lineage:compared:attestation", f"sha256:{_HEX}", otherwise=_UNSIGNED),
            signer=self.text("lineage:compared:signature", r"verified: ([ -~]{1,200})", otherwise=_NOT_CHECKED),
            sketches=self._sketches(),
            **{member: self.count(f"lineage:compared:{name}") for name, member in _COUNTS.items()},
        )
        if found.outcome != outcome:
            raise FormatError(f"the BOM calls {self.name} {outcome}, its own numbers say {found.outcome}")
        return found

    def _sketches(self) -> Sketches | None:
        if "lineage:compared:elements" not in self.values:
            return None
        counts = {member: self.count(f"lineage:compared:{name}") for name, member in _SKETCHES.items()}
        return Sketches(
            **counts,
            distance=self.estimate("lineage:compared:distance"),
            error=self.estimate("lineage:compared:distance:error"),
        )

    def _origin(self) -> Origin:
        folder = self.values.get("lineage:compared:source", "").removeprefix(_FOLDER)
        if self.values.get("lineage:compared:source") == _FOLDER + folder and folder:
            return Origin(kind="folder", name=folder)
        repo = self.required("lineage:compared:source", r"([^@]{3,200})@[0-9a-f]{40}")
        revision = self.required("lineage:compared:source", r"[^@]{3,200}@([0-9a-f]{40})")
        return Origin(kind="hub", name=repo.rpartition("/")[2], repo=repo, revision=revision)
