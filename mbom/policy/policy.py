"""A policy: the parsed file, and what it decides on a case."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mbom.errors import FormatError, StorageError
from mbom.policy import document, patterns, rules
from mbom.policy.case import Case
from mbom.policy.decision import Decision, Place, Reason
from mbom.policy.entries import TrustedSigner, Waiver, is_for
from mbom.policy.judging import changes, evidence, files, origin, terms
from mbom.policy.reading import Problem
from mbom.policy.reasons import FINAL
from mbom.policy.settings import Override, Setting, Settings
from mbom.storage.files import UnfitError, regular

NAME = "mbom.yaml"

# Of the model itself: what they say of the one that it replaces is not new.
_OF_MODELS = (terms.judge, origin.judge, files.judge)


@dataclass(frozen=True, kw_only=True)
class Policy(document.Parts):
    """What a product allows of models.

    Attributes:
        file: its name, for messages.
        folder: what the paths in it are below; None where it was not read from a folder, so that no file can be had.
    """

    file: str
    folder: Path | None

    @classmethod
    def from_bytes(cls, data: bytes, *, file: str = NAME, folder: Path | None = None) -> "Policy":
        """Read a policy strictly.

        Args:
            data: the file.
            file: its name, for messages.
            folder: what the paths in it are below.

        Raises:
            FormatError: naming the first problems, each with file, line and column.
            UnavailableError: when it has rules in CEL, and the extra is not installed.
        """
        parts, problems = examine(data, file=file)
        if problems:
            raise FormatError(told(problems))
        return cls(**vars(parts), file=file, folder=folder)

    def settings(self, *names: str) -> Settings:
        """Return what counts for a model, which may be known by several names.

        The values of the file are replaced, key by key, by those of each override whose pattern means the model: first
        those of patterns that say less, and of equals in the order of the file.
        """
        merged: dict[str, Setting] = dict(self.base)
        for override in self.overriding(*names):
            merged.update(override.settings)
        return Settings(given=merged, whole=document.whole(self.file))

    def overriding(self, *names: str) -> tuple[Override, ...]:
        """Return the overrides for a model, the one that counts last at the end."""
        found = (override for override in self.overrides if is_for(override.pattern, names))
        return tuple(sorted(found, key=lambda override: patterns.weight(override.pattern)))

    def trusted(self, model: str) -> tuple[TrustedSigner, ...]:
        """Return whose signature of a model is trusted, any of them, by the name that it has in the lock file."""
        return tuple(signer for signer in self.signers if is_for(signer.pattern, (model,)))

    def limits_changes(self, *names: str) -> Place | None:
        """Return what makes the word on a model depend on what changed, so that its predecessor must be at hand.

        None where nothing does. A rule that speaks of changes may hold of a first model, and says nothing of this one.
        """
        settings = self.settings(*names)
        asked = changes.asked(settings)
        if asked:
            return settings.place(asked[0])
        return next((rule.place for rule in self.rules if "changes" in rule.cel), None)

    def decide(self, case: Case) -> Decision:
        """Decide on a model."""
        return self.settle(self.reasons(case), case)

    def reasons(self, case: Case) -> tuple[Reason, ...]:
        """Return everything that speaks against a model, before any waiver counts."""
        settings = self.settings(*names(case))
        return (
            *evidence.judge(case, settings, self.trusted(case.model)),
            *_of_model(case, settings),
            *changes.judge(case, settings),
            *rules.judge(self.rules, case),
        )

    def settle(self, reasons: Iterable[Reason], case: Case) -> Decision:
        """Return the decision that reasons come to, once the waivers count: those of the policy, and the caller's own.

        A reason is waived by the first waiver in force for the model that names its id, and its file where it names
        one. What is final stays a refusal.
        """
        waivers = [waiver for waiver in self.waivers if is_for(waiver.pattern, names(case))]
        used: set[int] = set()
        settled = [_settled(reason, waivers, case, used) for reason in reasons]
        return Decision(
            model=case.model,
            reasons=(*settled, *_notes(waivers, case, used)),
            could_not_check=evidence.unanswered(case),
        )


def load(path: Path) -> Policy:
    """Read a policy from a file; its folder is what the paths in it are below.

    Raises:
        StorageError: when the file is missing, unreadable or no regular file.
        FormatError: as ``Policy.from_bytes``.
        UnavailableError: the same.
    """
    return Policy.from_bytes(read_file(path), file=str(path), folder=path.parent)


def read_file(path: Path) -> bytes:
    """Return the bytes of a policy, one more than the limit at most.

    Raises:
        StorageError: when the file is missing, unreadable or no regular file.
    """
    try:
        with regular(path) as handle:
            return handle.read(document.SIZE_LIMIT + 1)
    except UnfitError as error:
        raise StorageError(f"{path}: {error.strerror}, which a policy is") from error
    except OSError as error:
        raise StorageError(
            f"{path}: the policy cannot be read: {error.strerror}; `mbom policy init` writes one"
        ) from error


def examine(data: bytes, *, file: str) -> tuple[document.Parts, tuple[Problem, ...]]:
    """Read a policy, and return everything that is wrong with it, its rules included.

    Raises:
        UnavailableError: when it has rules in CEL, and the extra is not installed.
    """
    parts, problems = document.read(data, file=file)
    if not problems and parts.rules:
        problems = rules.problems(parts.rules)
    return parts, problems


def told(problems: Iterable[Problem]) -> str:
    """Return problems as one message, the first in full."""
    first, *others = map(str, problems)
    more = f" (and {len(others)} more; `mbom policy check` lists them all)" if others else ""
    return first + more


def names(case: Case) -> tuple[str, ...]:
    """Return what a model is called, which patterns are held against: in the lock file, and on the hub."""
    repo = case.dossier.inventory.origin.repo
    return (case.model,) if repo is None else (case.model, repo)


def _of_model(case: Case, settings: Settings) -> Iterator[Reason]:
    """Yield what is said of the model itself, and whether the one that it replaces had the same."""
    before: set[tuple[str, str | None, str]] = set()
    if case.previous is not None:
        old = replace(case, dossier=case.previous)
        before = {(reason.id, reason.path, reason.sentence) for judge in _OF_MODELS for reason in judge(old, settings)}
    for judge in _OF_MODELS:
        for reason in judge(case, settings):
            yield replace(reason, is_new=(reason.id, reason.path, reason.sentence) not in before)


def _settled(reason: Reason, waivers: list[Waiver], case: Case, used: set[int]) -> Reason:
    """Return a reason as waivers leave it, and note in ``used`` which of them named it."""
    if not reason.refuses or reason.id in FINAL:
        return reason
    naming = [
        (number, waiver)
        for number, waiver in enumerate(waivers)
        if waiver.id == reason.id and waiver.path in (None, reason.path)
    ]
    used.update(number for number, _ in naming)
    for _, waiver in naming:
        if waiver.counts(case.now):
            return replace(reason, outcome="waived", waiver=waiver.reason)
    if naming:
        expired = max(waiver.expires for _, waiver in naming)
        return replace(reason, sentence=f"{reason.sentence} (a waiver for this expired with {expired.isoformat()})")
    return reason


def _notes(waivers: list[Waiver], case: Case, used: set[int]) -> Iterable[Reason]:
    """Yield what there is to say of waivers: that one expired, or has nothing to waive."""
    for number, waiver in enumerate(waivers):
        if not waiver.counts(case.now):
            yield Reason(
                id="waiver-expired",
                outcome="note",
                sentence=f"the waiver of {waiver.id} expired with {waiver.expires.isoformat()}",
                action="remove it, or give it another day and say why",
                place=waiver.place,
                path=waiver.path,
            )
        elif number not in used and patterns.is_exact(waiver.pattern):
            yield Reason(
                id="waiver-unused",
                outcome="note",
                sentence=f"the waiver of {waiver.id} has nothing to waive",
                action="remove it",
                place=waiver.place,
                path=waiver.path,
            )
