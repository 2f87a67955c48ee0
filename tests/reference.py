"""The reference tool for ``model.sig``, PyPI ``model-signing``, run many times in one process to import it once."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Its command line as a shell would run it, and its library where the command line does not reach.
_SCRIPT = """
import contextlib, io, json, pathlib, sys
from model_signing import _cli, hashing, signing, verifying

def sign_as(key, model, signature, method, algorithm, size):
    how = hashing.Config()
    if method == "shards":
        how.use_shard_serialization(hashing_algorithm=algorithm, shard_size=size)
    else:
        how.use_file_serialization(hashing_algorithm=algorithm)
    path = pathlib.Path
    signing.Config().use_elliptic_key_signer(private_key=path(key)).set_hashing_config(how).sign(
        path(model), path(signature)
    )

def run(job):
    said = io.StringIO()
    status = 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            if job[0] == "sign-as":
                sign_as(*job[1:5], job[5], int(job[6]))
            else:
                _cli.main(job, standalone_mode=False)
        except SystemExit as end:
            status = end.code
    return status, said.getvalue()

json.dump([run(job) for job in json.load(sys.stdin)], sys.stdout)
"""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How the tool ended and what it printed."""

    status: int
    said: str

    @property
    def accepted(self) -> bool:
        """Whether it did what it was asked, and said so."""
        return self.status == 0 and "succeeded" in self.said


def ask(jobs: Sequence[Sequence[str | Path]]) -> list[Answer]:
    """Run the tool's command line once for each list of arguments.

    ``sign-as KEY MODEL SIGNATURE METHOD ALGORITHM SIZE`` stands for the library, which knows more methods.
    """
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        input=json.dumps([list(map(str, job)) for job in jobs]),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return [Answer(status=status or 0, said=said) for status, said in json.loads(done.stdout)]


def verify_with_key(model: Path, signature: Path, key: Path) -> list[str | Path]:
    """Return the arguments that verify a signature of a key."""
    return ["verify", "key", model, "--public_key", key, "--signature", signature]


def verify_with_root(model: Path, signature: Path, root: Path) -> list[str | Path]:
    """Return the arguments that verify a signature under a root."""
    return ["verify", "certificate", model, "--certificate_chain", root, "--signature", signature]
