"""The five steps that verify a signature which is no part of a bundle: anybody's ``model.sig``, or that of one file.

As in ``mbom.verify.procedure``, each step is one method, in order; its number, its id and its place in
``verdict.SIGNATURE_STEPS`` agree, and a step uses only what earlier ones vouched for.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from mbom.errors import FormatError, RefusedError, StorageError
from mbom.inventory import ScanProgress
from mbom.inventory.roles import CHAT_TEMPLATE, CODE, CONFIG, INDEX, TOKENIZER, WEIGHTS, role
from mbom.signing import Claimed, Manifest, Statement, Verifier, claimed, manifest, oms
from mbom.signing.manifest import Hashing, SignedFile
from mbom.signing.sigstorebundle import BUNDLE_LIMIT
from mbom.source import Advertised, Source
from mbom.source.names import check_names, is_bookkeeping
from mbom.storage import files
from mbom.strictjson import Json
from mbom.verify.comparing import count, refuse
from mbom.verify.hashing import FileDigests, digests_of, digests_of_bytes, digests_of_file
from mbom.verify.procedure import Skip

LISTED = 20  # how many names of uncovered files a detail spells out; the JSON has all

# What a loader reads, so that no signature may leave it out. Of what lies under git's own names, which the reference
# tool always leaves out, a loader can be led to weights alone, by a shard's name in the index.
LOADED = frozenset({WEIGHTS, INDEX, CONFIG, TOKENIZER, CHAT_TEMPLATE, CODE})
LOADED_ANYWHERE = frozenset({WEIGHTS})


class SignatureProcedure:
    """The state that steps hand on: everything in it has been vouched for by the step that set it."""

    def __init__(
        self,
        *,
        signature: Path,
        checkpoint: Source | Path,
        verifier: Verifier,
        allow_legacy: bool,
        on_scan: Callable[[ScanProgress], None] | None,
    ) -> None:
        self.path = signature
        self.what = signature.name or str(signature)
        self.checkpoint = checkpoint
        self.verifier = verifier
        self.allow_legacy = allow_legacy
        self.on_scan = on_scan
        self.data = b""  # step 1
        self.claims: Claimed | None = None  # step 1; claims are not vouched for, they choose the question
        self.signer: str | None = None  # step 2
        self.statement: Statement | None = None  # step 2
        self.file_digest: str | None = None  # step 2: the SHA-256 of the one signed file
        self.listed: Manifest | None = None  # step 3
        self.verified = 0  # step 4: how many files are the signed ones
        self.left_out: tuple[Advertised, ...] | None = None  # step 4: files that the signature does not cover

    def model(self) -> dict[str, Json] | None:
        """What the verified statement calls the model, and its digest, which binds no names."""
        if self.listed is None or self.listed.model is None:
            return None
        return {"name": self.listed.model, "digest": self.listed.digest}

    # ---- 1 ----
    def bundle(self) -> str:
        """Strict JSON with one signature over one statement or file, of a format that is taken."""
        self.data = read_signature(self.path)
        found = claimed(self.data, what=self.what)
        kind = found.predicate_type
        if kind is None:
            if not isinstance(self.checkpoint, Path):
                raise RefusedError(f"{self.what} signs one file by itself; name that file in place of its folder")
            self.claims = found
            return f"a file's signature, made with a {found.material}"
        if kind == manifest.LEGACY_PREDICATE_TYPE and not self.allow_legacy:
            raise RefusedError(
                f"{self.what}: the deprecated format of model-signing 0.2 ({kind}), which does not say how a folder "
                "was listed; have the model signed again, or take it with --allow-legacy"
            )
        if kind not in (manifest.LEGACY_PREDICATE_TYPE, oms.PREDICATE_TYPE):
            raise RefusedError(
                f"{self.what}: a statement of {kind[:80]!r}, where one of OpenSSF Model Signing belongs "
                f"({oms.PREDICATE_TYPE!r})"
            )
        self.claims = found
        return f"a signed statement, signed with a {found.material}"

    # ---- 2 ----
    def signature(self) -> str:
        """It holds under the trusted key, certificate or identity; the statement's types are checked before use."""
        found = self._claims()
        if found.predicate_type is None:
            assert isinstance(self.checkpoint, Path)
            whole = Hashing(algorithm="sha256")
            digest = digests_of_file(self.checkpoint, hashing=whole, progress=self.on_scan).digests[0]
            self.verifier.verify_digest(self.data, digest, what=self.what)
            self.file_digest = digest
        else:
            self.statement = self.verifier.verify_statement(
                self.data, predicate_type=found.predicate_type, what=self.what
            )
        self.signer = self.verifier.identity
        return self.signer

    def _claims(self) -> Claimed:
        if self.claims is None:
            raise Skip("the signature could not be read")
        return self.claims

    # ---- 3 ----
    def manifest(self) -> str:
        """The signed list of files: well formed, not empty, every name safe and there once."""
        if self.claims is not None and self.claims.predicate_type is None:
            raise Skip("the signature is over one file, and lists none", asked=False)
        if self.statement is None:
            raise Skip("there is no verified statement")
        found = manifest.interpret(self.statement, what=self.what)
        if isinstance(self.checkpoint, Path):
            self._check_single(found, self.checkpoint.name)
        else:
            check_names((file.name for file in found.files), what=self.what)
        self.listed = found
        notes = [f"{count(len(found.files), 'file')} by {found.hashing}"]
        if found.legacy:
            notes.append("in the deprecated format")
        if found.links:
            notes.append("by a signer who followed links")
        return ", ".join(notes)

    def _check_single(self, found: Manifest, name: str) -> None:
        """Refuse a list that is not of the one file that the caller named."""
        if len(found.files) != 1:
            raise RefusedError(f"{self.what} signs {len(found.files)} files; name the folder that holds them")
        listed = found.files[0].name
        if listed not in (name, manifest.WHOLE_MODEL):
            raise RefusedError(f"{self.what} signs {listed[:80]!r}, and the file is {name!r}")

    # ---- 4 ----
    def files(self) -> str:
        """Every signed file has the signed digest; none is missing, and none is there besides what is left out."""
        if self.file_digest is not None:
            assert isinstance(self.checkpoint, Path)
            self.verified, self.left_out = 1, ()
            return f"{self.checkpoint.name}, sha256 {self.file_digest}"
        if self.listed is None:
            raise Skip("there is no verified list of files")
        signed = {file.name: file for file in self.listed.files}
        if isinstance(self.checkpoint, Path):
            whole = self.listed.files[0]
            self.left_out = ()
            found = {whole.name: digests_of_file(self.checkpoint, hashing=self.listed.hashing, progress=self.on_scan)}
        else:
            self._check_present(self.checkpoint, signed, self.listed)
            found = digests_of(self.checkpoint, signed, hashing=self.listed.hashing, progress=self.on_scan)
        problems = [
            difference
            for name in sorted(signed)
            if (difference := _difference(signed[name], found[name], self.listed.hashing)) is not None
        ]
        self.verified = len(signed) - len(problems)
        refuse(problems, rest=f"{self.verified} of {len(signed)} as signed")
        return f"{count(len(signed), 'file')}, every digest as signed"

    def _check_present(self, source: Source, signed: Mapping[str, SignedFile], listed: Manifest) -> None:
        """Refuse names that are missing or not signed, before anything large is read."""
        present = {file.name: file for file in source.listing()}
        unsigned = {name: present[name] for name in present.keys() - signed.keys()}
        for name in self._own(source, unsigned, listed.hashing):
            del unsigned[name]
        # Where files are signed in pieces, an empty one has none, so the list cannot name it.
        out = {
            name
            for name, file in unsigned.items()
            if listed.is_ignored(name) or (listed.hashing.piece is not None and not file.size)
        }
        self.left_out = tuple(unsigned[name] for name in sorted(out))
        refuse(
            [
                *(_missing(name) for name in sorted(signed.keys() - present.keys())),
                *(f"{name} in the checkpoint is not signed" for name in sorted(unsigned.keys() - out)),
            ],
            rest="no file was hashed",
        )

    def _own(self, source: Source, unsigned: Mapping[str, Advertised], hashing: Hashing) -> list[str]:
        """Name the copies of the signature itself, which no signature can cover; under a loader's name it is none."""
        alike = [name for name, file in unsigned.items() if file.size == len(self.data) and role(name) not in LOADED]
        own = digests_of_bytes(self.data, hashing=hashing)
        found = digests_of(source, alike, hashing=hashing, progress=None) if alike else {}
        return [name for name in alike if found[name] == own]

    # ---- 5 ----
    def ignored(self) -> str:
        """What the signature leaves out is nothing that a loader would use; whatever else it is gets listed."""
        if self.left_out is None:
            raise Skip("the checkpoint was not compared")
        refuse(
            [
                f"{file.name} is not covered by the signature, and a loader would use it ({role(file.name)})"
                for file in self.left_out
                if _is_loaded(file)
            ]
        )
        if self.left_out:
            names = ", ".join(file.name for file in self.left_out[:LISTED])
            more = f" and {len(self.left_out) - LISTED} more" if len(self.left_out) > LISTED else ""
            raise Skip(f"not covered by the signature, nor checked: {names}{more}", asked=False)
        return "nothing is left out"


def read_signature(path: Path) -> bytes:
    """Read the file of a signature.

    Raises:
        StorageError: when it is missing or unreadable.
        FormatError: for a special file, or a size over the limit.
    """
    try:
        return files.read(path, limit=BUNDLE_LIMIT)[0]
    except files.UnfitError as error:
        raise FormatError(f"{path}: {error.strerror}, which no signature is") from error
    except OSError as error:
        raise StorageError(f"{path}: the signature cannot be read: {error.strerror}") from error


def _is_loaded(file: Advertised) -> bool:
    """Tell whether a loader would use a file; an empty one gives it nothing."""
    kinds = LOADED_ANYWHERE if oms.is_left_out(file.name) else LOADED
    return file.size > 0 and role(file.name) in kinds


def _missing(name: str) -> str:
    if is_bookkeeping(name):
        return f"{name} is signed, and mbom reads no files of git or of the hub's client"
    return f"{name} is missing from the checkpoint"


def _difference(signed: SignedFile, found: FileDigests, hashing: Hashing) -> str | None:
    """Say how a file that is not the signed one differs from it, None where it does not."""
    if signed.digests == found.digests and signed.size in (None, found.size):
        return None
    if hashing.piece is None:
        ours, theirs = found.digests[0], signed.digests[0]
        return f"{signed.name}: {hashing.algorithm} {ours[:12]}… in the checkpoint, signed {theirs[:12]}…"
    if signed.size != found.size:
        return f"{signed.name}: {found.size:,} bytes in the checkpoint, signed {signed.size:,}"
    first = next(i for i, pair in enumerate(zip(signed.digests, found.digests, strict=True)) if pair[0] != pair[1])
    start = first * hashing.piece
    return f"{signed.name}: bytes {start:,} to {min(start + hashing.piece, found.size):,} are not the signed ones"
