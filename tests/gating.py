"""A product's repository that pins models, and what pull requests do to it: real bundles, real commits."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import licencetexts
from attesting import CREATED, FIXTURE, new_signer
from gitrepos import GitRepo, make

from mbom.attest import attest
from mbom.lockfile import FILE_NAME, Entry, Lock
from mbom.lockfile.locking import entry_of
from mbom.signing import KeyVerifier, LocalSigner
from mbom.source import FolderSource, Origin
from mbom.verify import verify

MODEL = "acme/tiny"
FIRST, SECOND = "11" * 20, "22" * 20  # commits of the model

POLICY = """\
version: 1
licences:
  allow: [Apache-2.0, MIT]
  forbid_restrictions: [user-cap, geographic-exclusion]
signers:
  - {model: "acme/*", key: keys/release.pub}
require:
  signature: true
findings:
  fail_on: warning
  allow: [licence-text-unknown]
changes:
  frozen: [tokenizer]
waivers:
  - {model: acme/tiny, id: licence-unknown, path: USAGE_POLICY, reason: read by legal, expires: 2099-01-31}
"""

Edit = Callable[[Path], None]


class Hosted(FolderSource):
    """A folder that says that it is a repository at a commit."""

    def __init__(self, path: Path, repo: str, revision: str) -> None:
        super().__init__(path)
        self._origin = Origin(kind="hub", name=repo.partition("/")[2], repo=repo, revision=revision)

    @property
    def origin(self) -> Origin:
        """See ``Source``."""
        return self._origin


def as_it_is(checkpoint: Path) -> None:
    """Change nothing."""
    del checkpoint


def other_weights(checkpoint: Path) -> None:
    """Change a weight, and nothing else."""
    path = checkpoint / "model-00002-of-00003.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def narrower_licence(checkpoint: Path) -> None:
    """Publish under terms that cap the number of users and leave out the European Union."""
    (checkpoint / "LICENSE").write_text(licencetexts.text("llama-4-cla-2025"), encoding="utf-8")
    card = checkpoint / "README.md"
    named = "license: other\nlicense_name: llama4\n"
    card.write_text(card.read_text(encoding="utf-8").replace("license: apache-2.0\n", named), encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class Product:
    """A repository with a lock file, a policy, a key and a bundle."""

    repo: GitRepo
    signer: LocalSigner
    work: Path

    def pin(self, edit: Edit, *, revision: str, name: str = MODEL, signer: LocalSigner | None = None) -> Entry:
        """Attest an edited copy of the fixture into the repository, and lock it."""
        checkpoint = self.work / "checkpoint" / name.rpartition("/")[2]
        shutil.rmtree(checkpoint, ignore_errors=True)
        shutil.copytree(FIXTURE, checkpoint)
        edit(checkpoint)
        signed = signer or self.signer
        target = self.repo.root / "models" / f"{name.rpartition('/')[2]}.mbom"
        target.parent.mkdir(exist_ok=True)
        source = Hosted(checkpoint, name, revision)
        attest(source, target, created=CREATED, signer=signed, measure=None, force=True)
        verdict = verify(target, verifier=KeyVerifier(signed.public_key))
        entry = entry_of(target, verdict, name=name, folder=self.repo.root, today=date(2026, 11, 2))
        self.lock(self.locked().with_entry(entry))
        return entry

    def locked(self) -> Lock:
        """Return the lock file of the working tree."""
        path = self.repo.root / FILE_NAME
        return Lock.from_bytes(path.read_bytes()) if path.exists() else Lock()

    def lock(self, lock: Lock) -> None:
        """Write the lock file."""
        (self.repo.root / FILE_NAME).write_bytes(lock.to_bytes())

    def write(self, files: Mapping[str, str]) -> None:
        """Write files of the repository."""
        for name, text in files.items():
            path = self.repo.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def branch(self, name: str) -> None:
        """Begin a pull request from main, with nothing of another one left in the working tree."""
        self.repo.git("switch", "--quiet", "--force", "main")
        self.repo.git("clean", "--quiet", "-fdx")
        self.repo.git("switch", "--quiet", "--create", name)

    def copy(self, root: Path) -> "Product":
        """Return a copy that a test may change."""
        shutil.copytree(self.repo.root, root / "repo", symlinks=True)
        return Product(repo=GitRepo(root=root / "repo"), signer=self.signer, work=root)


def product(root: Path, policy: str = POLICY) -> Product:
    """Make the repository, with one model on main."""
    repo = make(root / "repo")
    signer = new_signer(root)
    made = Product(repo=repo, signer=signer, work=root)
    made.write({"mbom.yaml": policy, "keys/release.pub": (root / "release.pub").read_text(encoding="utf-8")})
    made.pin(as_it_is, revision=FIRST)
    repo.commit("Pin a model")
    return made
