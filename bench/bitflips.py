"""How many of a thousand single flipped bits the verification sees, and by which of its steps.

Bits are drawn over the trained checkpoint and the bundle that is kept of it, half of them uniformly over all bytes and
half over files drawn first. Each flip is verified in full but for the behaviour pass: it is seen when the verdict
refuses, names the file, and names the tensor where the bit is in one.

    PYTHONPATH=.:tests python bench/bitflips.py
    PYTHONPATH=.:tests python bench/bitflips.py --flips 200 --seed 7
"""

import argparse
import platform
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from attesting import FIXTURE
from flippedbits import flips, unseen, verdict_on

from fixtures import bundling
from mbom import __version__
from mbom.signing import KeyVerifier

KEPT = bundling.BUNDLES / "v3"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=2)
    options = parser.parse_args()
    verifier = KeyVerifier.load(KEPT / "release.pub")
    with tempfile.TemporaryDirectory(prefix="mbom-") as name:
        checkpoint, folder = Path(name) / FIXTURE.name, Path(name) / "tiny.mbom"
        shutil.copytree(FIXTURE, checkpoint)
        shutil.copytree(KEPT / "tiny-gpt-oss.mbom", folder)
        places, steps, missed = Counter[str](), Counter[str](), []
        files = set()
        begin = time.process_time()
        for flip in flips(checkpoint, folder, count=options.flips, seed=options.seed):
            verdict = verdict_on(flip, checkpoint, folder, verifier)
            files.add(flip.path)
            places["bundle" if flip.in_bundle else "tensor" if flip.tensor else "rest of the checkpoint"] += 1
            steps[next((check.id for check in verdict.checks if check.outcome == "FAIL"), "none")] += 1
            if (reason := unseen(flip, verdict)) is not None:
                missed.append(f"{flip}: {reason}")
        seconds = time.process_time() - begin
    print(f"{platform.platform()}, Python {platform.python_version()}, mbom {__version__}")
    print(f"{options.flips} single bits flipped in {len(files)} files, seed {options.seed}")
    print("  where       " + ", ".join(f"{count} {place}" for place, count in sorted(places.items())))
    print("  first seen  " + ", ".join(f"{count} {step}" for step, count in sorted(steps.items())))
    print(f"  seen with the file, and the tensor, named: {options.flips - len(missed)} of {options.flips}")
    print(f"  {1000 * seconds / options.flips:.0f} ms of processor time a verification")
    for line in missed:
        print(f"  MISSED {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
