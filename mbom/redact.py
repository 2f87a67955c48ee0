"""Secrets taken out of text that somebody else wrote: what a server or a library says may repeat what it was sent."""

import re
from collections.abc import Iterable

MARK = "[secret]"
SHORTEST = 8  # characters; a shorter secret would take ordinary words and numbers with it

# Tokens of the hub, of GitHub and of OpenID, what follows the name of an authentication scheme, and private keys.
_SECRET = re.compile(
    r"\bhf_[A-Za-z0-9]{16,}"
    r"|\bgh[opsur]_[A-Za-z0-9]{16,}"
    r"|\bgithub_pat_[A-Za-z0-9_]{16,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    r"|\b(?:[Bb]earer|[Bb]asic) [A-Za-z0-9._~+/=-]{8,}"
    r"|-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}-----|\Z)",
    re.DOTALL,
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return ``text`` without ``secrets`` and without what is a secret by its form.

    This is the second line of defence: the first is that no message of ours quotes a secret.
    """
    for secret in sorted((item for item in secrets if len(item) >= SHORTEST), key=len, reverse=True):
        text = text.replace(secret, MARK)
    return _SECRET.sub(MARK, text)
