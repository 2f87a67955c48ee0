"""`mbom verify`: the twelve steps that decide whether a bundle and a checkpoint belong together.

A signature that is no part of a bundle has five of its own.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mbom import bundle
from mbom.engine import Measure
from mbom.errors import RefusedError, UnavailableError
from mbom.inventory import ScanProgress
from mbom.signing import Verifier
from mbom.source import Source
from mbom.verdict import SIGNATURE_STEPS, STEPS, Check, SignatureVerdict, Verdict
from mbom.verify.asked import Challenge, Expectation
from mbom.verify.procedure import Procedure, Skip
from mbom.verify.signature import SignatureProcedure

__all__ = ["Challenge", "Expectation", "verify", "verify_signature"]


def verify(
    folder: Path,
    *,
    verifier: Verifier,
    checkpoint: Source | None = None,
    measure: Measure | None = None,
    asked: Challenge | None = None,
    expected: Expectation | None = None,
    on_scan: Callable[[ScanProgress], None] | None = None,
) -> Verdict:
    """Check a bundle, and a checkpoint against it where one is given, without any network for local ones.

    Args:
        folder: the bundle, which may also be a ``.zip`` of the folder.
        verifier: whom the caller trusts; nothing in the bundle can add to it.
        checkpoint: the files to hold against the signed ones.
        measure: runs the behaviour pass again; None when the caller does not ask for it.
        asked: a challenge to the checkpoint and to a reference; None when the caller does not ask for it.
        expected: what the caller demands besides.
        on_scan: called while the checkpoint is read, and a reference that is one.

    Raises:
        StorageError: when the bundle cannot be read at all.
        AccessError: when the checkpoint's source wants another identity.
    """
    procedure = Procedure(
        folder=folder,
        verifier=verifier,
        checkpoint=checkpoint,
        measure=measure,
        asked=asked,
        expected=expected or Expectation(),
        on_scan=on_scan,
    )
    checks = [_run(step, getattr(procedure, step.replace("-", "_"))) for step in STEPS]
    return Verdict(
        checks=tuple(replace(check, comparison=procedure.comparisons.get(check.id)) for check in checks),
        model=procedure.model(),
        bundle_digest=bundle.digest(procedure.members) if procedure.members else None,
        signer=procedure.signer,
        seen=procedure.seen,
    )


def verify_signature(
    signature: Path,
    checkpoint: Source | Path,
    *,
    verifier: Verifier,
    allow_legacy: bool = False,
    on_scan: Callable[[ScanProgress], None] | None = None,
) -> SignatureVerdict:
    """Check a signature that is no part of a bundle: anybody's ``model.sig``, or that of one file.

    Args:
        signature: the file that holds it.
        checkpoint: the files that it should be of, or the path of one file.
        verifier: whom the caller trusts; nothing in the signature can add to it.
        allow_legacy: whether the deprecated format of PyPI ``model-signing`` 0.2 is taken. A signature of that format
            made with a key or certificate also needs a verifier that allows it.
        on_scan: called while files are read.

    Raises:
        AccessError: when the checkpoint's source wants another identity.
    """
    procedure = SignatureProcedure(
        signature=signature, checkpoint=checkpoint, verifier=verifier, allow_legacy=allow_legacy, on_scan=on_scan
    )
    checks = tuple(_run(step, getattr(procedure, step)) for step in SIGNATURE_STEPS)
    return SignatureVerdict(
        checks=checks,
        signer=procedure.signer,
        model=procedure.model(),
        files=procedure.verified,
        ignored=tuple(file.name for file in procedure.left_out or ()),
    )


def _run(step: str, look: Callable[[], str]) -> Check:
    try:
        return Check(id=step, outcome="PASS", detail=look())
    except Skip as skip:
        return Check(id=step, outcome="SKIP", detail=str(skip), asked=skip.asked)
    except RefusedError as error:
        return Check(id=step, outcome="FAIL", detail=str(error))
    except UnavailableError as error:
        return Check(id=step, outcome="SKIP", detail=f"could not be checked: {error}")
