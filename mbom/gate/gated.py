"""What the gate says: of each model that a change is about, and of the change as a whole."""

from dataclasses import dataclass
from typing import Literal, get_args

from mbom.diff.changes import Changes
from mbom.dossier import Dossier
from mbom.lockfile import Entry, LockKind
from mbom.policy.case import Case
from mbom.policy.decision import Decision, exit_code
from mbom.strictjson import Json

SCHEMA = "urn:mbom:gate:v1"

# ``tampered``: the lock file says the same, and the bundle that lies there is not the one that it was.
# ``given``: named on the command line, with no lock file to say what it replaces.
GateKind = Literal["tampered", "given", "unchanged"]
Kind = LockKind | GateKind
KINDS: tuple[str, ...] = (*get_args(LockKind), *get_args(GateKind))

# Where the policy that decided was read. ``base`` is the commit that a pull request is to be merged into.
PolicySource = Literal["base", "head", "disk", "none"]
FailOn = Literal["any", "refused", "never"]


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One side of a model's change: what is pinned.

    Attributes:
        source: where the model comes from: ``org/name``, or the name of a folder.
        revision: the commit there; None for a folder.
        digest: the model digest.
        bundle: where its evidence lies; None for a checkpoint without any.
        bundle_digest: the identity of that.
    """

    source: str
    revision: str | None
    digest: str
    bundle: str | None = None
    bundle_digest: str | None = None

    @classmethod
    def of_entry(cls, entry: Entry) -> "Pin":
        """Return what a lock file pins."""
        return cls(
            source=entry.repo or entry.name,
            revision=entry.revision,
            digest=entry.digest,
            bundle=entry.bundle,
            bundle_digest=entry.bundle_digest,
        )

    @classmethod
    def of_dossier(cls, dossier: Dossier) -> "Pin":
        """Return what a bundle or a checkpoint is about."""
        origin = dossier.inventory.origin
        return cls(
            source=origin.repo or origin.name,
            revision=origin.revision,
            digest=dossier.inventory.digest,
            bundle=dossier.label if dossier.kind == "bundle" else None,
            bundle_digest=dossier.bundle_digest,
        )

    @property
    def short(self) -> str:
        """The revision, or else the digest, in twelve digits."""
        return self.revision[:12] if self.revision is not None else f"sha256:{self.digest[:12]}"

    def to_dict(self) -> dict[str, Json]:
        """Return the pin as JSON."""
        return dict(vars(self))


@dataclass(frozen=True, kw_only=True)
class Gated:
    """One model, and what was decided on it.

    Attributes:
        model: its name.
        kinds: what became of it, the worst first.
        old: what was; None for a first one.
        new: what is; None for one that was removed.
        line: of the new lock file that names it, from 1; None where there is none.
        case: what was decided on; None where no evidence could be read.
        decision: the decision.
    """

    model: str
    kinds: tuple[Kind, ...]
    old: Pin | None
    new: Pin | None
    line: int | None
    case: Case | None
    decision: Decision

    @property
    def changes(self) -> Changes | None:
        """What differs from the model that it replaces; None where nothing was compared."""
        return self.case.changes if self.case is not None else None

    def to_dict(self) -> dict[str, Json]:
        """Return the model as JSON."""
        verdict = self.case.verdict if self.case is not None else None
        return {
            "model": self.model,
            "kinds": list(self.kinds),
            "old": self.old.to_dict() if self.old is not None else None,
            "new": self.new.to_dict() if self.new is not None else None,
            "line": self.line,
            "signer": self.case.signer if self.case is not None else None,
            "verdict": verdict.to_dict() if verdict is not None else None,
            "decision": self.decision.to_dict(),
            "changes": self.changes.to_dict() if self.changes is not None else None,
        }


@dataclass(frozen=True, kw_only=True)
class PolicyUsed:
    """The policy that decided: its file as it was named, where that was read, and its SHA-256."""

    file: str | None
    source: PolicySource
    sha256: str | None

    def to_dict(self) -> dict[str, Json]:
        """Return it as JSON."""
        return {"file": self.file, "source": self.source, "sha256": self.sha256}


@dataclass(frozen=True, kw_only=True)
class Review:
    """All models that a change is about, and how it was judged.

    Attributes:
        gated: the models, the worst first.
        unchanged: how many models of the lock file are what they were.
        lock: the lock file as reports name it; None where models were named one by one.
        old: what was compared with, in words: a commit, a file; None where there is no such side.
        new: what was judged.
        policy: whose word it was.
        notes: what a reader should know of how it was judged.
        locked: whether a lock file was read, so that no change is an answer too.
    """

    gated: tuple[Gated, ...]
    unchanged: int
    lock: str | None
    old: str | None
    new: str
    policy: PolicyUsed
    notes: tuple[str, ...] = ()
    locked: bool = True

    @property
    def exit_code(self) -> int:
        """The exit status: 1 where a model is refused, 3 where one could not be checked, else 0.

        A lock file in which no model changes is an answer, and its status 0; no lock file and no model is none.
        """
        decided = [item.decision for item in self.gated]
        return 0 if self.locked and not decided else exit_code(decided)

    @property
    def outcome(self) -> Literal["allowed", "refused", "incomplete"]:
        """What it comes to in a word."""
        outcomes: dict[int, Literal["allowed", "refused", "incomplete"]] = {1: "refused", 3: "incomplete"}
        return outcomes.get(self.exit_code, "allowed")

    def status(self, fail_on: FailOn) -> int:
        """Return the exit status where only some outcomes are to fail."""
        failing = {"any": (1, 3), "refused": (1,), "never": ()}[fail_on]
        return self.exit_code if self.exit_code in failing else 0

    @property
    def sentence(self) -> str:
        """The last line: what it comes to."""
        if not self.gated:
            return "ALLOWED: no model changes" if self.exit_code == 0 else "INCOMPLETE: there is no model to decide on"
        counted = {word: sum(item.decision.outcome == word for item in self.gated) for word in _ORDER}
        told = [f"{number} {word}" for word, number in counted.items() if number]
        return f"{self.outcome.upper()}: {', '.join(told)} of {models(len(self.gated))}"

    def to_dict(self) -> dict[str, Json]:
        """Return the review as JSON, as ``schemas/gate.schema.json`` describes it."""
        return {
            "schema": SCHEMA,
            "outcome": self.outcome,
            "exit_code": self.exit_code,
            "lock": self.lock,
            "old": self.old,
            "new": self.new,
            "policy": self.policy.to_dict(),
            "notes": list(self.notes),
            "unchanged": self.unchanged,
            "models": [item.to_dict() for item in self.gated],
        }


_ORDER = ("refused", "incomplete", "allowed")


def ordered(gated: tuple[Gated, ...]) -> tuple[Gated, ...]:
    """Return models with the worst first: what was changed in place, refused, unchecked; then by name."""

    def rank(item: Gated) -> tuple[bool, int, int, str]:
        in_place = "changed-in-place" in item.kinds
        return (not in_place, _ORDER.index(item.decision.outcome), KINDS.index(item.kinds[0]), item.model)

    return tuple(sorted(gated, key=rank))


def models(number: int) -> str:
    """Return a number of models in words."""
    return f"{number} model" if number == 1 else f"{number} models"
