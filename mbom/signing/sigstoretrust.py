"""Which Sigstore instance is trusted: the public one, or the one that a trust configuration describes.

Importing this module takes a third of a second, because it imports sigstore; do so where an instance is needed.
"""

import logging
from pathlib import Path

from sigstore.errors import Error as SigstoreError
from sigstore.models import ClientTrustConfig, TrustedRoot

from mbom import strictjson
from mbom.errors import FormatError, KeyFileError, UnavailableError

TRUST_CONFIG_LIMIT = 1 << 20  # bytes; the public instance's has 12,000

# What the library logs would stand on standard error between our own lines; what matters there is raised, too.
logging.getLogger("sigstore").addHandler(logging.NullHandler())


def load(path: Path) -> ClientTrustConfig:
    """Read a trust configuration (``clienttrustconfig.v0.1+json``), which describes an instance and whom it trusts.

    Raises:
        KeyFileError: when the file cannot be read or is not one.
    """
    try:
        with path.open("rb") as file:
            data = file.read(TRUST_CONFIG_LIMIT + 1)
    except OSError as error:
        raise KeyFileError(f"{path}: the trust configuration cannot be read: {error.strerror}") from error
    try:
        # Two readers that understand one file differently would trust two instances.
        strictjson.loads(data, what=str(path), limit=TRUST_CONFIG_LIMIT, floats=False)
        config = ClientTrustConfig.from_json(data.decode())
        config.trusted_root.get_fulcio_certs()  # parses what from_json leaves unread
    except (FormatError, SigstoreError, ValueError) as error:
        raise KeyFileError(
            f"{path}: not a trust configuration of Sigstore, which holds a trusted root and a signing configuration "
            f"({brief(error)})"
        ) from error
    return config


def public_instance(*, offline: bool) -> ClientTrustConfig:
    """Return the configuration of Sigstore's public instance.

    Offline it is the one that sigstore's client fetched last on this machine, or else the one that it came with.

    Raises:
        UnavailableError: when it cannot be refreshed or read.
    """
    try:
        return ClientTrustConfig.production(offline=offline)
    except (SigstoreError, OSError, ValueError) as error:
        how = "" if offline else "; is there a network? A private instance is named with --trust-config"
        raise UnavailableError(f"the trust root of Sigstore's public instance: {brief(error)}{how}") from error


def log_ids(root: TrustedRoot) -> frozenset[bytes]:
    """Return the ids of the logs that a root trusts.

    The library tries every trusted key on an entry whose log it does not know, so that an id could say anything.
    """
    return frozenset(log.log_id.key_id for log in root._inner.tlogs)  # noqa: SLF001  # the library shows them nowhere


def brief(error: BaseException) -> str:
    """Return the message of a foreign error in one line of bounded length; its type where it has none."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}…"
