"""Files that no fact is taken from and that loaders act on all the same: these too have one reading only.

They are configurations beside config.json, of generation, processors and parts in folders, and the tokenizer's files
in JSON. A loader reads each, follows the ``auto_map`` of a configuration, and may read a file otherwise than another.
"""

import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping

from mbom.errors import FormatError
from mbom.facts.architecture import CONFIG as MODEL_CONFIG
from mbom.facts.architecture import remote_code
from mbom.facts.code import elsewhere
from mbom.facts.members import Members
from mbom.facts.tokenizer import TOKENIZER_CONFIG
from mbom.inventory.findings import finding, listed
from mbom.inventory.record import Finding
from mbom.inventory.roles import CONFIG, TOKENIZER, role
from mbom.strictjson import loads

_OF_TOKENIZER = "tokenizer-malformed"
_AT_ROOT = {CONFIG: "config-malformed", TOKENIZER: _OF_TOKENIZER}
_BELOW = "config-unread"


def side_configs(
    side: Mapping[str, bytes], files: Iterable[str], remote: Iterable[str], read: Collection[str] = ()
) -> Iterator[Finding]:
    """Yield what is wrong with files that no fact is read from, and which code is asked for and not there.

    Args:
        side: bytes of small files by name; one that is not there is too large to be read by anybody.
        files: the names of all files of the checkpoint.
        remote: what config.json and the tokenizer's configuration ask for, as ``file: class = module.class``.
        read: the files that were read for facts. Whoever read them says what is malformed, and not what is too large.
    """
    asked, names = list(remote), frozenset(files)
    for name in sorted(names.union(side)):
        kind = _malformed(name)
        if kind is None:
            continue
        if name not in side:
            if kind != _BELOW:
                yield finding(kind, name, f"{name}: larger than any such file that is read")
            continue
        if kind == _OF_TOKENIZER and name in read:
            continue
        try:
            document = loads(side[name], what=name, infinity=True)
        except FormatError as error:
            if name not in read:
                yield finding(kind, name, str(error))
            continue
        if kind != _OF_TOKENIZER and isinstance(document, dict):
            members = Members(name, document)
            more = remote_code(members)
            asked.extend(more)
            yield from members.findings
            yield from elsewhere(more)
    yield from _missing(asked, names)


def _malformed(name: str) -> str | None:
    """Return the finding on a file that is not strict JSON; None where loaders do not read it, or all is said of it."""
    kind = role(name)
    if name == MODEL_CONFIG or not name.lower().endswith(".json"):
        return None
    if "/" not in name:
        return _AT_ROOT.get(kind)
    # At the root loaders read it; below, it may belong to anything.
    return _BELOW if kind == CONFIG or posixpath.basename(name) == TOKENIZER_CONFIG else None


def _missing(asked: Iterable[str], files: frozenset[str]) -> Iterator[Finding]:
    """Report modules of the checkpoint's own that ``auto_map`` names and that are not among its files."""
    found: dict[str, list[str]] = {}
    for entry in asked:
        path, _, rest = entry.partition(": ")
        reference = rest.rpartition(" = ")[2]
        module = reference.rpartition(".")[0].replace(".", "/") + ".py"
        places = (module, posixpath.join(posixpath.dirname(path), module))
        if "--" not in reference and not files.intersection(places):
            found.setdefault(path, []).append(rest)
    for path, entries in found.items():
        yield finding("remote-code-missing", path, f"{listed(entries)}: no such file is in the checkpoint")
