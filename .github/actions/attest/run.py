"""Attesting as a step of a workflow: read the inputs, run `mbom attest` once, write the outputs.

Run it with `python -I` by the interpreter that has mbom. Nothing of the checkout is imported or executed, and nothing
that mbom prints is taken for a command by the runner.
"""

import base64
import json
import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

MEMBER_LIMIT = 32 << 20  # bytes of the attestation, as mbom reads it at most

# Inputs that are options of the same name. One that is empty was not given, so that mbom decides.
OPTIONS = ("base-key", "author", "spec", "key", "trust-config")


def given(name: str) -> str:
    """Return an input; empty where it was not given."""
    return os.environ.get("MBOM_" + name.upper().replace("-", "_"), "").strip()


def arguments(bundle: Path) -> list[str]:
    """Return the command line of `mbom attest`; one word for an option, so that no value is taken for another."""
    return [
        "attest",
        f"--output={bundle}",
        *(["--keyless"] if not given("key") else []),
        *(["--no-behaviour"] if given("no-behaviour") == "true" else []),
        *(f"--base={line.strip()}" for line in given("bases").splitlines() if line.strip()),
        *(f"--{name}={given(name)}" for name in OPTIONS if given(name)),
        "--",
        given("model"),
    ]


def run(command: list[str]) -> int:
    """Run mbom; what it prints goes to the log, where the runner looks for no commands."""
    token = secrets.token_hex(16)
    print(f"::stop-commands::{token}", flush=True)
    try:
        return subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode
    finally:
        print(f"\n::{token}::", flush=True)


def digest_of(bundle: Path) -> str:
    """Return the model digest that the bundle's statement names."""
    with (bundle / "attestation.sigstore.json").open("rb") as file:
        envelope = json.loads(file.read(MEMBER_LIMIT))["dsseEnvelope"]
    statement = json.loads(base64.b64decode(envelope["payload"]))
    digest: str = statement["predicate"]["model"]["digest"]
    if re.fullmatch("[0-9a-f]{64}", digest) is None:
        sys.exit(f"{bundle}: the statement names no model digest")
    return digest


def main() -> int:
    """Attest, and tell the runner what came of it."""
    if not given("model"):
        sys.exit("mbom attest: the input model is missing")
    if "\n" in given("output"):
        sys.exit("mbom attest: the input output is a path of one line")
    # What mbom would call it, said here because the output must say it too.
    name = re.sub(r"[^0-9A-Za-z._-]", "_", given("model").partition("@")[0].rstrip("/").rpartition("/")[2])
    target = Path(given("output") or f"{name or 'model'}.mbom").absolute()
    status = run([sys.executable, "-I", "-m", "mbom", *arguments(target)])
    if status == 0:
        with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as outputs:
            outputs.write(f"bundle={target}\ndigest={digest_of(target)}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
