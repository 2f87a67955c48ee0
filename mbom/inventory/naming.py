"""Names that are legal and lead people or commands astray: those that look like others, and those of options.

A name of one script is that script's business. What is told is a name that shows as plain ASCII and is none, where it
mixes scripts, stands for a separator, or shows as another name of the checkpoint or one that loaders look for.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator

from mbom.inventory.findings import finding, listed
from mbom.inventory.record import Finding

# What loaders of transformers and its kin look for by its name, as they spell it.
KNOWN = frozenset({
    "adapter_config.json", "added_tokens.json", "chat_template.jinja", "chat_template.json", "config.json",
    "generation_config.json", "merges.txt", "model.safetensors", "model.safetensors.index.json", "model_index.json",
    "params.json", "preprocessor_config.json", "processor_config.json", "pytorch_model.bin",
    "pytorch_model.bin.index.json", "quantize_config.json", "special_tokens_map.json", "tekken.json", "tokenizer.json",
    "tokenizer.model", "tokenizer_config.json", "video_preprocessor_config.json", "vocab.json", "vocab.txt",
})  # fmt: skip

# Letters that most fonts draw like a Latin one, of Cyrillic, Greek and Armenian: those of Unicode's confusables
# (UTS #39) that are one letter for one letter, less Greek ones that people write among Latin letters, such as alpha.
_LETTERS = str.maketrans(
    "аеорсухіјѕԁԛԝһӏАВЕКМНОРСТХІЈЅԌԚԜҮΑΒΕΖΗΙΚΜΝΟΡΤΥΧοօոսցԼՍՕ",
    "aeopcyxijsdqwhlABEKMHOPCTXIJSGQWYABEZHIKMNOPTYXoonugLUO",
)
_SEPARATORS = str.maketrans({"\u2215": "/", "\u2044": "/", "\u29f8": "/", "\u29f5": "\\", "\u2216": "\\"})
_SIGNS = str.maketrans({
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\u02d7", "-"),
    **dict.fromkeys("\u02d0\ua789\u2236", ":"),
    **dict.fromkeys("\u2024\ua4f8", "."),
    "\u2017": "_",
})  # fmt: skip
# Letters and digits of other shapes: full-width forms, and the mathematical alphabets.
_WIDE = re.compile("[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7ff]")


def shown(name: str) -> str:
    """Return how a name shows to whoever expects ASCII."""
    plain = unicodedata.normalize("NFKC", name.translate(_SEPARATORS).translate(_SIGNS))
    return plain.translate(_LETTERS)


def name_findings(names: Iterable[str]) -> Iterator[Finding]:
    """Yield a finding for each file whose name looks like another one, and one for all that look like options."""
    listing = sorted(names)
    if options := [name for name in listing if name.startswith("-") or "/-" in name]:
        yield finding("name-option", options[0], f"{len(options)} names begin with a dash: {listed(options)}")
    held = set(listing)
    for name in listing:
        base = name.rpartition("/")[2]
        if base not in KNOWN and base.casefold() in KNOWN and name == base:
            detail = f"loaders look for {base.casefold()!r}, and some file systems give them this one"
            yield finding("name-lookalike", name, detail)
        elif (other := _other(name, held)) is not None:
            yield finding("name-lookalike", name, f"it shows as {other!r}, and is spelled {_spelled(name)}")


def tensor_name_findings(names: Iterable[str], path: str) -> Iterator[Finding]:
    """Yield one finding for the tensors of a file whose names look like others."""
    listing = [name for name in names if not name.isascii()]
    found = [name for name in listing if _other(name, frozenset()) is not None]
    if found:
        named = listed([f"{shown(name)!r} ({_spelled(name)})" for name in found])
        yield finding("name-lookalike", path, f"{len(found)} names of tensors show as what they are not: {named}")


def _other(name: str, held: Collection[str]) -> str | None:
    """Return what a name shows as where that is not what it is; None for an honest name."""
    other = shown(name)
    if name.isascii() or not other.isascii():
        return None
    slashes = name.translate(_SEPARATORS) != name
    base = other.rpartition("/")[2].casefold()
    mixed = name.translate(_LETTERS) != name and any(char.isascii() and char.isalpha() for char in _stem(name))
    return other if slashes or mixed or _WIDE.search(name) or other in held or base in KNOWN else None


def _stem(name: str) -> str:
    """Return a name without its extensions, which are Latin in every script."""
    folder, _, base = name.rpartition("/")
    return f"{folder}{base.partition('.')[0]}"


def _spelled(name: str) -> str:
    return listed([f"U+{ord(char):04X}" for char in dict.fromkeys(name) if not char.isascii()])
