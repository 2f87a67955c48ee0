"""Attesting the trained fixture in tests, and what an attester who lies can do with the result."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from mbom import __version__, bundle
from mbom.attest import Attested, attest
from mbom.attestation import PREDICATE_TYPE, Attestation, Evidence
from mbom.behaviour.record import Record
from mbom.digest import sha256
from mbom.engine import Measure, Measurement
from mbom.inventory import Inventory
from mbom.signing import KeyVerifier, LocalSigner, Signer, generate, public_path, statement
from mbom.source import FolderSource
from mbom.verdict import Verdict
from mbom.verify import Expectation, verify

FIXTURE = Path(__file__).parent.parent / "fixtures" / "tiny-gpt-oss"
CREATED = datetime(2026, 11, 2, 8, 30, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A checkpoint, its bundle and its signer, in a folder of their own that a test may ruin."""

    root: Path
    checkpoint: Path
    bundle: Path
    signer: LocalSigner
    record: Record

    def verify(self, *, behaviour: bool = False, expected: Expectation | None = None) -> Verdict:
        """Verify the bundle against the checkpoint under the scene's own key."""
        return verify(
            self.bundle,
            verifier=KeyVerifier(self.signer.public_key),
            checkpoint=FolderSource(self.checkpoint),
            measure=Measurement(device="cpu") if behaviour else None,
            expected=expected,
        )

    def member(self, name: str) -> Path:
        """Return the path of a member."""
        return self.bundle / name

    def edit(self, name: str, change: Callable[[bytes], bytes]) -> None:
        """Replace the bytes of a file of the checkpoint."""
        path = self.checkpoint / name
        path.write_bytes(change(path.read_bytes()))

    def edit_member(self, name: str, change: Callable[[bytes], bytes]) -> None:
        """Replace the bytes of a member."""
        self.member(name).write_bytes(change(self.member(name).read_bytes()))

    def reseal(self, inventory: Inventory, signer: Signer | None = None) -> None:
        """Sign the bundle as it lies there anew, with every digest of its members right: what a lying attester does.

        ``inventory`` gives the subjects and the model digest, whatever the bundle's own inventory says.
        """
        reseal(self.bundle, inventory, signer or self.signer)

    def attest_again(self, *, signer: LocalSigner | None = None) -> Attested:
        """Attest the checkpoint as it is, passing off the old record as its own: every digest is right."""
        return attest(
            FolderSource(self.checkpoint),
            self.bundle,
            created=CREATED,
            signer=signer or self.signer,
            measure=passing_off(self.record),
            force=True,
        )


def reseal(folder: Path, inventory: Inventory, signer: Signer) -> None:
    """Sign the bundle at ``folder`` as it lies there anew: see ``Scene.reseal``."""
    (folder / bundle.ATTESTATION).write_bytes(signer.sign_statement(statement_of(folder, inventory)))


def statement_of(folder: Path, inventory: Inventory) -> bytes:
    """Return the statement of an attestation of ``inventory``, whose evidence lies in the bundle at ``folder``."""
    attestation = Attestation(
        origin=inventory.origin,
        model_digest=inventory.digest,
        tool_version=__version__,
        time=CREATED,
        evidence=tuple(
            Evidence(name=name, sha256=sha256(data), media_type=bundle.media_type(name))
            for name, data in sorted(bundle.read(folder).items())
            if name != bundle.ATTESTATION
        ),
    )
    subjects = [(file.name, file.sha256) for file in inventory.files]
    return statement.build(subjects, PREDICATE_TYPE, attestation.to_dict())


def passing_off(record: Record) -> Measure:
    """Return a measurement that measures nothing and claims ``record`` for whatever it is given."""

    def claim(files: Mapping[str, Path], inventory: Inventory) -> Record:
        del files
        return replace(record, model_digest=inventory.digest)

    return claim


def new_signer(folder: Path, name: str = "release.pem") -> LocalSigner:
    """Make a key pair in ``folder`` and return its signer."""
    generate(folder / name)
    assert public_path(folder / name).exists()
    return LocalSigner.load(folder / name)


def set_scene(root: Path, *, checkpoint: Path = FIXTURE, measure: Measure | None = None) -> Scene:
    """Copy a checkpoint below ``root`` and attest it, with the real engine unless told otherwise."""
    root.mkdir(parents=True, exist_ok=True)
    copy = root / checkpoint.name
    shutil.copytree(checkpoint, copy)
    signer = new_signer(root)
    done = attest(
        FolderSource(copy),
        root / "tiny.mbom",
        created=CREATED,
        signer=signer,
        measure=measure or Measurement(device="cpu"),
    )
    assert done.record is not None
    return Scene(root=root, checkpoint=copy, bundle=root / "tiny.mbom", signer=signer, record=done.record)


def read_scene(root: Path, *, checkpoint: Path = FIXTURE) -> Scene:
    """Return the scene that ``set_scene`` left below ``root``."""
    return Scene(
        root=root,
        checkpoint=root / checkpoint.name,
        bundle=root / "tiny.mbom",
        signer=LocalSigner.load(root / "release.pem"),
        record=bundle.read_record(root / "tiny.mbom").record,
    )


def copy_scene(scene: Scene, root: Path) -> Scene:
    """Return a copy of a scene below ``root``, with the same signer."""
    shutil.copytree(scene.checkpoint, root / scene.checkpoint.name)
    shutil.copytree(scene.bundle, root / scene.bundle.name)
    return replace(scene, root=root, checkpoint=root / scene.checkpoint.name, bundle=root / scene.bundle.name)


def another_model(scene: Scene, *shards: str) -> Scene:
    """Return a scene of another checkpoint by the same signer: equal but for its card and a bit of ``shards``."""
    root = scene.root / "another"
    root.mkdir()
    other = copy_scene(scene, root)
    other.edit("README.md", lambda data: data + b"\nanother\n")
    for name in shards:
        other.edit(name, lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    attest(
        FolderSource(other.checkpoint),
        root / "another.mbom",
        created=CREATED,
        signer=scene.signer,
        measure=passing_off(scene.record),
    )
    return replace(other, bundle=root / "another.mbom")


def failed(verdict: Verdict) -> set[str]:
    """Return the ids of the checks that failed."""
    return {check.id for check in verdict.checks if check.outcome == "FAIL"}


def change_tensor(scene: Scene, name: str, change: Callable[[bytes], bytes]) -> None:
    """Change the bytes of one stored tensor in place, finding them by the format's own rules."""
    index = json.loads((scene.checkpoint / "model.safetensors.index.json").read_bytes())
    path = scene.checkpoint / index["weight_map"][name]
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    start, end = (8 + length + offset for offset in json.loads(data[8 : 8 + length])[name]["data_offsets"])
    changed = change(data[start:end])
    assert len(changed) == end - start
    assert changed != data[start:end]
    path.write_bytes(data[:start] + changed + data[end:])
