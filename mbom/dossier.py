"""Everything that is at hand about one model, from its bundle or from the checkpoint itself, in one form.

Diffs, policies, reports and comparisons with known models read this, so that each of them works with bundles alone,
with checkpoints alone, and with any mix. Nothing in it is verified: that is ``mbom.verify``'s verdict beside it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Literal

from mbom import __version__, bom, bundle, strictjson
from mbom.attestation import PREDICATE_TYPE, Attestation
from mbom.behaviour.record import Record
from mbom.bom.description import Description, describe
from mbom.errors import FormatError
from mbom.facts import read_facts
from mbom.facts.producers import Producers, built_in
from mbom.inventory import Inventory, ScanProgress, scan
from mbom.inventory.findings import ordered
from mbom.signing import unverified
from mbom.source import Source
from mbom.strictjson import Json


@dataclass(frozen=True, kw_only=True)
class Dossier:
    """What is known of one model.

    Attributes:
        label: what the user named it by.
        kind: what that was.
        inventory: files, tensors and findings.
        document: its BOM.
        record: its behaviour; None where none was recorded.
        attestation: what the bundle's statement claims; None where there is none.
        bundle_digest: the identity of the bundle, see ``mbom.bundle.digest``; None for a checkpoint.
        side: the bytes of small files by name: configuration, tokenizer, templates, licences; a bundle has none.
        files: the files of the checkpoint on this machine by name; a bundle has none of them.
    """

    label: str
    kind: Literal["bundle", "checkpoint"]
    inventory: Inventory
    document: Json
    record: Record | None = None
    attestation: Attestation | None = None
    bundle_digest: str | None = None
    side: Mapping[str, bytes] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)

    @cached_property
    def described(self) -> Description:
        """What the BOM says."""
        return describe(self.document)

    @property
    def name(self) -> str:
        """What people call the model: the repository, or the folder's last component."""
        return self.inventory.origin.repo or self.inventory.origin.name

    @property
    def holds_files(self) -> bool:
        """Whether the checkpoint itself is at hand, so that texts and weights can be read."""
        return bool(self.files)


def read_bundle(path: Path) -> Dossier:
    """Read a bundle, a folder or a ``.zip`` of one, and verify nothing.

    Raises:
        StorageError: when there is none, or it is unreadable.
        FormatError: when a member is missing or malformed, or two of them are of different models; naming the bundle.
    """
    try:
        return _of_members(bundle.read(path), str(path))
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def read_checkpoint(
    source: Source,
    *,
    label: str,
    created: datetime,
    producers: Producers | None = None,
    on_scan: Callable[[ScanProgress], None] | None = None,
) -> Dossier:
    """Fetch and hash a checkpoint, and describe it as ``mbom attest`` would; its behaviour is not measured.

    Args:
        source: where it comes from.
        label: what the user named it by.
        created: the time that its BOM states.
        producers: who stands behind accounts; None for the table of the package.
        on_scan: called while files are fetched and hashed.

    Raises:
        RefusedError: when a file is not what the source advertised, or its name cannot be recorded.
        UnavailableError: when the source or the system does not give the bytes.
    """
    scanned = scan(source, progress=on_scan)
    facts, findings = read_facts(scanned.inventory, scanned.side, scanned.contents)
    inventory = replace(scanned.inventory, findings=ordered((*scanned.inventory.findings, *findings)))
    table = producers if producers is not None else built_in()
    observed = source.observe(base.name for base in facts.lineage.bases)
    said = bom.Affidavit(observed=observed, producers=table.among(bom.accounts(inventory, facts.lineage)))
    document = bom.build(
        inventory=inventory, facts=facts, behaviour=None, tool_version=__version__, created=created, said=said
    )
    return Dossier(
        label=label,
        kind="checkpoint",
        inventory=inventory,
        document=strictjson.loads(document, what=bundle.BOM),
        side=scanned.side,
        files=scanned.paths,
    )


def _of_members(members: Mapping[str, bytes], label: str) -> Dossier:
    for required in (bundle.INVENTORY, bundle.BOM):
        if required not in members:
            raise FormatError(f"{required} is missing; name a bundle that `mbom attest` wrote")
    inventory = Inventory.from_bytes(members[bundle.INVENTORY])
    document = strictjson.loads(members[bundle.BOM], what=bundle.BOM, limit=bundle.MEMBERS[bundle.BOM][1])
    digest = describe(document).digest
    if digest != inventory.digest:
        raise FormatError(f"{bundle.BOM} is of model {digest}, {bundle.INVENTORY} of {inventory.digest}")
    record = None
    if bundle.BEHAVIOUR in members or bundle.BEHAVIOUR_NUMBERS in members:
        if not members.keys() >= bundle.RECORD:
            raise FormatError(f"{bundle.BEHAVIOUR} and {bundle.BEHAVIOUR_NUMBERS} belong together, one is missing")
        record = Record.from_bytes(members[bundle.BEHAVIOUR], members[bundle.BEHAVIOUR_NUMBERS])
        if record.model_digest != inventory.digest:
            raise FormatError(f"the record is of model {record.model_digest}, the inventory of {inventory.digest}")
    return Dossier(
        label=label,
        kind="bundle",
        inventory=inventory,
        document=document,
        record=record,
        attestation=_attestation(members, inventory),
        bundle_digest=bundle.digest(members),
    )


def _attestation(members: Mapping[str, bytes], inventory: Inventory) -> Attestation | None:
    """Return what the statement claims; one of another model has nothing to do with the rest."""
    if bundle.ATTESTATION not in members:
        return None
    claimed = unverified.claimed_statement(
        members[bundle.ATTESTATION], predicate_type=PREDICATE_TYPE, what=bundle.ATTESTATION
    )
    attestation = Attestation.from_dict(claimed.predicate)
    if attestation.model_digest != inventory.digest:
        raise FormatError(
            f"{bundle.ATTESTATION} is of model {attestation.model_digest}, {bundle.INVENTORY} of {inventory.digest}"
        )
    return attestation
