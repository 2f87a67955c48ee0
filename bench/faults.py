"""What is left when things go wrong: kills, full disks, files that change while they are hashed, runs side by side.

Each trial runs the command line as users do, ruins something at a moment drawn from a seeded generator, and looks at
what is there: no bundle, or one that verifies. Where a run was stopped, the same command, given again, must finish.

    python bench/faults.py                         # everything that bench/RESULTS.md shows
    python bench/faults.py --kills 20 --full 4 --changes 10 --rounds 3 --behaviour 2
    python bench/faults.py --seed 7

Prints a table of outcomes, and ends with status 1 when anything was lost or half-written.
"""

import argparse
import dataclasses
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hashing import make_shards

from mbom import __version__, bundle
from mbom.digest import sha256
from mbom.errors import MbomError
from mbom.inventory import Inventory
from mbom.signing import KeyVerifier, generate, public_path
from mbom.source import FolderSource
from mbom.verify import verify

ROOT = Path(__file__).parent.parent
FIXTURE = ROOT / "fixtures" / "tiny-gpt-oss"
EPOCH = "1790000000"  # 2026-09-21
LIMIT = 600.0  # seconds that any run may take; a hang is a failure
SHARD_BYTES = 128 << 20  # of the checkpoint that changes while it is hashed: some tenths of a second to read
PARALLEL = 8

BAD = frozenset({"lost", "half-written", "unfinished", "left-overs", "survivor", "unnamed", "mixed", "no winner"})
"""Outcomes that must not be."""


@dataclass(kw_only=True)
class Bench:
    """A folder to work in, a key, and a home of its own for each trial."""

    folder: Path
    chance: random.Random
    checkpoint: Path = FIXTURE
    key: Path = field(init=False)

    def __post_init__(self) -> None:
        """Make the key, once for the folder."""
        self.key = self.folder / "release.pem"
        if not self.key.exists():
            generate(self.key)

    def trial(self) -> Path:
        """Return an empty folder for the output of one trial."""
        return Path(tempfile.mkdtemp(prefix="trial-", dir=self.folder))

    def command(self, output: Path, *options: str | Path) -> list[str]:
        """Return the command that attests the checkpoint."""
        arguments = ("attest", self.checkpoint, "--key", self.key, "-o", output, *options)
        return [sys.executable, "-m", "mbom", *map(str, arguments)]

    def start(self, command: Sequence[str]) -> subprocess.Popen[str]:
        """Start a command as its own user: home, cache and temporary folder below ours."""
        return subprocess.Popen(
            command, env=self.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        with self.start(command) as process:
            _, words = process.communicate(timeout=LIMIT)
        return subprocess.CompletedProcess(command, process.returncode, "", words)

    def attested(self, *options: str) -> Path:
        """Attest the checkpoint with nothing going wrong, and return the bundle."""
        output = self.trial() / "a.mbom"
        done = self.run(self.command(output, *options))
        assert done.returncode == 0, done.stderr
        return output

    def environment(self) -> dict[str, str]:
        """Return the environment of every run."""
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        # A coverage run of our caller is not theirs: they are killed before they could write its data.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
        own = {"HOME": str(self.folder / "home"), "TMPDIR": str(temporary), "SOURCE_DATE_EPOCH": EPOCH}
        return kept | own | {"PYTHONPATH": os.pathsep.join(sys.path)}

    def state(self, output: Path) -> str:
        """Say what is at ``output``: none, whole, or half-written."""
        if not os.path.lexists(output):
            return "none"
        try:
            verdict = verify(
                output, verifier=KeyVerifier.load(public_path(self.key)), checkpoint=FolderSource(self.checkpoint)
            )
        except MbomError:
            return "half-written"
        return "whole" if verdict.outcome == "verified" else "half-written"


def kills(bench: Bench, count: int, *, behaviour: bool = False) -> Counter[str]:
    """Kill attestations at moments spread over the whole run, every other one while it replaces a bundle."""
    options = () if behaviour else ("--no-behaviour",)
    began = time.monotonic()
    written = bench.attested(*options)
    whole = time.monotonic() - began
    tally: Counter[str] = Counter()
    for number in range(count):
        # One moment drawn from each of ``count`` equal parts of the run, a little beyond its end.
        moment = 1.05 * whole * (number + bench.chance.random()) / count
        tally += _kill(bench, moment, options, written if number % 2 else None)
    return tally


def _kill(bench: Bench, moment: float, options: Sequence[str], replaced: Path | None) -> Counter[str]:
    """Kill one run, which replaces the bundle at ``replaced`` if that is given, and give its command again."""
    out = bench.trial()
    output, before = out / "a.mbom", b""
    if replaced is not None:
        shutil.copytree(replaced, output)
        before = (output / bundle.ATTESTATION).read_bytes()
        options = (*options, "--force")
    process = bench.start(bench.command(output, *options))
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    found = bench.state(output)
    if replaced is not None and found == "none":
        # Only where names cannot be exchanged may it wait beside for the next run.
        found = "waits beside" if (out / ".a.mbom.mbom-old").exists() else "lost"
    elif replaced is not None and found == "whole":
        found = "old one whole" if (output / bundle.ATTESTATION).read_bytes() == before else "replaced"
    tally = Counter({found: 1})
    if "--no-behaviour" not in options and _child_lives(bench):
        tally["survivor"] += 1
    again = bench.run(bench.command(output, *options))
    if again.returncode == 0:
        tally["second run finished"] += 1
        tally["of these, with hashes reused"] += "files hashed by the interrupted run" in again.stderr
    elif found == "whole" and again.returncode == 2:
        tally["second run found it done"] += 1
    else:
        tally["unfinished"] += 1
    tally["left-overs"] += bench.state(output) != "whole" or [entry.name for entry in out.iterdir()] != ["a.mbom"]
    shutil.rmtree(out)
    return tally


def _child_lives(bench: Bench) -> bool:
    """Tell whether the behaviour pass of a killed run is still there: the kernel ends it with its parent."""
    deadline = time.monotonic() + 10
    marker = f"HOME={bench.folder / 'tmp'}/mbom-".encode()
    while time.monotonic() < deadline:
        if not any(marker in _environ(process) for process in Path("/proc").glob("[0-9]*/environ")):
            return False
        time.sleep(0.05)
    return True


def _environ(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended meanwhile, or is another user's
        return b""


def full_disks(bench: Bench, count: int) -> Counter[str] | None:
    """Attest to file systems of growing size, from one that holds nothing to one that holds everything.

    The cache lies there too. Every other one holds a bundle already, which is to be replaced. None where this machine
    allows no private mount.
    """
    written = bench.attested("--no-behaviour")
    needed = sum(-(-path.stat().st_size // 4096) * 4096 for path in written.rglob("*")) + (32 << 10)
    tally: Counter[str] = Counter()
    for number in range(count):
        replace = number % 2 == 1
        room = 4096 + needed * (number + 1) // count + (needed if replace else 0)
        outcome = _full(bench, written, room, replace=replace)
        if outcome is None:
            return None
        tally[outcome] += 1
    return tally


def _full(bench: Bench, written: Path, room: int, *, replace: bool) -> str | None:
    """Run on a file system of ``room`` bytes, and return what came of it; None where none can be mounted."""
    out = bench.trial()
    disk, kept = out / "disk", out / "kept"
    disk.mkdir()
    kept.mkdir()
    script = (
        'mount -t tmpfs -o size="$ROOM" tmpfs "$DISK" || exit 99; '
        '[ -z "$OLD" ] || cp -a "$OLD" "$DISK/a.mbom" || exit 97; '
        '"$@"; status=$?; rm -rf "$XDG_CACHE_HOME"; cp -a "$DISK/." "$KEPT"; exit $status'
    )
    private = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-r", "-m"]
    options = ("--no-behaviour", *(["--force", "--author", "Somebody else"] if replace else []))
    environment = bench.environment() | {
        "ROOM": str(room), "DISK": str(disk), "KEPT": str(kept), "OLD": str(written) if replace else "",
        "XDG_CACHE_HOME": str(disk / "cache"),
    }  # fmt: skip
    done = subprocess.run(
        [*private, "sh", "-c", script, "sh", *bench.command(disk / "a.mbom", *options)],
        env=environment, capture_output=True, text=True, check=False, timeout=LIMIT,
    )  # fmt: skip
    if done.returncode in (1, 97, 99) and "mbom: " not in done.stderr:
        return None
    found, names = bench.state(kept / "a.mbom"), {entry.name for entry in kept.iterdir()}
    same = replace and found == "whole" and bundle.read(kept / "a.mbom") == bundle.read(written)
    shutil.rmtree(out)
    if names - {"a.mbom"}:
        return "left-overs"
    if done.returncode == 0:
        return "it fitted" if found == "whole" and not same else "half-written"
    if done.returncode != 3 or "No space left on device" not in done.stderr:
        return "unnamed"
    if replace:
        return "refused, old one whole" if same else "lost"
    return "refused, nothing left" if found == "none" else "half-written"


# What happens to a file while it is hashed.


def truncate(path: Path, chance: random.Random) -> None:
    """Cut a file off anywhere."""
    os.truncate(path, chance.randrange(path.stat().st_size))


def extend(path: Path, chance: random.Random) -> None:
    """Write behind the end of a file."""
    with path.open("ab") as file:
        file.write(chance.randbytes(1000))


def rewrite(path: Path, chance: random.Random) -> None:
    """Change a byte of a file where it lies."""
    with path.open("r+b") as file:
        file.seek(chance.randrange(1 << 20, path.stat().st_size))
        file.write(b"\xa5")


def rewrite_dated_back(path: Path, chance: random.Random) -> None:
    """Change a byte of a file, and give it the time back that it had."""
    before = path.stat()
    rewrite(path, chance)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path: Path, chance: random.Random) -> None:
    """Put another file of the same size in its place."""
    other = path.parent.parent / "other"  # outside of the checkpoint
    shutil.copyfile(path, other)
    rewrite(other, chance)
    other.replace(path)


def remove(path: Path, chance: random.Random) -> None:
    """Remove a file."""
    del chance
    path.unlink()


CHANGES: tuple[Callable[[Path, random.Random], None], ...] = (
    truncate, extend, rewrite, rewrite_dated_back, replace, remove,
)  # fmt: skip


def changes(bench: Bench, count: int, *, size: int = SHARD_BYTES) -> Counter[str]:
    """Change shards while they are hashed: the run names the file, or states the bytes of one side of the change."""
    model = bench.folder / "changing"
    model.mkdir()
    make_shards(model, 3 * size, shards=3)
    shards = sorted(model.glob("*.safetensors"))
    pristine = {path: path.read_bytes() for path in shards}
    one = dataclasses.replace(bench, checkpoint=model)
    began = time.monotonic()
    one.attested("--no-behaviour")
    whole = time.monotonic() - began
    tally: Counter[str] = Counter()
    for number in range(count):
        path = bench.chance.choice(shards)
        # Start-up takes the first part of a run; from then on files are hashed.
        moment = whole * (0.25 + 0.75 * bench.chance.random())
        tally[_change(one, path, CHANGES[number % len(CHANGES)], moment)] += 1
        path.write_bytes(pristine[path])
    return tally


def _change(bench: Bench, path: Path, change: Callable[[Path, random.Random], None], moment: float) -> str:
    out = bench.trial()
    before = sha256(path.read_bytes())
    process = bench.start(bench.command(out / "a.mbom", "--no-behaviour"))
    time.sleep(moment)
    change(path, bench.chance)
    _, words = process.communicate(timeout=LIMIT)
    left = {entry.name for entry in out.iterdir()}
    if process.returncode == 0:
        if left != {"a.mbom"}:
            return "left-overs"
        inventory = Inventory.from_bytes(bundle.read(out / "a.mbom")[bundle.INVENTORY])
        stated = {file.name: file.sha256 for file in inventory.files}.get(path.name)
        after = sha256(path.read_bytes()) if path.exists() else None
        shutil.rmtree(out)
        return {before: "attested as before", after: "attested as after"}.get(stated, "mixed")
    shutil.rmtree(out)
    if left:
        return "left-overs"
    return "refused, file named" if process.returncode in (1, 3) and path.name in words else "unnamed"


def side_by_side(bench: Bench, rounds: int, *, runs: int = PARALLEL) -> Counter[str]:
    """Give one command several times at once; in every other round with ``--force``."""
    tally: Counter[str] = Counter()
    for number in range(rounds):
        out = bench.trial()
        force = ("--force",) if number % 2 else ()
        processes = [bench.start(bench.command(out / "a.mbom", "--no-behaviour", *force)) for _ in range(runs)]
        for process in processes:
            _, words = process.communicate(timeout=LIMIT)
            told = words.strip().splitlines()[-1] if words.strip() else ""
            if process.returncode == 0:
                tally["written"] += 1
            elif process.returncode == 3 and "another run of mbom is writing it" in told:
                tally["told: another run"] += 1
            elif process.returncode == 2 and "exists" in told and not force:
                tally["told: exists"] += 1
            else:
                tally["unnamed"] += 1
        won = sum(process.returncode == 0 for process in processes)
        tally["rounds with a whole bundle"] += bench.state(out / "a.mbom") == "whole"
        tally["no winner"] += won < 1 or (won > 1 and not force)
        tally["left-overs"] += [entry.name for entry in out.iterdir()] != ["a.mbom"]
        shutil.rmtree(out)
    tally["lost"] += rounds - tally["rounds with a whole bundle"]
    return tally


def bad(tally: Counter[str]) -> int:
    """Count the outcomes that must not be."""
    return sum(number for outcome, number in tally.items() if outcome in BAD)


def show(what: str, tally: Counter[str] | None) -> Counter[str] | None:
    """Print the outcomes of one kind of trouble, and return them."""
    if tally is None:
        print(f"{what}\n  not possible on this machine")
        return None
    print(what)
    for outcome, number in sorted(tally.items(), key=lambda item: (item[0] in BAD, -item[1], item[0])):
        if number:
            print(f"  {number:5}  {outcome}")
    print(f"  {bad(tally):5}  lost, half-written or without a name", flush=True)
    return tally


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=180, help="kill -9 of runs without behaviour")
    parser.add_argument("--behaviour", type=int, default=20, help="kill -9 of runs with behaviour")
    parser.add_argument("--full", type=int, default=20, help="sizes of a full disk")
    parser.add_argument("--changes", type=int, default=50, help="changes while files are hashed")
    parser.add_argument("--rounds", type=int, default=50, help=f"rounds of {PARALLEL} runs at once")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, mbom {__version__}")
    with tempfile.TemporaryDirectory(prefix="mbom-faults-") as name:
        bench = Bench(folder=Path(name), chance=random.Random(arguments.seed))
        found: list[Counter[str] | None] = [
            show(f"{arguments.kills} kills without behaviour", kills(bench, arguments.kills)),
            show(f"{arguments.behaviour} kills with behaviour", kills(bench, arguments.behaviour, behaviour=True)),
            show(f"{arguments.full} sizes of a full disk", full_disks(bench, arguments.full)),
            show(f"{arguments.changes} changes while files are hashed", changes(bench, arguments.changes)),
            show(f"{PARALLEL} runs at once, {arguments.rounds} rounds", side_by_side(bench, arguments.rounds)),
        ]
    wrong = sum(bad(tally) for tally in found if tally is not None)
    print(f"altogether {wrong} lost, half-written or without a name")
    sys.exit(1 if wrong or None in found else 0)


if __name__ == "__main__":
    main()
