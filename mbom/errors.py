"""Every exception that mbom raises, one class for each thing that is mended differently.

An exception means that mbom could not look; what it saw and did not like is a ``Finding`` or a ``Check``.

::

    MbomError                   exit
    ├── UsageError                2    the command line asks for something that makes no sense
    ├── RefusedError              1    looked, and will not go on (an attack, a contradiction, a broken promise)
    │   ├── FormatError           1    bytes that are not what their format says
    │   ├── ChangedError          1    a file changed while it was read
    │   └── SignatureError        1    a signature that does not hold under the trusted key or identity
    ├── UnavailableError          3    could not be checked or done
    │   ├── SourceError           3    missing path or repository, network, broken mirror
    │   ├── StorageError          3    disk full, read-only, no permission
    │   ├── BusyError             3    another run is at work on the same thing
    │   ├── KeyFileError          3    a key, token or trust file, or a key on a token, that cannot be read or used
    │   └── EngineError           3    no torch, unknown architecture, out of memory, crash
    └── AccessError               4    authentication: gated repository, bad token, wrong password of a key, wrong PIN
"""


class MbomError(Exception):
    """Base of every error with a sentence for the user; ``exit_code`` is the process's exit status."""

    exit_code = 3


class UsageError(MbomError):
    """The command line asks for something that makes no sense."""

    exit_code = 2


class RefusedError(MbomError):
    """mbom looked, and will not go on."""

    exit_code = 1


class FormatError(RefusedError):
    """Bytes are not what their format says: malformed, over a limit, or of an unknown version."""


class ChangedError(RefusedError):
    """A file changed while it was read."""


class SignatureError(RefusedError):
    """A signature does not hold under the trusted key or identity, or is no signature."""


class UnavailableError(MbomError):
    """Something could not be checked or done; trying again elsewhere may work."""

    exit_code = 3


class SourceError(UnavailableError):
    """A checkpoint or a file of it cannot be had: missing, network, broken mirror."""


class StorageError(UnavailableError):
    """A file cannot be written or read: disk full, read-only, no permission."""


class BusyError(UnavailableError):
    """Another run is at work on the same thing; when it is done, this one can be tried again."""


class KeyFileError(UnavailableError):
    """A file of a key, a token or a trust configuration, or a key on a token, cannot be read or used."""


class EngineError(UnavailableError):
    """The behaviour pass cannot run: no torch, unknown architecture, out of memory, crash."""


class AccessError(MbomError):
    """Authentication failed: gated repository, bad token, wrong password of a key, wrong PIN of a token."""

    exit_code = 4
