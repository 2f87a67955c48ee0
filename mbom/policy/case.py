"""Everything that a policy looks at to decide on one model."""

from dataclasses import dataclass
from datetime import datetime

from mbom.diff.changes import Changes
from mbom.dossier import Dossier
from mbom.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model that somebody wants to use.

    Attributes:
        model: its name as in the lock file, which the patterns of a policy are matched against.
        dossier: what is known of it; verified where ``verdict`` says so.
        verdict: of its bundle under the signers that the policy trusts; None where it has no bundle or was not checked.
        signer: who signed it, in the words of the verifier; None where nobody trusted did.
        changes: against the model that it replaces; None for a first one.
        previous: the same for that model; None for a first one.
        logged: whether an entry of a transparency log was verified with the signature; None where nobody looked.
        stamped: whether a trusted authority, or a log, vouches for the time of the signature; None where nobody looked.
        seen: that time.
        now: the time at which waivers and ages are counted, in UTC.
    """

    model: str
    dossier: Dossier
    verdict: Verdict | None
    signer: str | None
    changes: Changes | None
    previous: Dossier | None
    now: datetime
    logged: bool | None = None
    stamped: bool | None = None
    seen: datetime | None = None
