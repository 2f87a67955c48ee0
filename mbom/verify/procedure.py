"""The twelve steps of the verification.

Whoever reads this module reads the procedure: each step is one method, in order, and its number, its id and its
place in ``verdict.STEPS`` agree. A step that finds a contradiction FAILs. One that cannot look SKIPs, and a SKIP of
something that was asked for keeps the verdict from being ``verified``. A step uses only what earlier steps vouched
for: a member whose digest is not the signed one is not even parsed.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from mbom import __version__, bom, bundle, strictjson
from mbom.attestation import BOM_PREDICATE_TYPE, PREDICATE_TYPE, Attestation, format_time
from mbom.behaviour.compare import Comparison, compare
from mbom.behaviour.record import Record
from mbom.bom import BehaviourSummary
from mbom.digest import git_blob, sha256
from mbom.engine import Measure
from mbom.errors import FormatError, RefusedError
from mbom.facts import Facts, read_facts
from mbom.inventory import FileRecord, Inventory, Scan, ScanProgress, scan
from mbom.inventory.record import model_object
from mbom.signing import Signatory, Statement, Verifier, oms
from mbom.source import Source
from mbom.strictjson import Json
from mbom.verify.asked import Challenge, Expectation
from mbom.verify.comparing import count, differences, digests, refuse, tensor_difference

# How far the attester's clock may be ahead of the one that vouches for the time. A claim beyond it is a contradiction:
# ``--min-time`` rests on the claim, and a signer who dates ahead keeps an attestation fresh that is not.
CLOCK_SKEW = timedelta(minutes=10)


class Skip(Exception):  # noqa: N818  # it is no error: a step says with it that it cannot look
    """Ends a step that cannot look; ``asked`` as in ``Check``."""

    def __init__(self, detail: str, *, asked: bool = True) -> None:
        super().__init__(detail)
        self.asked = asked


class Procedure:
    """The state that steps hand on: everything in it has been vouched for by the step that set it."""

    def __init__(
        self,
        *,
        folder: Path,
        verifier: Verifier,
        checkpoint: Source | None,
        measure: Measure | None,
        asked: Challenge | None,
        expected: Expectation,
        on_scan: Callable[[ScanProgress], None] | None,
    ) -> None:
        self.verifier = verifier
        self.checkpoint = checkpoint
        self.measure = measure
        self.asked = asked
        self.expected = expected
        self.on_scan = on_scan
        self.folder = folder
        self.members: dict[str, bytes] = {}  # step 1
        self.statement: Statement | None = None  # step 2
        self.attestation: Attestation | None = None  # step 2
        self.signer: Signatory | None = None  # step 2
        self.seen: datetime | None = None  # step 2: by when it was signed, if a witness says so
        self.evident: frozenset[str] = frozenset()  # step 3: members whose digest is the signed one
        self.inventory: Inventory | None = None  # step 4
        self.on_disk: Scan | None = None  # step 4
        self.is_signed_one = False  # step 4: the checkpoint's files are the signed ones
        self.bom_is_sound = False  # step 8
        self.record: Record | None = None  # step 9
        self.comparisons: dict[str, Comparison] = {}  # by the step that made it

    def model(self) -> dict[str, strictjson.Json] | None:
        """The model object of the verified statement."""
        if self.attestation is None:
            return None
        return model_object(self.attestation.origin, self.attestation.model_digest)

    # ---- 1 ----
    def bundle(self) -> str:
        """Known members only, within their limits, no links; what each holds is read by the step that needs it."""
        self.members = bundle.read(self.folder)
        if not self.members:
            raise RefusedError(f"{self.folder} is empty")
        for required in (bundle.INVENTORY, bundle.BOM):
            if required not in self.members:
                raise RefusedError(f"{required} is missing")
        if (bundle.BEHAVIOUR in self.members) != (bundle.BEHAVIOUR_NUMBERS in self.members):
            raise RefusedError(f"{bundle.BEHAVIOUR} and {bundle.BEHAVIOUR_NUMBERS} belong together, one is missing")
        return f"{count(len(self.members), 'member')}"

    # ---- 2 ----
    def signature(self) -> str:
        """The attestation under the trusted key; its statement and predicate types are checked before its content."""
        if not self.members:
            raise Skip("the bundle was not read")
        if bundle.ATTESTATION not in self.members:
            raise RefusedError(f"the bundle is not signed: {bundle.ATTESTATION} is missing")
        statement = self.verifier.verify_statement(
            self.members[bundle.ATTESTATION], predicate_type=PREDICATE_TYPE, what=bundle.ATTESTATION
        )
        attestation = Attestation.from_dict(statement.predicate)
        seen = self.verifier.seen(self.members[bundle.ATTESTATION], what=bundle.ATTESTATION)
        if seen.time is not None and attestation.time > seen.time + CLOCK_SKEW:
            raise RefusedError(
                f"the statement claims {format_time(attestation.time)}, and its signature was there "
                f"at {format_time(seen.time)} already"
            )
        self.attestation = attestation
        self.statement = statement
        self.seen = seen.time
        self.signer = Signatory.of(statement, self.verifier)
        # Where several signers are trusted, the rest of a bundle must still be of the one who signed the attestation.
        self.verifier = self.verifier.narrowed(statement)
        if statement.witness is not None:
            return str(statement.witness)
        return f"{self.verifier.identity}; {seen.detail}" if seen.detail else self.verifier.identity

    def _signed(self) -> tuple[Statement, Attestation]:
        if self.statement is None or self.attestation is None:
            raise Skip("there is no verified statement to hold it against")
        return self.statement, self.attestation

    # ---- 3 ----
    def evidence(self) -> str:
        """Every other member's digest is the signed one; none is missing, none is unlisted."""
        _, attestation = self._signed()
        signed = {item.name: item for item in attestation.evidence}
        others = self.members.keys() - {bundle.ATTESTATION}
        equal = {
            name
            for name in signed.keys() & others
            if sha256(self.members[name]) == signed[name].sha256 and bundle.is_media_type(name, signed[name].media_type)
        }
        self.evident = frozenset(equal)
        problems = [
            *(f"{name} is missing" for name in sorted(signed.keys() - others)),
            *(f"{name} is not listed" for name in sorted(others - signed.keys())),
            *(f"{name} is not the signed one" for name in sorted((signed.keys() & others) - equal)),
        ]
        refuse(problems)
        return f"{len(equal)} of {len(signed)} digests"

    def _member(self, name: str) -> bytes:
        """Return a member that step 3 vouched for."""
        if name not in self.members:
            raise Skip(f"{name} is not in the bundle")
        if name not in self.evident:
            raise Skip(f"{name} is not the signed one, so it is not read")
        return self.members[name]

    # ---- 4 ----
    def files(self) -> str:
        """Subjects = inventory = checkpoint on disk."""
        statement, attestation = self._signed()
        subjects = digests(statement.subjects)
        inventory = Inventory.from_bytes(self._member(bundle.INVENTORY))
        listed = {file.name: file.sha256 for file in inventory.files}
        refuse(differences(subjects, listed, "the inventory"))
        if inventory.digest != attestation.model_digest:
            raise RefusedError(f"the model digest is {inventory.digest}, signed {attestation.model_digest}")
        if inventory.origin != attestation.origin:
            raise RefusedError("the inventory is of another repository or revision than the statement")
        self.inventory = inventory
        if self.checkpoint is None:
            raise Skip("no checkpoint was given", asked=False)
        self.on_disk = scan(self.checkpoint, progress=self.on_scan)
        declared = self._hold_against(self.on_disk, "the checkpoint")
        self.is_signed_one = True
        also = f", {count(declared, 'declared file')} of other weight sets as advertised" if declared else ""
        return f"{count(len(subjects), 'file')}, every digest as signed{also}"

    def _hold_against(self, copy: Scan, where: str) -> int:
        """Refuse a copy whose files are not the signed ones; return how many declared files it has besides."""
        statement, _ = self._signed()
        subjects = digests(statement.subjects)
        found = {file.name: file for file in copy.inventory.files}
        declared = {name for name, file in found.items() if name not in subjects and self._is_declared(file, copy)}
        present = {name: file.sha256 for name, file in found.items() if name not in declared}
        refuse(differences(subjects, present, where))
        return len(declared)

    def _is_declared(self, file: FileRecord, copy: Scan) -> bool:
        """Tell whether a file that nobody signed is one that the inventory lists as left out, with equal bytes."""
        for declared in self._inventory().declared:
            if declared.name != file.name or declared.size != file.size:
                continue
            if declared.sha256 is not None:
                return declared.sha256 == file.sha256
            if declared.git_blob is not None:
                data = copy.paths[file.name].read_bytes()
                return sha256(data) == file.sha256 and git_blob(data) == declared.git_blob
        return False

    def _inventory(self) -> Inventory:
        if self.inventory is None:
            raise Skip("the inventory is not vouched for")
        return self.inventory

    def _disk(self) -> Scan:
        if self.checkpoint is None:
            raise Skip("no checkpoint was given", asked=False)
        if self.on_disk is None:
            raise Skip("the checkpoint was not read")
        return self.on_disk

    # ---- 5 ----
    def tensors(self) -> str:
        """Headers equal the inventory, and so does the digest of every tensor's bytes."""
        signed = {tensor.name: tensor for tensor in self._inventory().tensors}
        found = {tensor.name: tensor for tensor in self._disk().inventory.tensors}
        problems = [
            *(f"{name} is missing" for name in sorted(signed.keys() - found.keys())),
            *(f"{name} is not signed" for name in sorted(found.keys() - signed.keys())),
            *(
                f"{name} {tensor_difference(signed[name], found[name])}"
                for name in sorted(signed.keys() & found.keys())
                if signed[name] != found[name]
            ),
        ]
        refuse(problems, rest=f"{len(signed) - len(problems)} of {len(signed)} equal")
        return f"{count(len(signed), 'tensor')}, every digest as signed"

    # ---- 6 ----
    def model_sig(self) -> str:
        """The OpenSSF Model Signing signature verifies with the same signer over the same files."""
        statement, _ = self._signed()
        manifest = self.verifier.verify_oms(self._member(bundle.MODEL_SIGNATURE))
        covered = digests([subject for subject in statement.subjects if not oms.is_left_out(subject.name)])
        refuse(differences(covered, digests(manifest.resources), bundle.MODEL_SIGNATURE))
        ignored = len(statement.subjects) - len(covered)
        return f"{count(len(covered), 'file')}" + (f", {ignored} ignored as its default is" if ignored else "")

    # ---- 7 ----
    def shards(self) -> str:
        """Every weight file's own signature verifies over the digest in the statement; there are no others."""
        statement, _ = self._signed()
        subjects = digests(statement.subjects)
        weights = [file.name for file in self._inventory().weight_files]
        present = {name for name in self.members if name.startswith(bundle.SHARD_FOLDER)}
        for name in weights:
            member = bundle.shard_member(name)
            if member not in present:
                raise RefusedError(f"{name} has no signature of its own: {member} is missing")
            self.verifier.verify_digest(self._member(member), subjects[name], what=member)
        strangers = present - {bundle.shard_member(name) for name in weights}
        if strangers:
            raise RefusedError(f"{min(strangers)} belongs to no weight file")
        return f"{count(len(weights), 'signature')}"

    # ---- 8 ----
    def bom(self) -> str:
        """The BOM: schema, lint, agreement with the inventory, and its own statement over the same subjects."""
        statement, attestation = self._signed()
        data = self._member(bundle.BOM)
        facts = self._facts()
        refuse(list(bom.check(data, self._inventory(), facts)))
        document = strictjson.loads(data, what=bundle.BOM)
        told = self._built_again(document, facts, attestation) if facts is not None else ""
        own = self.verifier.verify_statement(
            self._member(bundle.BOM_SIGNATURE), predicate_type=BOM_PREDICATE_TYPE, what=bundle.BOM_SIGNATURE
        )
        # As canonical bytes, because in Python True equals 1.
        if strictjson.canonical(own.predicate) != strictjson.canonical(document):
            raise RefusedError(f"{bundle.BOM_SIGNATURE} signs another BOM")
        if digests(own.subjects) != digests(statement.subjects):
            raise RefusedError(f"{bundle.BOM_SIGNATURE} is about other files than the attestation")
        self.bom_is_sound = True
        return f"CycloneDX {bom.spec_of(document)}, agrees with the inventory{told}"

    def _built_again(self, document: Json, facts: Facts, attestation: Attestation) -> str:
        """Build the BOM of the checkpoint at hand, hold the signed one against it, and say so.

        Another version of mbom may know more licences or count another number; then only ``bom.check`` has looked.
        """
        if attestation.tool_version != __version__:
            return f"; made by mbom {attestation.tool_version}, so this version ({__version__}) did not build it again"
        try:
            record = self._record()
        except (FormatError, Skip):
            return "; not built again, because the behaviour record cannot be read"  # step 9 says why
        again = bom.build(
            inventory=self._inventory(),
            facts=facts,
            behaviour=self._summary(record),
            tool_version=attestation.tool_version,
            created=attestation.time,
            said=bom.affidavit_of(document),
            spec=bom.spec_of(document),
        )
        refuse(list(bom.contradictions(document, again)))
        return " and with the checkpoint in every field"

    def _facts(self) -> Facts | None:
        """Return the facts read again from the checkpoint, where it is the signed one: the BOM must say the same."""
        if self.on_disk is None or self.inventory is None or not self.is_signed_one:
            return None
        held = {file.name for file in self.inventory.files}  # a copy may hold declared files besides
        side = {name: data for name, data in self.on_disk.side.items() if name in held}
        contents = {name: content for name, content in self.on_disk.contents.items() if name in held}
        return read_facts(self.inventory, side, contents)[0]

    def _record(self) -> Record | None:
        """Return the behaviour record; None where there is none."""
        if bundle.BEHAVIOUR not in self.members:
            return None
        return Record.from_bytes(self._member(bundle.BEHAVIOUR), self._member(bundle.BEHAVIOUR_NUMBERS))

    def _summary(self, record: Record | None) -> BehaviourSummary | None:
        return None if record is None else BehaviourSummary.of(record, self._member(bundle.BEHAVIOUR))

    # ---- 9 ----
    def behaviour_record(self) -> str:
        """The record is well formed, complete, of this model, and what the BOM says of it."""
        self._signed()
        described = self._member(bundle.BOM) if self.bom_is_sound else None
        record = self._record()
        if record is None:
            refuse(bom.check_behaviour(described, None) if described is not None else ())
            raise Skip("the attester recorded no behaviour", asked=self.measure is not None)
        self._hold_record_against(record, "the record")
        if record.challenge is not None:
            raise RefusedError("the record answers a challenge; only the fixed one belongs into a bundle")
        coverage = record.coverage
        if described is not None:
            refuse(bom.check_behaviour(described, self._summary(record)))
        self.record = record
        reached = f", {coverage.experts_reached} of {coverage.experts} experts reached" if coverage.experts else ""
        return f"{record.positions:,} positions, {count(coverage.layers, 'layer')}{reached}"

    def _hold_record_against(self, record: Record, what: str) -> None:
        """Refuse a record of another model than the signed one, or of a part of it."""
        _, attestation = self._signed()
        if record.model_digest != attestation.model_digest:
            raise RefusedError(f"{what} is of model {record.model_digest}, signed {attestation.model_digest}")
        read, tensors = record.coverage.tensors_read, len(self._inventory().tensors)
        if read != tensors:
            raise RefusedError(f"{what} covers {read} tensors, the inventory has {tensors}")

    # ---- 10 ----
    def behaviour(self) -> str:
        """The checkpoint at hand computes the recorded numbers; only ``match`` passes."""
        if self.measure is None:
            raise Skip("not asked for (--behaviour)", asked=False)
        if self.checkpoint is None:
            raise Skip("there is no checkpoint to measure")
        if self.record is None:
            raise Skip("there is no record to compare with")
        on_disk = self._disk()
        return self._judge("behaviour", self.record, self.measure(on_disk.paths, on_disk.inventory))

    def _judge(self, step: str, reference: Record, measured: Record, under: str = "") -> str:
        """Compare two records for a step: a match is its detail, and anything else ends it."""
        comparison = self.comparisons[step] = compare(reference, measured)
        told = f"{under}{comparison.verdict}: {comparison.detail}"
        if comparison.verdict == "match":
            return told
        if comparison.verdict == "inconclusive":
            raise Skip(told)
        raise RefusedError(told)

    # ---- 11 ----
    def expectation(self) -> str:
        """Repository, revision and age are what the caller demanded."""
        expected = self.expected
        if expected == Expectation():
            raise Skip("nothing was demanded", asked=False)
        _, attestation = self._signed()
        origin = attestation.origin
        if expected.repo is not None and origin.repo != expected.repo:
            raise RefusedError(f"the statement is about {origin.repo or origin.name}, demanded was {expected.repo}")
        if expected.revision is not None and origin.revision != expected.revision:
            raise RefusedError(f"the statement is about revision {origin.revision}, demanded was {expected.revision}")
        # The attester's clock is a claim. A log or timestamp authority that saw the signature earlier refutes it.
        made = attestation.time if self.seen is None else min(attestation.time, self.seen)
        if expected.min_time is not None and made < expected.min_time:
            raise RefusedError(
                f"the statement was made {format_time(made)}, demanded was {format_time(expected.min_time)} or later"
            )
        if expected.max_time is not None and attestation.time > expected.max_time:
            raise RefusedError(
                f"the statement says that it was made {format_time(attestation.time)}, which is after "
                f"{format_time(expected.max_time)}: the clock there or here is wrong, so that its age is unknown"
            )
        return f"{origin.repo or origin.name}@{origin.revision or attestation.model_digest[:12]}"

    # ---- 12 ----
    def challenge(self) -> str:
        """The checkpoint at hand and the caller's reference, both the signed model, answer the caller's nonce alike.

        The bundle's own record is not asked: it was made before anybody knew the nonce.
        """
        if self.asked is None:
            raise Skip("not asked for (--challenge)", asked=False)
        if self.checkpoint is None:
            raise Skip("there is no checkpoint to measure")
        on_disk = self._disk()
        if not self.is_signed_one:
            raise RefusedError(
                "the checkpoint's files are not the signed ones, which the challenge is drawn for; "
                "--behaviour tells what they compute instead"
            )
        reference = self._reference(self.asked)  # looked at before anything is measured
        measured = self._measured(self.asked.measure, on_disk)
        return self._judge("challenge", reference(), measured, f"under {self.asked.nonce!r}, ")

    def _reference(self, asked: Challenge) -> Callable[[], Record]:
        """Return what gives the reference's record; it is known to be of the signed model already."""
        if isinstance(asked.reference, Path):
            record = bundle.read_record(asked.reference).record
            self._hold_record_against(record, "the reference")
            if record.challenge != asked.nonce:
                answered = "no challenge" if record.challenge is None else f"the challenge {record.challenge!r}"
                raise RefusedError(f"the reference answers {answered}, asked was {asked.nonce!r}")
            return lambda: record
        copy = scan(asked.reference, progress=self.on_scan)
        self._hold_against(copy, "the reference")
        return lambda: self._measured(asked.measure_reference, copy)

    def _measured(self, measure: Measure, copy: Scan) -> Record:
        """Measure the signed files of a copy, bound to the digests that were signed."""
        inventory = self._inventory()
        return measure({file.name: copy.paths[file.name] for file in inventory.files}, inventory)
