"""Files of the tokenizer that no fact is taken from and loaders read all the same: these too have one reading only."""

from collections.abc import Collection, Iterator, Mapping

from mbom import strictjson
from mbom.errors import FormatError
from mbom.inventory import Finding
from mbom.inventory.findings import finding
from mbom.inventory.roles import TOKENIZER, role


def unread_findings(side: Mapping[str, bytes], read: Collection[str]) -> Iterator[Finding]:
    """Yield a finding on each such file at the root, such as added_tokens.json, that is not strict JSON.

    Args:
        side: the bytes of small files by name.
        read: the files that were read for facts, whose findings are given elsewhere.
    """
    for path, data in side.items():
        if role(path) != TOKENIZER or path in read or "/" in path or not path.lower().endswith(".json"):
            continue
        try:
            strictjson.loads(data, what=path, infinity=True)
        except FormatError as error:
            yield finding("tokenizer-malformed", path, str(error))
