"""`mbom verify`: the twelve steps that decide whether a bundle and a checkpoint belong together."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mbom.engine import Measure
from mbom.errors import RefusedError, UnavailableError
from mbom.inventory import ScanProgress
from mbom.signing import Verifier
from mbom.source import Source
from mbom.verdict import STEPS, Check, Verdict
from mbom.verify.asked import Challenge, Expectation
from mbom.verify.procedure import Procedure, Skip

__all__ = ["Challenge", "Expectation", "verify"]


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
