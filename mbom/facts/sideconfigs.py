"""Configurations beside config.json: of generation, processors and parts in folders, as far as loaders act on them.

No fact is taken from them. But a loader reads each, follows its ``auto_map``, and may read it otherwise than another.
"""

import posixpath
from collections.abc import Iterable, Iterator, Mapping

from mbom.errors import FormatError
from mbom.facts.architecture import CONFIG as MODEL_CONFIG
from mbom.facts.architecture import remote_code
from mbom.facts.code import elsewhere
from mbom.facts.members import Members
from mbom.facts.tokenizer import TOKENIZER_CONFIG
from mbom.inventory.findings import finding, listed
from mbom.inventory.record import Finding
from mbom.inventory.roles import CONFIG, role
from mbom.strictjson import loads


def side_configs(side: Mapping[str, bytes], files: Iterable[str], remote: Iterable[str]) -> Iterator[Finding]:
    """Yield what is wrong with configurations that no fact is read from, and which code is asked for and not there.

    Args:
        side: bytes of small files by name.
        files: the names of all files of the checkpoint.
        remote: what config.json and the tokenizer's configuration ask for, as ``file: class = module.class``.
    """
    asked = list(remote)
    for name, data in sorted(side.items()):
        if name in (MODEL_CONFIG, TOKENIZER_CONFIG) or not _is_config(name):
            continue
        try:
            document = loads(data, what=name, infinity=True)
        except FormatError as error:
            # At the root loaders read it; below, it may belong to anything.
            yield finding("config-unread" if "/" in name else "config-malformed", name, str(error))
            continue
        members = Members(name, document) if isinstance(document, dict) else None
        if members is not None:
            more = remote_code(members)
            asked.extend(more)
            yield from members.findings
            yield from elsewhere(more)
    yield from _missing(asked, frozenset(files))


def _is_config(name: str) -> bool:
    base = posixpath.basename(name)
    return base == TOKENIZER_CONFIG or (role(name) == CONFIG and name.lower().endswith(".json"))


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
