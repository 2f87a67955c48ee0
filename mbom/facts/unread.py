"""Files that no fact is taken from and loaders read all the same: these too have one reading only."""

from collections.abc import Collection, Iterator, Mapping

from mbom import strictjson
from mbom.errors import FormatError
from mbom.facts.architecture import CONFIG as CONFIG_FILE
from mbom.inventory.findings import finding
from mbom.inventory.record import Finding, Inventory
from mbom.inventory.roles import CONFIG, TOKENIZER, role

_KINDS = {CONFIG: "config-malformed", TOKENIZER: "tokenizer-malformed"}


def unread_findings(inventory: Inventory, side: Mapping[str, bytes], read: Collection[str]) -> Iterator[Finding]:
    """Yield a finding on each file of the tokenizer at the root, such as added_tokens.json, that is not strict JSON.

    One on each of these and each configuration that is too large to be read, too; ``side_configs`` reads the others.

    Args:
        inventory: the files of the checkpoint.
        side: the bytes of small files by name; one that is not there is too large to be read by anybody.
        read: the files that were read for facts, whose findings are given elsewhere, unless they are too large.
    """
    for path in sorted({*side, *(file.name for file in inventory.files)}):
        kind = _KINDS.get(role(path))
        if kind is None or "/" in path or not path.lower().endswith(".json"):
            continue
        if path not in side:
            if path != CONFIG_FILE:  # of which whoever reads it says so
                yield finding(kind, path, f"{path}: larger than any such file that is read")
        elif path not in read and kind == _KINDS[TOKENIZER]:
            try:
                strictjson.loads(side[path], what=path, infinity=True)
            except FormatError as error:
                yield finding(kind, path, str(error))
