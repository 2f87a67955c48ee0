"""Which evidence is there, and whether it holds."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from mbom.behaviour.record import SKETCH_LIMIT, Record
from mbom.policy.case import Case
from mbom.policy.decision import Outcome, Place, Reason
from mbom.policy.entries import TrustedSigner
from mbom.policy.kinds import days
from mbom.policy.settings import Settings


def judge(case: Case, settings: Settings, trusted: Sequence[TrustedSigner]) -> Iterator[Reason]:
    """Yield what is wrong with the evidence; a check that failed refuses whatever the policy says.

    Args:
        case: the model.
        settings: what counts for it.
        trusted: whose signature of it is trusted.
    """
    for check in case.verdict.checks if case.verdict is not None else ():
        if check.outcome == "FAIL":
            yield Reason(
                id="verification-failed",
                outcome="refuse",
                sentence=f"{check.id}: {check.detail}",
                action="do not use these files: have the model attested again by somebody whom the policy trusts",
            )
    yield from _signature(case, settings, trusted)
    yield from _behaviour(case, settings)
    if case.dossier.record is not None:
        yield from _coverage(case, case.dossier.record, settings)
        yield from _sensitivity(case.dossier.record, settings)
    yield from _age(case, settings)


def unanswered(case: Case) -> str | None:
    """Return what the verification could not check though it was asked; None where nothing is left open."""
    if case.verdict is None:
        return None
    open_checks = (check for check in case.verdict.checks if check.outcome == "SKIP" and check.asked)
    return next((f"{check.id}: {check.detail}" for check in open_checks), None)


def _signature(case: Case, settings: Settings, trusted: Sequence[TrustedSigner]) -> Iterator[Reason]:
    signed = _is_signed(case)
    # Where nobody says which signer it was, all of those that it can have been must vouch for it.
    logged = all(signer.is_logged for signer in trusted) if trusted and case.logged is None else case.logged
    timed = all(signer.is_timed for signer in trusted) if trusted and case.stamped is None else case.stamped
    path = "require.signature"
    if settings.flag(path) and not signed:
        yield Reason(
            id="signature-missing",
            outcome="missing",
            sentence=_unsigned(case),
            action="have it attested, and name the signer under `signers`",
            place=settings.place(path),
        )
    path = "require.transparency_log"
    if settings.flag(path) and not (signed and logged):
        yield _missing("log-entry-missing", "no entry of a transparency log was verified", settings.place(path))
    path = "require.timestamp"
    if settings.flag(path) and not (signed and timed):
        yield _missing("timestamp-missing", "nobody vouches for the time of the signature", settings.place(path))


def _is_signed(case: Case) -> bool:
    """Tell whether somebody whom the policy trusts signed it; a check that failed is a reason of its own."""
    if case.verdict is None or case.signer is None:
        return False
    return any(check.id == "signature" and check.outcome == "PASS" for check in case.verdict.checks)


def _unsigned(case: Case) -> str:
    if case.dossier.kind == "checkpoint":
        return "it is a checkpoint without a bundle, which nobody has signed"
    if case.dossier.attestation is None:
        return "the bundle is not signed"
    if case.verdict is None:
        return f"no signer of the policy is trusted for {case.model}, so that the signature was not checked"
    return "the signature does not verify under any signer that the policy trusts for it"


def _behaviour(case: Case, settings: Settings) -> Iterator[Reason]:
    path = "require.behaviour"
    wanted = settings.word(path)
    measured = {check.id: check.outcome for check in case.verdict.checks} if case.verdict is not None else {}
    if wanted == "match" and measured.get("behaviour") not in ("PASS", "FAIL"):
        yield Reason(
            id="behaviour-missing",
            outcome="missing",
            sentence="the behaviour was not measured again and compared with the record",
            action="verify with the checkpoint and --behaviour",
            place=settings.place(path),
        )
    asked = [name for name in _OF_RECORDS if settings.has(name)]
    if case.dossier.record is None and (wanted in ("recorded", "match") or asked):
        place = settings.place(path if wanted != "none" else asked[0])
        yield _missing(
            "behaviour-missing", "no behaviour was recorded", place, action="attest it without --no-behaviour"
        )


_EXPERTS, _VOCABULARY = "require.expert_coverage", "require.vocabulary_coverage"
_TRIALS, _FACTOR = "require.sensitivity.trials", "require.sensitivity.factor"
_OF_RECORDS = (_EXPERTS, _VOCABULARY, _TRIALS, _FACTOR)


def _coverage(case: Case, record: Record, settings: Settings) -> Iterator[Reason]:
    held = record.coverage
    has_experts = any(number != "0" for number in case.dossier.described.architecture.get("experts", ()))
    for path, what, reached, total, is_there in (
        (_EXPERTS, "experts", held.experts_reached, held.experts, has_experts),
        (_VOCABULARY, "tokens of the vocabulary", held.vocabulary_reached, held.vocabulary, True),
    ):
        least = settings.number(path)
        # A model without experts has none that could be left out.
        if least and is_there and not total:
            sentence = f"the record counts no {what}, and the model has some"
            yield _missing("behaviour-missing", sentence, settings.place(path), action="attest it again")
        elif least is not None and reached < least * total:
            yield Reason(
                id="coverage-too-low",
                outcome="refuse",
                sentence=f"the prompts reach {reached:,} of {total:,} {what} ({reached / total:.1%}); "
                f"at least {least:.1%} is asked for",
                place=settings.place(path),
            )


def _sensitivity(record: Record, settings: Settings) -> Iterator[Reason]:
    least, factor = settings.number(_TRIALS), settings.number(_FACTOR)
    trials = len(record.sensitivity)
    if least is not None and trials < least:
        yield _sharper(f"{trials} single weights were tried; at least {least:g} are asked for", settings.place(_TRIALS))
    if factor is None:
        return
    weakest = min((flip.error / SKETCH_LIMIT for flip in record.sensitivity), default=None)
    if weakest is None:
        yield _sharper("no single weight was tried", settings.place(_FACTOR))
    elif not weakest >= factor:
        told = f"the least of {trials} trials shows {weakest:.1e} times above the limit; {factor:g} is asked for"
        yield _sharper(told, settings.place(_FACTOR))


def _sharper(sentence: str, place: Place) -> Reason:
    return Reason(
        id="sensitivity-too-low",
        outcome="refuse",
        sentence=sentence,
        action="attest it with --sensitivity",
        place=place,
    )


def _age(case: Case, settings: Settings) -> Iterator[Reason]:
    path = "require.attestation_max_age"
    greatest = settings.word(path)
    if greatest is None:
        return
    place = settings.place(path)
    attestation = case.dossier.attestation
    if attestation is None:
        yield _missing("age-unknown", "there is no statement whose age could be told", place)
        return
    made = attestation.time if case.seen is None else min(attestation.time, case.seen)
    yield from too_old(case.now, made, greatest, place, ("attestation-too-old", "the statement was made"))


def too_old(now: datetime, made: datetime, greatest: str, place: Place, told: tuple[str, str]) -> Iterator[Reason]:
    """Yield that something is too old, or from the future, so that its age is not known.

    Args:
        now: the time.
        made: when it was made.
        greatest: the greatest age, as the policy writes it.
        place: of the key.
        told: the id of the reason, and how its sentence begins.
    """
    name, begin = told
    if made > now:
        yield _missing("age-unknown", f"{begin} on {made.date()}, which is in the future", place)
    elif now - made > days(greatest):
        sentence = f"{begin} on {made.date()}, {(now - made).days} days ago; at most {greatest} is allowed"
        yield Reason(id=name, outcome="refuse", sentence=sentence, place=place)


def _missing(name: str, sentence: str, place: Place, *, action: str = "", outcome: Outcome = "missing") -> Reason:
    return Reason(id=name, outcome=outcome, sentence=sentence, action=action, place=place)
