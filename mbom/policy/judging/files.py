"""What is wrong with the files, and how they are stored."""

from collections import Counter
from collections.abc import Iterator, Sequence

from mbom.inventory import Finding
from mbom.inventory.findings import KINDS
from mbom.inventory.roles import CODE, role
from mbom.policy.case import Case
from mbom.policy.decision import Place, Reason
from mbom.policy.keys import REFUSE, SEVERITIES, UNQUANTISED
from mbom.policy.settings import Settings

REASONS_LIMIT = 50  # of one id; the rest is counted in one more, which a waiver of a single file does not cover

PICKLES = ("pickle-present", "pickle-globals", "pickle-unread")
PROGRAMS = ("code-present", "code-disguised", "remote-code-elsewhere", "remote-code-missing", "keras-lambda")
EXECUTABLES = ("executable-format", "keras-lambda")
QUANTISATION = "quantisation:method"


def judge(case: Case, settings: Settings) -> Iterator[Reason]:
    """Yield findings that refuse, and ways of storing files that are not allowed."""
    yield from _some(_findings(case, settings))
    yield from _some(_formats(case, settings))


def _findings(case: Case, settings: Settings) -> Iterator[Reason]:
    fail_on, allow, forbid = (f"findings.{name}" for name in ("fail_on", "allow", "forbid"))
    least = settings.word(fail_on)
    severities = SEVERITIES[: SEVERITIES.index(least) + 1] if least in SEVERITIES else ()
    allowed, forbidden = settings.words(allow) or (), settings.words(forbid) or ()
    for finding in case.dossier.inventory.findings:
        if finding.id in forbidden:
            yield _found(finding, finding.id, settings.place(forbid))
        elif _severities(finding) & set(severities) and finding.id not in allowed:
            yield _found(finding, finding.id, settings.place(fail_on))


def _severities(finding: Finding) -> frozenset[str]:
    """Return how bad a finding is: by the word of who attested it, and by mbom's own."""
    known = KINDS.get(finding.id)
    return frozenset({finding.severity, known.severity if known is not None else finding.severity})


def _found(finding: Finding, name: str, place: Place) -> Reason:
    return Reason(
        id=name,
        outcome="refuse",
        sentence=f"{finding.path}: {finding.detail} ({finding.severity})",
        action=f"look at the file; a waiver of {name} can allow it",
        place=place,
        path=finding.path,
    )


def _formats(case: Case, settings: Settings) -> Iterator[Reason]:
    yield from _dtypes(case, settings)
    yield from _quantisation(case, settings)
    for path, name, kinds in (
        ("formats.pickles", "pickle-not-allowed", PICKLES),
        ("formats.code", "custom-code", PROGRAMS),
        ("formats.executable", "executable-not-allowed", EXECUTABLES),
    ):
        if settings.word(path) == REFUSE:
            yield from _without(case, name, kinds, settings.place(path))


def _without(case: Case, name: str, kinds: Sequence[str], place: Place) -> Iterator[Reason]:
    seen = set()
    for finding in case.dossier.inventory.findings:
        if finding.id in kinds and finding.path not in seen:
            seen.add(finding.path)
            yield _found(finding, name, place)
    for file in case.dossier.inventory.files:
        # What a file is for is the attester's word too, and its name tells.
        if name == "custom-code" and CODE in (file.role, role(file.name)) and file.name not in seen:
            sentence = f"{file.name} is program code"
            yield Reason(id=name, outcome="refuse", sentence=sentence, place=place, path=file.name)


def _dtypes(case: Case, settings: Settings) -> Iterator[Reason]:
    path = "formats.dtypes"
    allowed = settings.words(path)
    if allowed is None:
        return
    stored = Counter(tensor.dtype for tensor in case.dossier.inventory.tensors)
    for dtype, number in sorted(stored.items()):
        if dtype not in allowed:
            yield Reason(
                id="dtype-not-allowed",
                outcome="refuse",
                sentence=f"{number:,} tensors are stored as {dtype}; allowed are {', '.join(allowed) or 'none'}",
                place=settings.place(path),
            )


def _quantisation(case: Case, settings: Settings) -> Iterator[Reason]:
    path = "formats.quantisation"
    allowed = settings.words(path)
    if allowed is None:
        return
    told = case.dossier.described
    if QUANTISATION not in told.properties and told.model_type is None:
        yield Reason(
            id="quantisation-unknown",
            outcome="missing",
            sentence="there is no configuration that says how the weights are quantised, or that they are not",
            place=settings.place(path),
        )
        return
    for method in told.properties.get(QUANTISATION, (UNQUANTISED,)):
        if method.casefold() not in allowed:
            yield Reason(
                id="quantisation-not-allowed",
                outcome="refuse",
                sentence=f"its quantisation is {method}; allowed are {', '.join(allowed) or 'none'}",
                place=settings.place(path),
            )


def _some(reasons: Iterator[Reason]) -> Iterator[Reason]:
    """Yield the first reasons of each id, and one that counts the rest."""
    counted: Counter[str] = Counter()
    last: dict[str, Reason] = {}
    for reason in reasons:
        counted[reason.id] += 1
        last[reason.id] = reason
        if counted[reason.id] <= REASONS_LIMIT:
            yield reason
    for name, number in counted.items():
        if number > REASONS_LIMIT:
            sentence = f"{number - REASONS_LIMIT:,} further files have the same"
            yield Reason(id=name, outcome="refuse", sentence=sentence, place=last[name].place)
