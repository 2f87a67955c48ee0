"""Reading the bundle of a base model, so that a checkpoint can be compared with it."""

from collections.abc import Mapping
from pathlib import Path

from mbom import bundle
from mbom.ancestry import Base
from mbom.attestation import PREDICATE_TYPE, Attestation
from mbom.behaviour.record import Record
from mbom.digest import sha256
from mbom.errors import FormatError, RefusedError, SignatureError
from mbom.inventory import Inventory
from mbom.signing import Verifier
from mbom.source import is_repo

_COMPARED = (bundle.INVENTORY, bundle.BEHAVIOUR, bundle.BEHAVIOUR_NUMBERS)  # the members that a comparison looks into


def read_base(folder: Path, verifier: Verifier | None = None) -> Base:
    """Read what a comparison needs of a bundle.

    Args:
        folder: the bundle of the base, or a ``.zip`` of it.
        verifier: whom the caller trusts for the base; None leaves its signatures unchecked, and the BOM then says so.

    Raises:
        StorageError: when the folder is missing or unreadable.
        FormatError: when it is no bundle, or its record is of another model; naming the folder.
        SignatureError: when the attestation is not by the trusted signer.
        RefusedError: when members are not the signed ones.
    """
    try:
        members = bundle.read(folder)
        base = _base(members)
        if verifier is None:
            return base
        return _vouched(base, members, verifier)
    except FormatError as error:
        raise FormatError(f"{folder}: {error}") from error
    except SignatureError as error:
        raise SignatureError(f"{folder}: {error}") from error


def _base(members: Mapping[str, bytes]) -> Base:
    if bundle.INVENTORY not in members:
        raise FormatError(f"{bundle.INVENTORY} is missing; name the bundle that `mbom attest` wrote of the base")
    inventory = Inventory.from_bytes(members[bundle.INVENTORY])
    repo = inventory.origin.repo
    if repo is not None and not is_repo(repo):
        raise FormatError(f"{bundle.INVENTORY}: {repo[:80]!r} is not the name of a repository; the form is org/name")
    record = None
    if bundle.BEHAVIOUR in members and bundle.BEHAVIOUR_NUMBERS in members:
        record = Record.from_bytes(members[bundle.BEHAVIOUR], members[bundle.BEHAVIOUR_NUMBERS])
        if record.model_digest != inventory.digest:
            raise FormatError(f"the record is of model {record.model_digest}, the inventory of {inventory.digest}")
    attestation = members.get(bundle.ATTESTATION)
    return Base(inventory=inventory, record=record, attestation=sha256(attestation) if attestation else None)


def _vouched(base: Base, members: Mapping[str, bytes], verifier: Verifier) -> Base:
    """Return the base with its signer, once the members that are compared are those that were signed."""
    if bundle.ATTESTATION not in members:
        raise SignatureError(f"the bundle is not signed: {bundle.ATTESTATION} is missing")
    statement = verifier.verify_statement(
        members[bundle.ATTESTATION], predicate_type=PREDICATE_TYPE, what=bundle.ATTESTATION
    )
    attestation = Attestation.from_dict(statement.predicate)
    signed = {item.name: item.sha256 for item in attestation.evidence}
    for name in _COMPARED:
        if signed.get(name) != (sha256(members[name]) if name in members else None):
            raise RefusedError(f"the base's {name} is not the signed one")
    if (attestation.model_digest, attestation.origin) != (base.inventory.digest, base.inventory.origin):
        raise RefusedError("the base's inventory is of another model than its statement")
    return Base(inventory=base.inventory, record=base.record, attestation=base.attestation, signer=verifier.identity)
