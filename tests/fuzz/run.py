"""Fuzz the targets with atheris, which looks for inputs that reach code that no other input reached.

    python tests/fuzz/run.py --seconds 60 [--target NAME]...

Each target runs in a process of its own for its share of the time, from the seeds and from what earlier runs found,
which ``build/fuzz/NAME/`` keeps. An input that shows a fault is left beside it, and the exit status is 1.
"""

import argparse
import os
import re
import sys
import time
from functools import partial
from hashlib import sha256
from pathlib import Path

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["mbom", "json"]):
    from fuzz.mutators import mutate_json
    from fuzz.seeds import seeds
    from fuzz.targets import TARGETS

KEPT = Path("build") / "fuzz"
SECONDS_LIMIT = 10  # of one input; the slowest honest one takes a tenth of a second
MEMORY_LIMIT = 1024  # megabytes of a process, which takes a hundred before the first input

_TOKEN = re.compile(rb'"[^"\\\n]{1,40}"|[A-Za-z_]{3,20}|[^\w\s"]{1,3}')
_STATUS = re.compile(r"cov: (\d+) ft: \d+ corp: (\d+)/")
_RUNS = re.compile(r"stat::number_of_executed_units: (\d+)")
_PEAK = re.compile(r"stat::peak_rss_mb: +(\d+)")


def prepare(name: str, began: list[bytes]) -> list[str]:
    """Write the seeds and a dictionary of the words in them; return the fuzzer's arguments that name them."""
    corpus = KEPT / name
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in began:
        (corpus / sha256(seed).hexdigest()).write_bytes(seed)
    words = sorted({word for seed in began for word in _TOKEN.findall(seed[:8192])})
    dictionary = KEPT / f"{name}.dict"
    escaped = ("".join(f"\\x{byte:02x}" for byte in word) for word in words[:500])
    dictionary.write_text("".join(f'"{word}"\n' for word in escaped), encoding="ascii")
    return [str(corpus), f"-dict={dictionary}", f"-artifact_prefix={KEPT / name}-"]


def mutated(prefix: int, data: bytes, longest: int, seed: int) -> bytes:
    """Change the bytes of an input, or the document in it, each every other time."""
    found = mutate_json(data, seed, prefix=prefix) if seed % 2 else None
    if found is None or len(found) > longest:
        found = atheris.Mutate(data, len(data) + 64)
    return bytes(found[:longest])


def watched(name: str, data: bytes) -> None:
    """Run a target, and keep an input that shows a fault before the fuzzer hears of it."""
    try:
        TARGETS[name].run(data)
    except BaseException:
        (KEPT / f"{name}-fault-{sha256(data).hexdigest()[:16]}").write_bytes(data)
        raise


def fuzz(name: str, arguments: list[str], log: Path) -> int:
    """Fuzz a target in a child, which writes to ``log``, and return its exit status."""
    target = TARGETS[name]
    child = os.fork()
    if child == 0:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(output, 1)
        os.dup2(output, 2)
        limits = [f"-timeout={SECONDS_LIMIT}", f"-rss_limit_mb={MEMORY_LIMIT}", f"-max_len={target.longest}"]
        mutate = {} if target.document is None else {"custom_mutator": partial(mutated, target.document)}
        atheris.Setup([sys.argv[0], *arguments, *limits, "-print_final_stats=1"], partial(watched, name), **mutate)
        atheris.Fuzz()  # ends the process
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def share(name: str, began: list[bytes], seconds: int, seed: int) -> bool:
    """Fuzz one target for so long, print what came of it, and tell whether nothing was found."""
    log = KEPT / f"{name}.log"
    status = fuzz(name, [*prepare(name, began), f"-max_total_time={seconds}", f"-seed={seed}"], log)
    text = log.read_text(encoding="utf-8", errors="replace")
    runs, peak, progress = _RUNS.search(text), _PEAK.search(text), _STATUS.findall(text)
    passed = status == 0 and runs is not None
    edges, inputs = progress[-1] if progress else ("-", "-")
    executions, megabytes = runs[1] if runs else "-", peak[1] if peak else "-"
    print(f"{name:10}{executions:>12}{edges:>8}{inputs:>8}{megabytes:>9}  {'none' if passed else 'FAULT'}", flush=True)
    if not passed:
        print(text[-6000:], file=sys.stderr)
    return passed


def main() -> int:
    """Fuzz every target that was asked for in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="of all targets together")
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, default=0, help="of the choices; 0, the default, takes another each time")
    options = parser.parse_args()
    chosen = options.target or list(TARGETS)
    end, began, results = time.monotonic() + options.seconds, seeds(), []
    print(f"{'target':10}{'executions':>12}{'edges':>8}{'inputs':>8}{'peak MB':>9}  findings", flush=True)
    for number, name in enumerate(chosen):
        left = (end - time.monotonic()) / (len(chosen) - number)
        results.append(share(name, began[name], max(1, round(left)), options.seed))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
