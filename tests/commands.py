"""Running the command line as users do: a process of its own, with a home and a configuration of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import jsonschema
from referencing import Registry, Resource

SCHEMAS = Path(__file__).parent.parent / "schemas"

# What a user's shell would hand on; everything else stays out, so that a run depends on nothing of this machine.
KEPT = ("PATH", "PYTHONPATH", "LANG", "VIRTUAL_ENV", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG", "TMPDIR")


def environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a user who lives in ``home``."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return kept | {"HOME": str(home), "HF_HUB_DISABLE_XET": "1"} | dict(extra or {})


def mbom(
    *arguments: str | Path, home: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``mbom`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "mbom", *map(str, arguments)],
        env=environment(home, env),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def schema(name: str) -> jsonschema.Draft202012Validator:
    """Return the validator of a published schema, which may refer to the others."""
    registry: Registry = Registry()
    for path in SCHEMAS.glob("*.schema.json"):
        registry = Resource.from_contents(json.loads(path.read_text())) @ registry
    return jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{name}.schema.json").read_text()), registry=registry)
