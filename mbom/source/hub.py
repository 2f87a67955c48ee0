"""A checkpoint in a repository of the Hugging Face Hub, through the hub's own client and its cache."""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, cast

from huggingface_hub import ModelInfo, RepoFile, constants

from mbom.digest import GIT_HEX, SHA256_HEX
from mbom.errors import FormatError, MbomError, RefusedError, SourceError, UsageError
from mbom.source.base import Advertised, LocalFile, Origin
from mbom.source.folder import FolderSource
from mbom.source.hubcache import CachedRepo, Snapshot
from mbom.source.hubclient import Meter, StoppedError, client
from mbom.source.huberrors import Retry, border
from mbom.source.names import COUNT_LIMIT, check_name, check_names, is_bookkeeping, is_repo
from mbom.source.observed import ASKED_LIMIT, Observed, gate, moment, resolved

WORKERS = 4  # downloads at a time: enough to fill a line, few enough for the hub's rate limits
GRACE = 1.0  # seconds that downloads get to stop and clean up when nobody waits for them any more
ANSWER_LIMIT = 10.0  # seconds for an answer that is good to have and not needed
ANSWERS_LIMIT = 60.0  # seconds in which the last of several such questions is put
ENTRY_LIMIT = COUNT_LIMIT * 2  # files and folders of a listing


class HubSource:
    """One commit of a model repository.

    The revision is resolved first, and everything afterwards names the commit. Files land in the client's cache, where
    other tools find them. Whatever the hub says is checked for form here; content is compared by whoever reads it.

    Args:
        repo: ``org/name``.
        revision: a branch, a tag or a commit; None for ``main``.
        endpoint: address of the hub; None for ``HF_ENDPOINT``, or the public one.
        token: None for ``HF_TOKEN`` or the login of the hub's own tools, False to send none.
        cache_dir: None for ``HF_HUB_CACHE`` and its relatives.
        offline: use the cache alone; None for ``HF_HUB_OFFLINE``.
        workers: downloads at a time.
        retry: patience with passing trouble.
        on_bytes: told (name, bytes) as they arrive, from the threads that download; negative where an attempt failed
            and its bytes are gone. Files that the cache holds are not counted.
    """

    def __init__(
        self,
        repo: str,
        revision: str | None = None,
        *,
        endpoint: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        offline: bool | None = None,
        workers: int = WORKERS,
        retry: Retry | None = None,
        on_bytes: Callable[[str, int], None] | None = None,
    ) -> None:
        if not is_repo(repo):
            raise UsageError(f"{repo!r} is not the name of a repository; the form is org/name")
        self._repo = repo
        self._revision = revision or constants.DEFAULT_REVISION
        try:
            check_name(self._revision, what=repo)  # it becomes a path below refs/ in the cache
        except RefusedError as error:
            raise UsageError(f"{self._revision!r} is not the name of a revision: {error}") from error
        self._endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
        self._offline = constants.HF_HUB_OFFLINE if offline is None else offline
        self._cache = CachedRepo.of(repo, root=Path(cache_dir or constants.HF_HUB_CACHE).expanduser().resolve())
        self._client = client(endpoint=self._endpoint, token=token)
        self._workers = workers
        self._retry = retry or Retry()
        self._on_bytes = on_bytes or (lambda _name, _amount: None)

    @property
    def origin(self) -> Origin:
        """The repository and its commit; asks the hub once.

        Raises:
            SourceError: missing repository or revision, no connection.
            AccessError: gated repository, rejected token.
        """
        return Origin(kind="hub", name=self._cache.name, repo=self._repo, revision=self._snapshot.commit)

    def listing(self) -> tuple[Advertised, ...]:
        """Every file of the commit with size and digest, sorted by name; offline, those of them that are cached.

        Raises:
            SourceError: missing repository or revision, no connection, nothing cached.
            AccessError: gated repository, rejected token.
            RefusedError: for a name that breaks a rule.
            FormatError: for an entry without proper size and digest.
        """
        return tuple(self._files.values())

    def fetch(self, names: Iterable[str]) -> Iterator[LocalFile]:
        """Yield each named file when it has arrived, in the order of arrival, while the others still download.

        Closing the iterator early stops the downloads.

        Raises:
            SourceError: for a name that is not in the listing, or a hub that cannot be reached after all attempts.
            AccessError: when the hub wants another identity for a file than for the listing.
            RefusedError: for a size that is not the advertised one, twice; for a path that leaves the cache.
            StorageError: when the cache cannot be written.
        """
        wanted = [self._advertised(name) for name in dict.fromkeys(names)]
        if self._offline:
            yield from self._cached.fetch(file.name for file in wanted)
        else:
            yield from self._arrivals(wanted)

    def refetch(self, name: str) -> LocalFile:
        """Delete the cached copy of ``name``, whose content was wrong, and fetch it again.

        Raises:
            SourceError: offline, where no second copy can be had.
            MbomError: as for ``fetch``.
        """
        file = self._advertised(name)
        if self._offline:
            raise SourceError(
                f"{self._repo}: the cached copy of {name!r} is not what its digest says, and HF_HUB_OFFLINE forbids "
                "fetching it again; unset it and run again"
            )
        self._snapshot.discard(name)
        return self._download(file, threading.Event(), force=True)

    def observe(self, bases: Iterable[str]) -> Observed:
        """Ask what the hub says of the repository, and which commit each base model's main branch points to.

        Each question is put once and with a time limit, as all of them together: no answer is worth waiting for.
        """
        if self._offline:
            return Observed()
        own = self._told(self._repo, self._snapshot.commit)
        if own is None:
            return Observed()
        names = [name for name in dict.fromkeys(bases) if is_repo(name)][:ASKED_LIMIT]
        deadline = time.monotonic() + ANSWERS_LIMIT
        answers = ((name, self._told(name, None)) for name in names if time.monotonic() < deadline)
        return Observed(
            gated=gate(own.gated),
            created=moment(own.created_at),
            last_modified=moment(own.last_modified),
            bases=resolved((name, told.sha) for name, told in answers if told is not None),
        )

    def _told(self, repo: str, revision: str | None) -> ModelInfo | None:
        """Return the hub's description of a repository, or None where there is none to be had."""
        try:
            with border(repo=repo, revision=revision or constants.DEFAULT_REVISION, endpoint=self._endpoint):
                return self._client.model_info(repo, revision=revision, timeout=ANSWER_LIMIT)
        except MbomError:
            return None

    @cached_property
    def _snapshot(self) -> Snapshot:
        """Where the cache keeps the commit: the revision resolved."""
        if self._offline:
            commit = self._cache.commit(self._revision)
            if commit is None:
                raise SourceError(
                    f"{self._repo}: revision {self._revision!r} is not in the cache, and HF_HUB_OFFLINE forbids asking "
                    "the hub; unset it, or name a commit that is cached"
                )
            return self._cache.snapshot(commit)

        def ask() -> str | None:
            with border(repo=self._repo, revision=self._revision, endpoint=self._endpoint):
                return self._client.model_info(self._repo, revision=self._revision).sha

        commit = self._retry.run(ask)
        if not isinstance(commit, str) or not GIT_HEX.fullmatch(commit):
            raise FormatError(f"{self._repo}: the hub resolves {self._revision!r} to {commit!r}, which is no commit")
        if GIT_HEX.fullmatch(self._revision) and commit != self._revision:
            raise RefusedError(f"{self._repo}: asked for the commit {self._revision}, the hub answers for {commit}")
        self._cache.note_commit(self._revision, commit)
        return self._cache.snapshot(commit)

    @cached_property
    def _cached(self) -> FolderSource:
        """What the cache holds of the commit, for use offline."""
        try:
            return FolderSource(self._snapshot.path)
        except SourceError as error:
            raise SourceError(
                f"{self._repo} @ {self._snapshot.commit} is not in the cache, and HF_HUB_OFFLINE forbids fetching it; "
                "unset it and run again"
            ) from error

    @cached_property
    def _files(self) -> dict[str, Advertised]:
        if self._offline:
            return {file.name: file for file in self._cached.listing()}
        commit = self._snapshot.commit

        def ask() -> list[object]:
            with border(repo=self._repo, revision=self._revision, endpoint=self._endpoint):
                tree = self._client.list_repo_tree(self._repo, recursive=True, revision=commit)
                return list(islice(tree, ENTRY_LIMIT + 1))

        entries = self._retry.run(ask)
        if len(entries) > ENTRY_LIMIT:
            raise RefusedError(f"{self._repo}: a listing of more than {ENTRY_LIMIT} entries, which no checkpoint has")
        files = [self._entry(entry) for entry in entries if isinstance(entry, RepoFile)]
        files = sorted((file for file in files if not is_bookkeeping(file.name)), key=lambda file: file.name)
        check_names((file.name for file in files), what=self._repo)
        if not files:
            raise SourceError(f"{self._repo} @ {commit} holds no files")
        return {file.name: file for file in files}

    def _entry(self, entry: RepoFile) -> Advertised:
        """Check the form of one file of the listing, all of which the hub chose."""
        name, size = entry.path, entry.size
        sha256 = entry.lfs.sha256 if entry.lfs else None
        git_blob = None if entry.lfs else entry.blob_id  # of a large file, git holds a pointer only
        proper = type(name) is str and type(size) is int and size >= 0
        digest, form = (sha256, SHA256_HEX) if entry.lfs else (git_blob, GIT_HEX)
        proper = proper and type(digest) is str and form.fullmatch(digest) is not None
        if entry.lfs and entry.lfs.size != size:
            proper = False
        if not proper:
            raise FormatError(f"{self._repo}: the hub lists {str(name)[:255]!r} without a proper size and digest")
        return Advertised(name=name, size=size, sha256=sha256, git_blob=git_blob)

    def _advertised(self, name: str) -> Advertised:
        file = self._files.get(name)
        if file is None:
            raise SourceError(f"{self._repo} @ {self._snapshot.commit}: holds no file {name!r}")
        return file

    def _arrivals(self, wanted: list[Advertised]) -> Iterator[LocalFile]:
        """Download with a few threads. They are daemons: one that hangs on a dead line must not keep the process."""
        todo: queue.SimpleQueue[Advertised] = queue.SimpleQueue()
        done: queue.SimpleQueue[LocalFile | MbomError] = queue.SimpleQueue()
        stop = threading.Event()
        for file in wanted:
            todo.put(file)
        crew = [
            threading.Thread(target=self._work, args=(todo, done, stop), name=f"mbom-fetch-{n}", daemon=True)
            for n in range(min(self._workers, len(wanted)))
        ]
        try:
            for thread in crew:
                thread.start()
            for _ in wanted:
                outcome = done.get()
                if isinstance(outcome, MbomError):
                    raise outcome
                yield outcome
        finally:
            stop.set()
            deadline = time.monotonic() + GRACE
            for thread in crew:
                if thread.ident is not None:  # an interrupt may come before it was started
                    thread.join(max(0.0, deadline - time.monotonic()))

    def _work(
        self,
        todo: "queue.SimpleQueue[Advertised]",
        done: "queue.SimpleQueue[LocalFile | MbomError]",
        stop: threading.Event,
    ) -> None:
        while not stop.is_set():
            try:
                file = todo.get_nowait()
            except queue.Empty:
                return
            outcome: LocalFile | MbomError = SourceError(f"{self._repo}: {file.name!r}: the download was not finished")
            try:
                outcome = self._download(file, stop)
            except MbomError as error:
                outcome = error
            except StoppedError:
                return
            finally:  # also when a fault of our own ends this thread: nobody may wait for ever
                done.put(outcome)

    def _download(self, file: Advertised, stop: threading.Event, *, force: bool = False) -> LocalFile:
        """Bring one file into the cache, and once more where its size is not the advertised one."""
        path, size = self._retry.run(lambda: self._attempt(file, stop, force=force))
        if size != file.size:
            self._snapshot.discard(file.name)
            path, size = self._retry.run(lambda: self._attempt(file, stop, force=True))
        if size != file.size:
            self._snapshot.discard(file.name)
            raise RefusedError(
                f"{self._repo}: {file.name!r} has {size} bytes, the hub advertised {file.size}; fetched twice. "
                "The hub contradicts itself: try another mirror, or report it there"
            )
        return LocalFile(name=file.name, path=path, advertised=file)

    def _attempt(self, file: Advertised, stop: threading.Event, *, force: bool) -> tuple[Path, int]:
        """Ask the client for one file; return the regular file in the cache that holds it, and its size in bytes."""
        if stop.is_set():
            raise StoppedError
        meter = Meter(lambda amount: self._on_bytes(file.name, amount), stop)
        try:
            with border(repo=self._repo, revision=self._revision, endpoint=self._endpoint, file=file.name):
                found = self._client.hf_hub_download(
                    self._repo,
                    file.name,
                    revision=self._snapshot.commit,
                    cache_dir=self._cache.root,
                    force_download=force,
                    tqdm_class=cast("Any", meter.bar()),  # typed as tqdm, used as what Meter.bar describes
                )
        except MbomError:
            meter.reset()
            raise
        if Path(found) != self._snapshot.path / file.name:
            raise RefusedError(
                f"{self._repo}: asked for {file.name!r} at {self._snapshot.commit}, the hub answers for another commit"
            )
        path = self._snapshot.locate(file.name)[-1]
        return path, path.lstat().st_size
