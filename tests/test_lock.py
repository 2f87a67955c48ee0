"""The lock file: it holds every dependency, within its range, with digests, and names no index."""

import functools
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
LOCK = (ROOT / ".ci" / "lock.txt").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PYTHONS = ("3.11", "3.12", "3.13")


@functools.cache
def entries(text: str) -> list[tuple[Requirement, list[str]]]:
    """Return what a file of requirements pins, each with its digests; any other line is an error."""
    found: list[tuple[Requirement, list[str]]] = []
    for line in re.sub(r"\\\n", "\n", text).splitlines():
        if digest := re.fullmatch(r" +--hash=sha256:([0-9a-f]{64}) *", line):
            found[-1][1].append(digest[1])
        elif not line.startswith("#"):
            found.append((Requirement(line), []))
    return found


def direct() -> list[Requirement]:
    """Return everything that pyproject.toml names: what mbom needs, every extra, and every group."""
    project: dict[str, Any] = PROJECT["project"]
    named = [*project["dependencies"], *PROJECT["build-system"]["requires"]]
    for several in (*project["optional-dependencies"].values(), *PROJECT["dependency-groups"].values()):
        named += [item for item in several if isinstance(item, str)]
    return [Requirement(item) for item in named]


def locked(name: str, python: str) -> list[Version]:
    """Return the versions that a Linux machine with that Python would be given."""
    machine = {"python_version": python, "python_full_version": f"{python}.1", "sys_platform": "linux",
               "platform_machine": "x86_64", "platform_system": "Linux"}  # fmt: skip
    return [
        Version(next(iter(item.specifier)).version)
        for item, _ in entries(LOCK)
        if canonicalize_name(item.name) == canonicalize_name(name)
        and (item.marker is None or item.marker.evaluate(machine))
    ]


@pytest.mark.parametrize("python", PYTHONS)
def test_every_dependency_is_locked_once_within_its_range(python: str) -> None:
    for wanted in direct():
        versions = locked(wanted.name, python)
        assert len(versions) == 1, f"{wanted}: run `make lock`"
        assert wanted.specifier.contains(versions[0], prereleases=True), f"{wanted}, locked {versions[0]}: `make lock`"


def test_what_is_locked_is_pinned_exactly_and_has_digests() -> None:
    assert len(entries(LOCK)) > 100
    for item, digests in entries(LOCK):
        assert re.fullmatch(r"==[^*,]+", str(item.specifier)), item
        assert item.url is None, item
        assert digests, item


def test_what_an_installed_package_needs_is_locked_too() -> None:
    from importlib.metadata import requires

    names = {canonicalize_name(item.name) for item, _ in entries(LOCK)}
    for package in ("transformers", "huggingface-hub", "cyclonedx-python-lib", "sigstore", "pytest"):
        for line in requires(package) or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert canonicalize_name(needed.name) in names, f"{package} needs {needed}: run `make lock`"


def test_neither_lock_names_an_index() -> None:
    for name in ("lock.txt", "pip.txt"):
        text = (ROOT / ".ci" / name).read_text(encoding="utf-8")
        assert "://" not in text
        assert not re.search(r"^--", text, re.MULTILINE)


def test_pip_is_installed_as_the_lock_has_it() -> None:
    text = (ROOT / ".ci" / "pip.txt").read_text(encoding="utf-8")
    assert text in LOCK
    assert [item.name for item, _ in entries(text)] == ["pip"]


def test_torch_has_the_digests_of_its_builds_without_cuda() -> None:
    script = (ROOT / ".ci" / "lock.py").read_text(encoding="utf-8")
    known = re.findall(r'"([0-9a-f]{64})"', script)
    digests = next(found for item, found in entries(LOCK) if item.name == "torch")
    assert known
    assert set(known) < set(digests)


def test_what_the_makefile_installs_is_what_pyproject_names() -> None:
    command = [sys.executable, str(ROOT / ".ci" / "lock.py"), "requirements"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    project = PROJECT["project"]
    assert printed == project["dependencies"] + project["optional-dependencies"]["engine"]
