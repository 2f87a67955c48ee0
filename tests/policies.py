"""Cases for policies to decide on: the bundle of the fixtures, published models, and changes made up for a test."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import boms
import shapes

from mbom import bom
from mbom.diff.changes import Behaviour, Changes, Files, RoleChange, Side, Tensors, Weights
from mbom.digest import sha256
from mbom.dossier import Dossier, read_bundle
from mbom.facts.producers import built_in
from mbom.facts.reading import read_facts
from mbom.inventory import FileRecord, Inventory
from mbom.inventory.findings import finding
from mbom.inventory.roles import role
from mbom.policy import Case, Policy
from mbom.signing import KeyVerifier
from mbom.source import Observed, Origin
from mbom.verdict import Check, Verdict
from mbom.verify import verify

FOLDER = Path(__file__).parent.parent / "fixtures" / "bundles" / "v3"
BUNDLE = FOLDER / "tiny-gpt-oss.mbom"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SIGNER = "ECDSA P-256, by the key of the fixtures"


def policy(text: str = "") -> Policy:
    """Return a policy that asks for no signature, and for what ``text`` says."""
    return Policy.from_bytes(f"version: 1\n{text}\n".encode(), folder=FOLDER)


@cache
def tiny() -> Dossier:
    """Return the bundle of the fixtures."""
    return read_bundle(BUNDLE)


@cache
def verdict() -> Verdict:
    """Return what the verification of that bundle comes to."""
    return verify(BUNDLE, verifier=KeyVerifier.load(FOLDER / "release.pub"))


@cache
def published(name: str) -> Dossier:
    """Return a model of ``fixtures/models`` as the hub has it, with one tensor alone, and without a record."""
    side, repo = boms.side_of(name), boms.REPOSITORIES[name]
    inventory = Inventory(
        origin=Origin(kind="hub", name=repo.partition("/")[2], repo=repo, revision=boms.REVISION),
        files=tuple(
            FileRecord(name=n, size=len(data), sha256=sha256(data), role=role(n)) for n, data in sorted(side.items())
        ),
        tensors=shapes.records([("model.embed_tokens.weight", "BF16", (8, 8))]),
    )
    facts = read_facts(inventory, side)[0]
    accounts = bom.accounts(inventory, facts.lineage)
    observed = Observed(gated=None, created=None, last_modified="2026-01-20T00:00:00Z", bases=())
    data = bom.build(
        inventory=inventory,
        facts=facts,
        behaviour=None,
        tool_version="1.2.3",
        created=boms.CREATED,
        said=bom.Affidavit(observed=observed, producers=built_in().among(accounts)),
    )
    return Dossier(label=name, kind="bundle", inventory=inventory, document=boms.document(data))


def of(dossier: Dossier, **others: Any) -> Case:
    """Return the case of a model that somebody signed, with no model before it."""
    told: dict[str, Any] = {
        "model": dossier.name,
        "verdict": verdict(),
        "signer": SIGNER,
        "changes": None,
        "previous": None,
        "now": NOW,
    }
    return Case(dossier=dossier, **(told | others))


def with_findings(dossier: Dossier, *found: tuple[str, str]) -> Dossier:
    """Return a model with these findings, each an id and a path, in place of its own."""
    inventory = replace(dossier.inventory, findings=tuple(finding(kind, path, "as seen") for kind, path in found))
    return replace(dossier, inventory=inventory)


def checked(**outcomes: str) -> Verdict:
    """Return the verdict of the fixture with other outcomes of some checks; ``_`` stands for ``-``."""
    told: Mapping[str, Any] = {name.replace("_", "-"): outcome for name, outcome in outcomes.items()}
    return replace(
        verdict(),
        checks=tuple(
            Check(id=item.id, outcome=told[item.id], detail="as it was found", asked=True) if item.id in told else item
            for item in verdict().checks
        ),
    )


def changes(**others: Any) -> Changes:
    """Return the change to another revision, of which nothing is said but what is given."""
    nothing: dict[str, Any] = {
        "old": side("a" * 64),
        "new": side("b" * 64),
        "files": Files(identical=3, changes=()),
        "tensors": Tensors(counts={"identical": 5}, changes=()),
        "fields": (),
        "tokenizer": None,
        "templates": (),
        "findings_new": (),
        "findings_gone": (),
        "weights": None,
        "explanations": (),
        "behaviour": None,
        "notes": (),
    }
    return Changes(**(nothing | others))


def side(digest: str) -> Side:
    """Return one side of a change."""
    return Side(
        label="it", kind="bundle", name="it", repo=None, revision=None, digest=digest, attested=None, record=True,
        files=False,
    )  # fmt: skip


def weights(relative: float, *, error: float = 0.0, only_new: tuple[str, ...] = ()) -> Weights:
    """Return a change of the weights of one layer."""
    layer = RoleChange(
        layer=3, role=None, weights=7, changed=1, elements=100, basis="sketches" if error else "weights",
        relative=relative, error=error,
    )  # fmt: skip
    return Weights(
        basis=layer.basis,
        compared=7,
        equal=6,
        changed=(),
        by_role=(),
        by_layer=(layer,),
        only_old=(),
        only_new=only_new,
    )


def answers(kl: float, agreement: float) -> Behaviour:
    """Return a change of the answers."""
    return Behaviour(same=False, positions=2048, kl_mean=kl, kl_largest=kl, top1_agreement=agreement, prompts=())


MOVED = Tensors(counts={"identical": 4, "changed": 1}, changes=())
ENCODED = Tensors(counts={"identical": 4, "re-encoded": 1}, changes=())
TRADED = Tensors(counts={"identical": 3, "renamed": 2}, changes=())
UNREAD = Tensors(counts={"identical": 0}, changes=())

# The ways to every member of the variables that rules speak of.
SHAPE = """
model model.name model.repo model.revision model.digest model.kind model.attested model.files model.bytes model.dtypes
bom bom.params bom.params.total bom.params.active bom.licences bom.licences.declared bom.licences.detected
bom.licences.detected[].id bom.licences.detected[].key bom.licences.detected[].match bom.licences.detected[].file
bom.licences.unknown_texts bom.restrictions bom.restrictions[].kind bom.restrictions[].value bom.restrictions[].scope
bom.origin bom.origin.account bom.origin.entity bom.origin.country bom.ancestors bom.ancestors[].name
bom.ancestors[].relations bom.ancestors[].verified bom.datasets bom.openness bom.gated bom.model_type bom.architecture
bom.tokenizer bom.properties verdict verdict.outcome verdict.signer verdict.logged verdict.stamped verdict.checks
record record.positions record.layers record.experts record.experts_reached record.vocabulary record.vocabulary_reached
record.trials record.tensors_not_executed findings findings[].id findings[].severity findings[].path findings[].is_new
changes changes.identical changes.sections changes.fields changes.fields[].section changes.fields[].name changes.files
changes.files.renamed changes.files.changed changes.files.added changes.files.removed changes.tensors
changes.weights_changed changes.max_relative_change changes.explanations changes.explanations[].id
changes.explanations[].outcome changes.kl_mean changes.top1_agreement changes.tokens changes.tokens.added
changes.tokens.moved changes.tokens.removed changes.templates changes.findings_new now
"""
