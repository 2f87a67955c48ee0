"""Install what the actions run: mbom of the action's own commit, and what it needs by the digests of .ci/lock.txt.

Everything goes into an environment of its own below RUNNER_TEMP. mbom itself is not copied: the environment points at
the checkout of the action, whose commit the workflow pinned. With MBOM_VERSION, `1.2.3@sha256:<digest of the wheel>`,
a release from PyPI takes its place, under the digest that the workflow gives.

Run it as `python -I install.py EXTRA…`; it writes the output `python`, the interpreter to run mbom with.
"""

import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / ".ci" / "lock.txt"
PIP = ROOT / ".ci" / "pip.txt"

_VERSION = re.compile(r"(?P<version>[0-9][0-9A-Za-z.]{0,40})@sha256:(?P<digest>[0-9a-f]{64})")


def make(folder: Path, *, with_pip: bool = True) -> Path:
    """Make an environment and return its interpreter."""
    venv.create(folder, with_pip=with_pip, symlinks=True, clear=True)
    return folder / "bin" / "python"


def link(folder: Path, *paths: Path) -> None:
    """Let the environment in ``folder`` import from ``paths``."""
    (packages,) = (folder / "lib").glob("python3.*/site-packages")
    (packages / "mbom-action.pth").write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")


def install(folder: Path, extras: list[str], version: str) -> Path:
    """Install everything into ``folder`` and return the interpreter."""
    release = _VERSION.fullmatch(version)
    if version and release is None:
        sys.exit(f"version is {version!r}, it must be such as 1.2.3@sha256:<64 hex digits of the wheel's digest>")
    python = make(folder)
    pip = [str(python), "-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
    subprocess.run([*pip, "--require-hashes", "--requirement", str(PIP)], check=True)
    listed = [str(python), "-I", str(ROOT / ".ci" / "lock.py"), "requirements", "--only", *extras]
    needed = folder / "requirements.txt"
    needed.write_bytes(subprocess.run(listed, check=True, capture_output=True).stdout)
    by_digest = [*pip, "--require-hashes", "--only-binary", ":all:", "--constraint", str(LOCK)]
    subprocess.run([*by_digest, "--requirement", str(needed)], check=True)
    if release is None:
        link(folder, ROOT)
    else:
        needed.write_text(f"mbom=={release['version']} --hash=sha256:{release['digest']}\n", encoding="utf-8")
        subprocess.run([*by_digest, "--no-deps", "--requirement", str(needed)], check=True)
    return python


def main() -> None:
    """Install, and say where."""
    folder = Path(tempfile.mkdtemp(prefix="mbom-", dir=os.environ["RUNNER_TEMP"])) / "environment"
    python = install(folder, sys.argv[1:], os.environ.get("MBOM_VERSION", ""))
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as outputs:
        outputs.write(f"python={python}\n")


if __name__ == "__main__":
    main()
