"""PKCS#11 tokens for tests: SoftHSM, whose own tool makes the token and imports the keys that openssl made.

The library reads its configuration and the list of tokens once in a process, so that all tests of one share them.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

PIN = "canary-pin-77"
SO_PIN = "canary-so-88"

_PLACES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib64/libsofthsm2.so",
)
LIBRARY = next((Path(place) for place in _PLACES if Path(place).exists()), None)
needs_softhsm = pytest.mark.skipif(
    LIBRARY is None or shutil.which("softhsm2-util") is None,
    reason="softhsm2 is not on this machine (on Debian: apt-get install softhsm2)",
)


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """A folder of tokens."""

    folder: Path
    module: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to find the tokens."""
        return {"SOFTHSM2_CONF": str(self.folder / "softhsm2.conf")}

    def make(self, label: str, *curves: str) -> None:
        """Make a token with a key for each curve; the keys' labels are the names of the curves."""
        self._run("--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", SO_PIN)
        for number, curve in enumerate(curves, start=1):
            self.add(label, curve, curve, f"{number:02x}")

    def add(self, token: str, curve: str, label: str, number: str) -> None:
        """Make a key with openssl and put it on a token."""
        path = self.folder / f"{token}-{label}.pem"
        algorithm = ["RSA"] if curve == "RSA" else ["EC", "-pkeyopt", f"ec_paramgen_curve:{curve}"]
        subprocess.run(["openssl", "genpkey", "-algorithm", *algorithm, "-out", path], check=True, capture_output=True)
        self._run("--import", str(path), "--token", token, "--label", label, "--id", number, "--pin", PIN)

    def uri(self, label: str, token: str = "release", query: str = "") -> str:
        """Name a key."""
        return f"pkcs11:token={token};object={label}?module-path={self.module}{query}"

    def _run(self, *arguments: str) -> None:
        environment = dict(os.environ) | self.environment
        subprocess.run(["softhsm2-util", *arguments], env=environment, check=True, capture_output=True)


def set_up(folder: Path) -> Tokens:
    """Make a folder of tokens, and have this process use it."""
    assert LIBRARY is not None
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    made = Tokens(folder=folder, module=LIBRARY)
    os.environ.update(made.environment)
    made.make("release", "P-256", "P-384", "P-521")
    for label, curve, number in (("rsa", "RSA", "10"), ("k1", "secp256k1", "11")):
        made.add("release", curve, label, number)
    for number in ("12", "13"):
        made.add("release", "P-256", "twin", number)
    made.make("other", "P-256")
    return made
