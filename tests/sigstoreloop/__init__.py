"""A whole Sigstore on loopback: OpenID issuer, Fulcio, certificate log, Rekor v1 and v2, timestamp authority.

Real clients sign and verify with it, so that it follows their protocols and not what mbom expects; and it can be told
to misbehave as a hostile or broken instance would. Keys live in memory and end with the process.
"""

from sigstoreloop.instance import Faults, Instance

__all__ = ["Faults", "Instance"]
