"""A policy's word on a bundle by itself: verified under whom the policy trusts, with nothing to compare it with."""

from collections.abc import Iterable
from pathlib import Path

from rich.text import Text

from mbom import verify
from mbom.cli import clock
from mbom.cli.console import Display, plain
from mbom.dossier import Dossier, read_bundle
from mbom.errors import UsageError
from mbom.policy import Case, Decision, Policy, Reason, TrustedSigner
from mbom.verdict import Verdict

STYLES = {"refuse": "bold red", "missing": "bold red", "waived": "yellow", "note": "dim"}
_OUTCOMES = {"allowed": "bold green", "refused": "bold red", "incomplete": "bold yellow"}


def judge(policy: Policy, path: Path, *, model: str | None = None) -> Decision:
    """Verify a bundle under each signer that the policy trusts for it, and decide.

    Args:
        policy: whose word counts.
        path: the bundle.
        model: its name; None for the one that the bundle has.

    Raises:
        UsageError: when the bundle is of another repository than the name says.
        MbomError: when the bundle cannot be read, or a key of the policy cannot.
    """
    dossier = read_bundle(path)
    repo = dossier.inventory.origin.repo
    if model is not None and "/" in model and repo is not None and model.casefold() != repo.casefold():
        raise UsageError(f"{path} is of {repo}, and MODEL is {model}; a name with a slash is that of the repository")
    name = model or dossier.name
    verdict, signer = _verified(policy, path, name, dossier)
    return policy.decide(
        Case(
            model=name,
            dossier=dossier,
            verdict=verdict,
            signer=str(signer) if signer is not None else None,
            changes=None,
            previous=None,
            now=clock.now(),
            logged=signer.is_logged if signer is not None else None,
            stamped=signer.is_timed if signer is not None else None,
        )
    )


def _verified(policy: Policy, path: Path, name: str, dossier: Dossier) -> tuple[Verdict | None, TrustedSigner | None]:
    """Return the verdict under the first signer whose signature it is; without one, the first that was tried."""
    first = None
    if dossier.attestation is None:
        return None, None
    for signer in policy.trusted(name):
        assert policy.folder is not None  # the commands read it from one
        verdict = verify.verify(path, verifier=signer.verifier(policy.folder))
        if any(check.id == "signature" and check.outcome == "PASS" for check in verdict.checks):
            return verdict, signer
        first = first or verdict
    return first, None


def show(display: Display, decisions: Iterable[Decision]) -> None:
    """Print decisions as data: a line for each reason, then the outcome."""
    for decision in decisions:
        for reason in decision.reasons:
            display.out.print(_line(reason))
        told = f": {decision.could_not_check}" if decision.outcome == "incomplete" else ""
        text = plain(f"{decision.outcome.upper()}  {decision.model}{told}")
        display.out.print(Text(text.replace("\n", "\\n"), style=_OUTCOMES[decision.outcome]))


def _line(reason: Reason) -> Text:
    place = f" {reason.place.file}:{reason.place.line}" if reason.place is not None else ""
    waived = f" (waived: {reason.waiver})" if reason.waiver is not None else ""
    action = f"; {reason.action}" if reason.action and reason.refuses else ""
    return Text.assemble(
        (f"{reason.outcome:<8}", STYLES[reason.outcome]),
        plain(f" {reason.sentence}{waived}{action} ").replace("\n", "\\n"),
        (plain(f"[{reason.id}]{place}"), "dim"),
    )
