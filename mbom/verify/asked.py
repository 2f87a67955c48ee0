"""What a caller asks of a verification beyond the bundle itself."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mbom.engine import Measure
from mbom.source import Source


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What the caller demands of the model and of the age of its attestation; None where nothing is demanded.

    ``max_time`` is how late it can have been made, by the caller's own clock: one from the future has no age.
    """

    repo: str | None = None
    revision: str | None = None
    min_time: datetime | None = None
    max_time: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """What the caller asks of the checkpoint and of a second copy at once, so that nobody could prepare the answer.

    Attributes:
        nonce: what the caller made up.
        measure: the behaviour pass under that nonce, for the checkpoint.
        reference: a copy that the caller trusts, or the folder of a record that answers the same nonce.
        measure_reference: the behaviour pass under that nonce, for a reference that is a copy.
    """

    nonce: str
    measure: Measure
    reference: Source | Path
    measure_reference: Measure
