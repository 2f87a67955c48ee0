"""The lock of what CI, the release and the Action install: every version, and the digest of every file of it.

`make lock` writes it. Users install from the ranges in pyproject.toml; the lock is for machines of which somebody
must be able to say afterwards what ran on them. pip takes it as constraints, with `--require-hashes`.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / ".ci" / "lock.txt"
PIP = ROOT / ".ci" / "pip.txt"  # the pip that Python brings along does not take digests from constraints
GROUPS = ("test", "lint", "fuzz", "release", "lock")
EXTRA = "engine"

# The builds of torch without CUDA are on an index of its publisher, under the version 2.13.0+cpu: CPython 3.11, 3.12
# and 3.13 on Linux, x86-64. See https://download.pytorch.org/whl/cpu/torch/.
TORCH = "2.13.0"
TORCH_CPU = (
    "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",
    "4ca4a9394b0c771238a4f73590fdbbc4debad85ed0fa63d026ae1b085da7d6e2",
    "3fbf9c9d1f3c10c2d59d04aca426dee9ccc6ceb32d255c61e93acc3b4f75fae6",
)

_ENTRY = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>[^ ]+)(?: ; .*?)? \\\n(?:    --hash=.*\n)+", re.MULTILINE)


def requirements(extras: Sequence[str] = (EXTRA,)) -> list[str]:
    """Return what mbom needs with some extras, by the ranges of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    return [*project["dependencies"], *(needed for extra in extras for needed in optional[extra])]


def write() -> None:
    """Resolve for every platform and Python at once, and write both files; what is locked stays where it can."""
    groups = [option for group in GROUPS for option in ("--group", group)]
    subprocess.run(
        ["uv", "pip", "compile", "pyproject.toml", "--all-extras", *groups, "--universal", "--python-version", "3.11",
         "--generate-hashes", "--no-annotate", "--custom-compile-command", "make lock",
         "--default-index", "https://pypi.org/simple", "--quiet", "--output-file", str(LOCK), *sys.argv[2:]],
        cwd=ROOT, check=True,
    )  # fmt: skip
    text = LOCK.read_text(encoding="utf-8")
    entries = {match["name"]: match for match in _ENTRY.finditer(text)}
    if entries["torch"]["version"] != TORCH:
        sys.exit(f"torch {entries['torch']['version']}: give .ci/lock.py the digests of its builds without CUDA")
    torch = entries["torch"][0]
    first, rest = torch.split("\n", 1)
    cpu = "".join(f"    --hash=sha256:{digest} \\\n" for digest in TORCH_CPU if digest not in rest)
    LOCK.write_text(text.replace(torch, f"{first}\n{cpu}{rest}"), encoding="utf-8")
    PIP.write_text(entries["pip"][0], encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["requirements"]:
        # `requirements` is what most machines install; `requirements --only EXTRA…` names the extras, or none.
        print("\n".join(requirements(sys.argv[3:]) if sys.argv[2:3] == ["--only"] else requirements()))
    else:
        write()
