"""The command line: reads options, calls one function, prints, exits. Nothing else of mbom prints or exits."""

import os
import signal
import sys
import traceback
from types import FrameType
from typing import NoReturn

import click

from mbom import __version__
from mbom.cli.attest import attest
from mbom.cli.bom import bom
from mbom.cli.compare import compare
from mbom.cli.console import Display
from mbom.cli.diff import diff
from mbom.cli.gate import gate
from mbom.cli.identify import identify
from mbom.cli.inspect import inspect
from mbom.cli.keygen import keygen
from mbom.cli.lock import lock
from mbom.cli.measure import measure
from mbom.cli.policy import policy
from mbom.cli.report import report_command
from mbom.cli.verify import verify
from mbom.errors import MbomError

INTERRUPTED = 130  # 128 + SIGINT, as shells report it
UNAVAILABLE = 3


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mbom")
def cli() -> None:
    """Signed, checkable evidence for open-weight models.

    Exit status, everywhere: 0 verified or done, 1 refused, 2 wrong usage, 3 could not be checked or done,
    4 authentication, 130 interrupted.

    \b
    Examples:
      mbom attest openai/gpt-oss-20b
      mbom verify gpt-oss-20b.mbom ./models/gpt-oss-20b --key release.pub
    """


for command in (
    attest,
    verify,
    report_command,
    diff,
    lock,
    policy,
    gate,
    identify,
    measure,
    compare,
    inspect,
    bom,
    keygen,
):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command line and exit; every failure is one sentence and a status, never a traceback."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # whoever started us with nohup means it
            signal.signal(number, _terminate)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line with ``arguments`` and return the exit status."""
    try:
        status = cli.main(args=arguments, prog_name="mbom", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNAVAILABLE
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the outermost frame: every failure is a sentence
        sentence, status = explain(error)
        if os.environ.get("MBOM_DEBUG"):
            Display(quiet=False).line(traceback.format_exc().rstrip("\n"))
        Display(quiet=False).error(sentence)
    return status if isinstance(status, int) else 0


def explain(error: BaseException) -> tuple[str, int]:
    """Return the sentence for a failure, and the exit status."""
    match error:
        case MbomError():
            return str(error), error.exit_code
        case KeyboardInterrupt() | click.Abort():
            return "interrupted; nothing is left half-written", INTERRUPTED
        case MemoryError():
            return "out of memory; nothing is left half-written", UNAVAILABLE
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return f"{where}{error.strerror or error}; nothing is left half-written", UNAVAILABLE
        case _:
            fault = f"{type(error).__name__}: {error}"
            return f"a fault in mbom itself: {fault} (MBOM_DEBUG=1 shows where; please report it)", UNAVAILABLE


def _terminate(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001  # the signature of a handler
    """End on SIGTERM and SIGHUP as on Ctrl-C, so that temporary files go and children end.

    The status is 130 for all three: what was asked for did not happen, and nothing half-done is left.
    """
    raise KeyboardInterrupt
