"""Reading files of commits out of a git repository, with plumbing alone: nothing that a commit holds is run or obeyed.

What a pull request brings is read as objects, ``ls-tree`` and ``cat-file``, never from a checkout: no hook, filter,
text conversion, attribute or submodule of it takes part, and no object is fetched. A ref is resolved to a commit once,
and everything after that names objects by their digests. What the user's own git configuration says of safe
directories still holds, because it protects the user.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Literal, Self

from mbom import bundle
from mbom.errors import FormatError, RefusedError, SourceError, UnavailableError, UsageError
from mbom.source.names import check_name
from mbom.zipbundle import ARCHIVE_LIMIT

SECONDS = 120  # for one question to git; the slowest, a listing of a large tree on a cold disk, takes a few
ANSWER_LIMIT = 64 << 20  # bytes; a listing takes about 100 for a file, and no bundle has more than 10,000
REF_LIMIT = 1024  # characters
PATHS_AT_ONCE = 100  # in one question; the arguments of a process have a limit, and a path at most 1,024 characters

_OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\n"

# Given before every command. A repository hidden in a folder of a commit must not be taken for the one that was meant,
# and nothing may start a program or open a connection.
_SETTINGS = (
    "safe.bareRepository=explicit",
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "protocol.allow=never",
)
_ENVIRONMENT = {
    "LC_ALL": "C",
    # Of no transport's name. Other than protocol.allow, no setting of a repository for one transport outweighs it.
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}
_KEPT = ("HOME", "PATH", "TMPDIR", "USER", "XDG_CONFIG_HOME")


@dataclass(frozen=True, kw_only=True)
class TreeEntry:
    """Something that a commit holds: its path in the repository, its object, and for a file its size."""

    path: str
    kind: Literal["file", "folder", "other"]
    id: str
    size: int


class Repository:
    """A git repository, asked for what its commits hold; ``root`` is the top of its working tree."""

    def __init__(self, root: Path, git: str) -> None:
        self.root = root
        self._git = git

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Find the repository that ``folder`` lies in.

        Raises:
            UnavailableError: when there is no git, or it does not trust the owner of the repository.
            UsageError: when the folder lies in no repository.
        """
        git = shutil.which("git")
        if git is None:
            raise UnavailableError("git is not on the PATH; install it, or compare two lock files: mbom gate OLD NEW")
        done = _run(git, folder, "rev-parse", "--show-toplevel")
        if done.returncode:
            raise _failure(done, f"{folder} lies in no git repository; name two lock files instead: mbom gate OLD NEW")
        return cls(Path(os.fsdecode(done.stdout.rstrip(b"\n"))), git)

    def resolve(self, ref: str) -> str:
        """Return the id of the commit that ``ref`` names.

        Raises:
            UsageError: for what cannot be a ref.
            SourceError: when the repository has no such commit.
        """
        if not ref or len(ref) > REF_LIMIT or not ref.isprintable():
            raise UsageError(f"{ref[:80]!r} is no name of a commit")
        done = self._ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        found = done.stdout.decode("ascii", "replace").strip()
        if done.returncode or _OBJECT.fullmatch(found) is None:
            raise _failure(
                done,
                f"{ref!r} is no commit of the repository at {self.root}. A shallow clone lacks older ones: fetch it, "
                "or in a workflow give actions/checkout fetch-depth: 0",
                SourceError,
            )
        return found

    def find(self, commit: str, path: str) -> TreeEntry | None:
        """Return what lies at ``path``, from the top of the repository; None where nothing does."""
        for entry in self._list(commit, "--", inside(path)):
            if entry.path == path:
                return entry
        return None

    def ids(self, commit: str, paths: Sequence[str]) -> dict[str, str]:
        """Return the objects that lie at some paths, of those where something does."""
        found: dict[str, str] = {}
        # Of a folder and something in it, ls-tree tells the latter alone. No path of the same depth is in another one.
        for _, same in groupby(sorted(paths, key=_depth), key=_depth):
            level = [inside(path) for path in same]
            for start in range(0, len(level), PATHS_AT_ONCE):
                asked = level[start : start + PATHS_AT_ONCE]
                there = self._list(commit, "--", *asked)
                found.update({entry.path: entry.id for entry in there if entry.path in asked})
        return found

    def read(self, commit: str, path: str, *, limit: int) -> bytes | None:
        """Return the content of a file; None where there is nothing.

        Raises:
            FormatError: when it is a link or a folder, kept elsewhere by Git LFS, or larger than ``limit``.
        """
        entry = self.find(commit, path)
        if entry is None:
            return None
        self._check_file(entry, limit)
        with Objects(self._git, self.root) as objects:
            data = objects.read(entry)
        if data.startswith(LFS_POINTER):
            raise FormatError(f"{path} in commit {commit[:12]} is kept by Git LFS, of which a commit holds a pointer")
        return data

    def bundle(self, commit: str, path: str, into: Path) -> Path | None:
        """Write the bundle that a commit holds at ``path``, a folder or a ``.zip``, below the empty folder ``into``.

        Nothing is read from the working tree, and nothing larger than ``mbom.bundle`` reads is written.

        Returns:
            The path of the copy; None where the commit holds no bundle there, or Git LFS keeps a part of it.

        Raises:
            FormatError: on a member that no bundle holds, a link, or a size over its limit.
        """
        entry = self.find(commit, path)
        if entry is None:
            return None
        with Objects(self._git, self.root) as objects:
            if entry.kind == "folder":
                return self._bundle_folder(entry, objects, into / PurePosixPath(path).name)
            self._check_file(entry, ARCHIVE_LIMIT)
            return _written(into / PurePosixPath(path).name, objects.read(entry))

    def _bundle_folder(self, folder: TreeEntry, objects: "Objects", target: Path) -> Path | None:
        members = list(self._list(folder.id, "-r"))
        if len(members) > bundle.MEMBERS_LIMIT:
            raise FormatError(f"bundle: {folder.path} holds {len(members)} files, the limit is {bundle.MEMBERS_LIMIT}")
        for member in members:
            self._check_file(member, bundle.member_limit(member.path))
        target.mkdir()
        for member in members:
            place = target.joinpath(*PurePosixPath(member.path).parts)
            place.parent.mkdir(parents=True, exist_ok=True)
            if _written(place, objects.read(member)) is None:
                return None
        return target

    @staticmethod
    def _check_file(entry: TreeEntry, limit: int) -> None:
        if entry.kind != "file":
            raise FormatError(f"{entry.path} is a link, a folder or a submodule, where a regular file belongs")
        if entry.size > limit:
            raise FormatError(f"{entry.path} has {entry.size} bytes, the limit is {limit}")

    def _list(self, tree: str, *arguments: str) -> Sequence[TreeEntry]:
        done = self._ask("ls-tree", "-z", "-l", "--full-tree", *_before(tree, arguments))
        if done.returncode:
            raise _failure(done, f"the tree {tree[:12]} cannot be listed", SourceError)
        return [_entry(record) for record in done.stdout.split(b"\0") if record]

    def _ask(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return _run(self._git, self.root, *arguments)


def _before(tree: str, arguments: Sequence[str]) -> Sequence[str]:
    """Put the tree where ``ls-tree`` wants it: after the options, before ``--`` and paths."""
    assert _OBJECT.fullmatch(tree), tree
    at = arguments.index("--") if "--" in arguments else len(arguments)
    paths = arguments[at + 1 :]
    return [*arguments[:at], tree, *(["--", *paths] if paths else [])]


def _depth(path: str) -> int:
    return path.count("/")


def inside(path: str) -> str:
    """Return a path from the top of a repository, which steps nowhere else.

    Raises:
        FormatError: when it does.
    """
    try:
        check_name(path, what="repository")
    except RefusedError as error:
        raise FormatError(str(error)) from error
    return path


def _entry(record: bytes) -> TreeEntry:
    """Read a record of ``ls-tree -l``: mode, type, object, size, and after a tab the path."""
    head, _, path = record.partition(b"\t")
    mode, kind, found, size = head.decode("ascii").split()
    kinds: Mapping[str, Literal["file", "folder", "other"]] = {"100644": "file", "100755": "file", "040000": "folder"}
    return TreeEntry(
        path=path.decode("utf-8", "surrogateescape"),
        kind=kinds.get(mode, "other") if kind in ("blob", "tree") else "other",
        id=found,
        size=int(size) if size.isdigit() else 0,
    )


def _written(path: Path, data: bytes) -> Path | None:
    if data.startswith(LFS_POINTER):
        return None
    path.write_bytes(data)
    return path


class Objects:
    """``git cat-file --batch``: one process for the content of many objects."""

    def __init__(self, git: str, root: Path) -> None:
        self._process = subprocess.Popen(  # noqa: S603  # no shell; what is asked for are object ids
            [*_command(git, root), "cat-file", "--batch"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.kill()
        self._process.wait()

    def read(self, entry: TreeEntry) -> bytes:
        """Return the content of a file whose size the caller has checked.

        Raises:
            SourceError: when the repository does not have it, as in a partial clone.
        """
        asked, answer = self._pipes()
        asked.write(f"{entry.id}\n".encode("ascii"))
        asked.flush()
        head = answer.readline(256).split()
        if len(head) != 3 or head[1] != b"blob" or head[2] != str(entry.size).encode("ascii"):
            raise SourceError(f"{entry.path}: the repository does not hold its content; fetch it in full")
        data = answer.read(entry.size)
        if len(data) != entry.size or answer.read(1) != b"\n":
            raise SourceError(f"{entry.path}: git ended before all of it was read")
        return data

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout


def _command(git: str, folder: Path) -> list[str]:
    settings = [part for setting in _SETTINGS for part in ("-c", setting)]
    return [git, "--no-pager", "-C", str(folder), *settings]


def _environment() -> dict[str, str]:
    """Return an environment in which no ``GIT_…`` of the caller's points elsewhere."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | _ENVIRONMENT


def _run(git: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        done = subprocess.run(  # noqa: S603  # no shell, and every name stands behind --end-of-options or --
            [*_command(git, folder), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=_environment(),
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"git {arguments[0]} did not answer within {SECONDS} seconds") from error
    except OSError as error:
        raise UnavailableError(f"git cannot be run in {folder}: {error.strerror}") from error
    if len(done.stdout) > ANSWER_LIMIT:
        raise FormatError(f"git {arguments[0]} answered with {len(done.stdout)} bytes, the limit is {ANSWER_LIMIT}")
    return done


def _failure(
    done: subprocess.CompletedProcess[bytes],
    sentence: str,
    kind: type[UsageError | SourceError] = UsageError,
) -> UsageError | SourceError | UnavailableError:
    """Return the error for a failure of git, the plain one unless git says that it trusts not the repository."""
    said = done.stderr.decode("utf-8", "replace")
    if "dubious ownership" in said:
        return UnavailableError(
            "the repository belongs to another user, so git does not read it. Where you trust it: "
            "git config --global --add safe.directory FOLDER"
        )
    return kind(sentence)
