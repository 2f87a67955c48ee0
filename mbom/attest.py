"""`mbom attest`: a checkpoint in, signed evidence out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mbom import __version__, ancestry, bom, bundle, strictjson
from mbom.attestation import BOM_PREDICATE_TYPE, PREDICATE_TYPE, Attestation, Evidence
from mbom.behaviour.record import Record
from mbom.digest import sha256
from mbom.engine import Measure
from mbom.facts import Facts, Survey, survey
from mbom.facts.producers import Producers, built_in
from mbom.inventory import Inventory, ScanProgress, refuse_errors
from mbom.inventory.identity import refuse_changes
from mbom.inventory.journal import Journal
from mbom.signing import Signer, oms, statement
from mbom.source import Source


@dataclass(frozen=True, kw_only=True)
class Attested:
    """What was written: the bundle's members by name, and the records behind them."""

    members: Mapping[str, bytes]
    inventory: Inventory
    facts: Facts
    record: Record | None
    said: bom.Affidavit


def attest(
    source: Source,
    folder: Path,
    *,
    created: datetime,
    signer: Signer | None,
    measure: Measure | None,
    author: bom.Author | None = None,
    bases: Sequence[ancestry.Base] = (),
    producers: Producers | None = None,
    spec: bom.Spec = bom.CURRENT,
    everything: bool = False,
    force: bool = False,
    journals: Path | None = None,
    on_scan: Callable[[ScanProgress], None] | None = None,
    on_survey: Callable[[Survey], None] | None = None,
) -> Attested:
    """Take a checkpoint through the whole path and write its bundle to ``folder``.

    Args:
        source: where the checkpoint comes from.
        folder: the bundle to write; it is there whole afterwards, or not at all.
        created: the time to state, in UTC.
        signer: None leaves the bundle unsigned.
        measure: None leaves the behaviour out.
        author: who stands behind the BOM.
        bases: checkpoints to compare this one with, as its possible ancestors.
        producers: who stands behind accounts; None for the table of the package.
        spec: the version of CycloneDX to write the BOM in.
        everything: take every weight set, not only the one that would be loaded.
        force: replace a bundle that is at ``folder``.
        journals: a folder for what this run has hashed, in case that it is interrupted, and for the next one to go on
            from; None hashes everything and keeps nothing. ``mbom.inventory.journal`` says what is relied on.
        on_scan: called while files are fetched and hashed.
        on_survey: called once when the checkpoint is known, before anything long begins.

    Raises:
        UsageError: when something is at ``folder`` that may not be replaced.
        BusyError: when another run writes ``folder``.
        RefusedError: when the checkpoint contradicts itself, is not what its source advertised, or changes meanwhile.
        UnavailableError: when something cannot be read, measured or written.
    """
    with bundle.reserved(folder, force=force) as write:
        journal = None
        if journals is not None:
            journal = Journal.of(journals, origin=source.origin, output=folder, everything=everything)
        surveyed = survey(source, everything=everything, progress=on_scan, journal=journal)
        if on_survey is not None:
            on_survey(surveyed)
        inventory, facts = surveyed.inventory, surveyed.facts
        refuse_errors(inventory.findings)
        observed = source.observe(base.name for base in facts.lineage.bases)
        record = measure(surveyed.paths, inventory) if measure is not None else None
        compared = tuple(ancestry.compare(inventory, record, base) for base in bases)
        accounts = bom.accounts(inventory, facts.lineage, compared)
        table = producers if producers is not None else built_in()
        said = bom.Affidavit(author=author, observed=observed, compared=compared, producers=table.among(accounts))
        members = _describe(surveyed, record, created, said, spec)
        refuse_changes(surveyed.paths, surveyed.identities)
        if signer is not None:
            members |= _sign(inventory, members, signer, created)
        write(members)
    if journal is not None:
        journal.delete()
    return Attested(members=members, inventory=inventory, facts=facts, record=record, said=said)


def _describe(
    surveyed: Survey, record: Record | None, created: datetime, said: bom.Affidavit, spec: bom.Spec
) -> dict[str, bytes]:
    """Return the members that hold facts: inventory, behaviour record, BOM."""
    members = {bundle.INVENTORY: surveyed.inventory.to_bytes()}
    summary = None
    if record is not None:
        members[bundle.BEHAVIOUR] = record.to_json()
        members[bundle.BEHAVIOUR_NUMBERS] = record.to_safetensors()
        summary = bom.BehaviourSummary.of(record, members[bundle.BEHAVIOUR])
    members[bundle.BOM] = bom.build(
        inventory=surveyed.inventory,
        facts=surveyed.facts,
        behaviour=summary,
        tool_version=__version__,
        created=created,
        said=said,
        spec=spec,
    )
    return members


def _sign(inventory: Inventory, members: Mapping[str, bytes], signer: Signer, created: datetime) -> dict[str, bytes]:
    """Return the members that hold signatures. The attestation comes last, because it lists all the others."""
    subjects = [(file.name, file.sha256) for file in inventory.files]
    document = strictjson.loads(members[bundle.BOM], what=bundle.BOM)
    assert isinstance(document, dict)
    signed = {
        bundle.BOM_SIGNATURE: signer.sign_statement(statement.build(subjects, BOM_PREDICATE_TYPE, document)),
        bundle.MODEL_SIGNATURE: signer.sign_statement(oms.build(inventory.origin.name, subjects)),
    }
    # Only files that were read as safetensors: under one key, a signature over a file that is itself a DSSE
    # pre-authentication encoding would be a signature of the statement inside it (see Signer.sign_digest).
    for file in inventory.weight_files:
        signed[bundle.shard_member(file.name)] = signer.sign_digest(file.sha256)
    attestation = Attestation(
        origin=inventory.origin,
        model_digest=inventory.digest,
        tool_version=__version__,
        time=created,
        evidence=tuple(
            Evidence(name=name, sha256=sha256(data), media_type=bundle.media_type(name))
            for name, data in sorted({**members, **signed}.items())
        ),
    )
    signed[bundle.ATTESTATION] = signer.sign_statement(statement.build(subjects, PREDICATE_TYPE, attestation.to_dict()))
    return signed
