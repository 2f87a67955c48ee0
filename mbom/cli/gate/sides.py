"""What `mbom gate` compares and whose word counts, from its options: lock files on this machine or in commits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath

from mbom.cli.console import shown
from mbom.cli.trust import Trusted as Options
from mbom.digest import sha256
from mbom.dossier import Dossier
from mbom.engine import Measure
from mbom.errors import KeyFileError, SourceError, UsageError
from mbom.gate import AtHand, Gated, Judge, PolicyUsed, Review, Side, Trusted, gate
from mbom.gate.history import Repository
from mbom.gate.pullrequest import PullRequest, check_untracked, within
from mbom.lockfile import FILE_NAME, Entry, located, read
from mbom.policy import NAME, Policy
from mbom.policy.document import SIZE_LIMIT
from mbom.policy.policy import read_file
from mbom.signing import KeyVerifier
from mbom.source import open_source

KEY_LIMIT = 1 << 20  # bytes of a key, a chain or a trust configuration; the largest of them has some 10,000
NO_POLICY = PolicyUsed(file=None, source="none", sha256=None)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the options say of what is judged by what; None where one was not given."""

    base: str | None
    head: str | None
    lock: Path | None
    policy: Path | None
    model: str | None
    everything: bool
    checkpoints: tuple[str, ...]
    old_checkpoints: tuple[str, ...]
    behaviour: bool

    def at_hand(self, measure: Measure) -> dict[str, AtHand]:
        """Return the checkpoints by the names of their models, to be measured where that is asked for.

        Raises:
            UsageError: for another form than NAME=PATH, a name that is there twice, or nothing to measure.
            SourceError: for a path that is no checkpoint.
        """
        found = {
            name: AtHand(checkpoint=open_source(path), measure=measure if self.behaviour else None)
            for name, path in _named("--checkpoint", self.checkpoints).items()
        }
        if self.behaviour and not found:
            raise UsageError("--behaviour needs a --checkpoint to measure")
        return found

    def beside(self, opened: Callable[[str], Dossier]) -> dict[str, tuple[Dossier, Dossier]]:
        """Return the checkpoints of both models whose weights are to be compared, by the name.

        Raises:
            UsageError: for another form than NAME=PATH, or an old one without the one in its place.
            MbomError: as ``open_dossier``.
        """
        old, new = _named("--old-checkpoint", self.old_checkpoints), _named("--checkpoint", self.checkpoints)
        alone = next((name for name in old if name not in new), None)
        if alone is not None:
            raise UsageError(f"--old-checkpoint {ascii(alone)[:120]} needs the --checkpoint of the same name beside it")
        return {name: (opened(path), opened(new[name])) for name, path in old.items()}


def _named(option: str, given: Sequence[str]) -> dict[str, str]:
    """Return what an option gives, by the names of models."""
    found: dict[str, str] = {}
    for text in given:
        name, _, path = text.partition("=")
        if not name or not path or name in found:
            raise UsageError(f"{option} is {ascii(text)[:120]}, it must be NAME=PATH, once for each model")
        found[name] = path
    return found


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What a judge has whatever the policy: the time, the checkpoints at hand, and how much is judged."""

    now: datetime
    at_hand: Mapping[str, AtHand]
    beside: Mapping[str, tuple[Dossier, Dossier]]
    everything: bool

    def judge(self, policy: Policy | None, trusted: Callable[[str], Sequence[Trusted]]) -> Judge:
        """Return the judge by this policy and trust."""
        return Judge(policy=policy, trusted=trusted, **vars(self))

    def notes(self, gated: Sequence[Gated]) -> tuple[str, ...]:
        """Return what was given for nothing: a checkpoint of a model that is not judged."""
        unused = sorted(self.at_hand.keys() - {item.model for item in gated})
        return tuple(f"--checkpoint {name}: no model of this name is judged." for name in unused)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Whose word counts, and what a report says of it."""

    judge: Judge
    used: PolicyUsed
    notes: tuple[str, ...] = ()

    @classmethod
    def on_disk(cls, around: Circumstances, asked: Asked, options: Options) -> "Judged":
        """Return the policy and the trust of this machine."""
        path = asked.policy if asked.policy is not None else Path(NAME)
        if asked.policy is None and not path.exists():
            judge = around.judge(None, _only(options))
            return cls(judge=judge, used=NO_POLICY)
        data = read_file(path)
        policy = Policy.from_bytes(data, file=shown(path), folder=path.parent)
        trusted = _trusting(policy, lambda _: path.parent, options)
        judge = around.judge(policy, trusted)
        return cls(judge=judge, used=PolicyUsed(file=shown(path), source="disk", sha256=sha256(data)))


def of_files(locks: Sequence[Path], around: Circumstances, asked: Asked, options: Options) -> Review:
    """Judge one lock file, in place of another where there are two.

    Raises:
        SourceError: when one of them is missing.
    """
    judged = Judged.on_disk(around, asked, options)
    sides = [_side(path) for path in locks]
    old = sides[0] if len(sides) > 1 else None
    gated = gate(old, sides[-1], judge=judged.judge)
    return Review(
        gated=gated,
        unchanged=len(sides[-1].lock.entries) - sum(item.new is not None for item in gated),
        lock=str(locks[-1]),
        old=shown(locks[0]) if old is not None else None,
        new=shown(locks[-1]),
        policy=judged.used,
        notes=(*judged.notes, *around.notes(gated)),
    )


def _side(path: Path) -> Side:
    lock = read(path)
    if lock is None:
        raise SourceError(f"{path}: no such lock file; `mbom lock add` writes one")

    def find(entry: Entry) -> Path:
        return located(entry, path.absolute().parent)

    return Side(lock=lock, find=find)


def of_commits(scratch: Path, around: Circumstances, asked: Asked, options: Options) -> Review:
    """Judge the lock file of one commit in place of that of another.

    Raises:
        UsageError: when a commit, a file or a trust cannot be what is meant.
    """
    repository = Repository.open(Path.cwd())
    assert asked.base is not None
    base = repository.resolve(asked.base)
    head = repository.resolve(asked.head if asked.head is not None else "HEAD")
    path = asked.lock if asked.lock is not None else Path(FILE_NAME)
    lock = within(repository, path)
    if lock is None:
        raise UsageError(f"{path} lies outside of the repository at {shown(repository.root)}")
    request = PullRequest(repository=repository, base=base, head=head, lock=lock, scratch=scratch)
    judged = _of_request(request, around, asked, _exported(request, options))
    old, new = request.sides()
    gated = gate(old, new, judge=judged.judge, tampered=request.tampered(old, new))
    first = () if old is not None else (f"The base has no {lock}: every model counts as added.",)
    return Review(
        gated=gated,
        unchanged=len(new.lock.entries) - sum(item.new is not None for item in gated),
        lock=lock,
        old=f"{lock} in {base[:12]}",
        new=head[:12],
        policy=judged.used,
        notes=(*judged.notes, *first, *around.notes(gated)),
    )


def _of_request(request: PullRequest, around: Circumstances, asked: Asked, options: Options) -> Judged:
    """Return the policy and the trust that a change cannot bring along by itself."""
    path = asked.policy if asked.policy is not None else Path(NAME)
    name = within(request.repository, path)
    found = request.trusted(name, limit=SIZE_LIMIT) if name is not None else None
    if name is None or found is None:
        if name is not None:
            check_untracked(request, name)
        return Judged.on_disk(around, asked, options)
    data, source = found
    policy = Policy.from_bytes(data, file=name, folder=request.repository.root / PurePosixPath(name).parent)
    commit = request.base if source == "base" else request.head
    judge = around.judge(policy, _trusting(policy, _keys_of(request, commit, name, policy), options))
    notes = []
    if source == "head":
        notes.append(f"The base has no {name}: the change is judged by the one that it brings itself.")
    elif request.repository.ids(request.head, [name]) != request.repository.ids(request.base, [name]):
        notes.append(f"{name} changes too. The base's decides here; the other one counts once it is merged.")
    return Judged(judge=judge, used=PolicyUsed(file=name, source=source, sha256=sha256(data)), notes=tuple(notes))


def _keys_of(request: PullRequest, commit: str, name: str, policy: Policy) -> Callable[[str], Path]:
    """Return what gives the folder of the files that a policy names, as the same commit has them.

    What a file is called is told before it is opened: only what the commit has is copied.
    """
    parent = PurePosixPath(name).parent
    below = {file: str(parent / file) for signer in policy.signers for file in signer.files}
    folder = request.export(commit, sorted(below.values()), limit=KEY_LIMIT)

    def having(file: str) -> Path:
        if file and not folder.joinpath(below[file]).is_file():
            raise KeyFileError(f"{name} names {file}, which commit {commit[:12]} does not have; it is read from there")
        return folder / parent

    return having


def _exported(request: PullRequest, options: Options) -> Options:
    """Return the options with the base's files in place of those that a change could have replaced."""

    def base_of(path: Path | None) -> Path | None:
        name = within(request.repository, path) if path is not None else None
        if path is None or name is None:
            return path
        commits = {commit: request.repository.find(commit, name) for commit in (request.base, request.head)}
        if commits[request.base] is not None:
            return request.export(request.base, [name], limit=KEY_LIMIT) / name
        if commits[request.head] is not None:
            raise UsageError(
                f"{name} comes with the change that is judged, and the base has none; merge it first, or keep it "
                "outside of the repository"
            )
        check_untracked(request, name)
        return path

    return replace(
        options,
        key=base_of(options.key),
        certificate_chain=tuple(path for path in map(base_of, options.certificate_chain) if path is not None),
        timestamp_authority=base_of(options.timestamp_authority),
        keyless=replace(options.keyless, trust_config=base_of(options.keyless.trust_config)),
    )


def _trusting(policy: Policy, folder: Callable[[str], Path], options: Options) -> Callable[[str], Sequence[Trusted]]:
    """Return who may sign a model: whom the policy names, and where it names nobody, whom the options do."""
    fallback = _only(options) if options.given else None
    made: dict[int, Trusted] = {}

    def trusted(model: str) -> Sequence[Trusted]:
        named = policy.trusted(model)
        if not named:
            return fallback(model) if fallback is not None else ()
        for signer in named:
            if id(signer) not in made:
                (root,) = {folder(file) for file in signer.files or ("",)}
                verifier = signer.verifier(root)
                made[id(signer)] = Trusted(verifier=verifier, logged=signer.is_logged, timed=signer.is_timed)
        return [made[id(signer)] for signer in named]

    return trusted


def _only(options: Options) -> Callable[[str], Sequence[Trusted]]:
    """Return the trust of the options, for every model; without any, that in the user's own key."""
    verifier = options.verifier()
    keyless = bool(options.keyless.given())
    timed = keyless or (isinstance(verifier, KeyVerifier) and options.timestamp_authority is not None)
    trusted = Trusted(verifier=verifier, logged=keyless, timed=timed)
    return lambda _: (trusted,)
