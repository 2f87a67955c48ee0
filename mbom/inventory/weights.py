"""Which of a repository's files are the checkpoint, and which carry weights that nobody loads.

Repositories hold the same weights several times: gpt-oss-20b three times, Mistral's a ``consolidated.safetensors``
beside the shards. The checkpoint is what ``transformers`` loads from the root, ``model.safetensors`` or else the
shards that ``model.safetensors.index.json`` names, plus every file that is not weights.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from mbom import strictjson
from mbom.errors import FormatError
from mbom.inventory.findings import finding, listed
from mbom.inventory.index import INDEX_FILE, Index, outside, read_index
from mbom.inventory.record import Finding
from mbom.inventory.roles import CODE, WEIGHTS, is_safetensors, role
from mbom.source import Advertised

SINGLE_FILE = "model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
MODEL_CONFIG = "config.json"
REDIRECT = "transformers_weights"  # a member of config.json: the file to load in place of the usual ones

# Loaders outside transformers take every safetensors file beside the model, unless an index says which; of these the
# ones that Mistral publishes in its own format are left out by name.
_OWN_FORMAT = re.compile(r"consolidated.*\.safetensors")
# Program code by suffixes that are no role: a role is a fact of a file, and other tools run these.
_FURTHER_CODE = frozenset({".pyw", ".pyd", ".egg", ".node", ".class", ".php", ".lua", ".vbs", ".msi", ".com", ".scr"})
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
# What PyTorch's and pickle's writers call their files. Other programs call theirs ``.bin`` too, so that suffix needs
# one of the usual names, or the content where it was read.
_PICKLE = re.compile(
    r".*\.(pt|pth|pkl|pickle|ckpt)"
    r"|(pytorch_model|diffusion_pytorch_model|adapter_model|training_args|optimizer|scheduler).*\.bin"
)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What to read of a listing, sorted by name.

    ``loaded`` are the safetensors files whose tensors are the model; ``fetch`` every file of the checkpoint, those
    included where they are there; ``declared`` the files of other weight sets. ``index`` is None where the loaded
    set has no index to agree with.
    """

    loaded: tuple[str, ...]
    fetch: tuple[str, ...]
    declared: tuple[Advertised, ...]
    index: Index | None
    findings: tuple[Finding, ...]


def select(listing: Sequence[Advertised], index: bytes | None, config: bytes | None = None) -> Selection:
    """Tell the checkpoint from other weights, by names, the index and the configuration alone.

    Args:
        listing: every file of the repository or folder.
        index: the bytes of ``model.safetensors.index.json``; None where there is none, or where it is listed and too
            large to be read.
        config: the bytes of ``config.json``; None where there is none.
    """
    names = {file.name for file in listing}
    found: list[Finding] = []
    parsed = None
    if index is not None:
        try:
            parsed = read_index(index)
        except FormatError as error:
            found.append(finding("index-malformed", INDEX_FILE, str(error)))
    elif INDEX_FILE in names:
        found.append(finding("index-malformed", INDEX_FILE, f"larger than {strictjson.SIZE_LIMIT} bytes"))
    loaded = _loaded(names, parsed, found)
    redirect = _redirect(config)
    if redirect is not None:
        detail = f"{REDIRECT} is {redirect[:80]!r}: attest a copy whose weights have the usual names"
        found.append(finding("weights-redirected", MODEL_CONFIG, detail))
    if ADAPTER_CONFIG in names:
        detail = "transformers merges an adapter that lies beside a model: remove it, or merge it and save the result"
        found.append(finding("adapter-present", ADAPTER_CONFIG, detail))
    found.extend(_extras(listing, set(loaded)))
    wanted = {name for name in names if role(name) != WEIGHTS} | set(loaded)
    return Selection(
        loaded=loaded,
        fetch=tuple(sorted(wanted)),
        declared=tuple(sorted((file for file in listing if file.name not in wanted), key=lambda file: file.name)),
        index=parsed if parsed is not None and set(loaded) <= set(parsed.shards) else None,
        findings=tuple(found),
    )


def _loaded(names: set[str], index: Index | None, found: list[Finding]) -> tuple[str, ...]:
    """Return the weight files that are there of the set that ``transformers`` loads, adding findings on that set.

    Where an index is missing or cannot be read, that is a finding, and the files called like shards are taken, so that
    a damaged checkpoint still shows what it has.
    """
    shards = sorted(name for name in names if _SHARD.fullmatch(name))
    found.extend(_folded(names, has_index=INDEX_FILE in names))
    if SINGLE_FILE in names and (index is None or index.shards != (SINGLE_FILE,)):
        others = [shard for shard in (shards if index is None else index.shards) if shard != SINGLE_FILE]
        if others:
            detail = f"transformers loads it in place of {listed(others)}: remove one of the two"
            found.append(finding("weights-shadowed", SINGLE_FILE, detail))
        return (SINGLE_FILE,)
    if index is None:
        if INDEX_FILE not in names:
            found.append(finding("weights-missing", ".", _missing(names, shards)))
        return tuple(shards)
    if escaping := outside(index):
        detail = f"{len(escaping)} shard names are no plain paths inside the checkpoint: {listed(escaping)}"
        found.append(finding("index-traversal", INDEX_FILE, detail))
    if missing := [shard for shard in index.shards if shard not in names and shard not in escaping]:
        detail = f"{len(missing)} of {len(index.shards)} files are not there: {listed(missing)}"
        found.append(finding("index-missing-shard", INDEX_FILE, detail))
    if foreign := [shard for shard in index.shards if not is_safetensors(shard) and shard not in escaping]:
        detail = f"{len(foreign)} shards are not called .safetensors: {listed(foreign)}"
        found.append(finding("index-malformed", INDEX_FILE, detail))
    if unlisted := [shard for shard in shards if shard not in index.shards]:
        detail = f"{len(unlisted)} files are called like shards, and the index does not name them: {listed(unlisted)}"
        found.append(finding("index-unlisted-shard", unlisted[0], detail))
    return tuple(shard for shard in index.shards if shard in names and is_safetensors(shard))


def _folded(names: set[str], *, has_index: bool) -> Iterable[Finding]:
    """Yield a finding where file systems that fold case give loaders a single file in place of the shards."""
    for name in sorted(names - {SINGLE_FILE}):
        if has_index and name.casefold() == SINGLE_FILE:
            detail = (
                f"file systems that fold case give it to loaders as {SINGLE_FILE}, in place of the shards: remove it"
            )
            yield finding("weights-shadowed", name, detail)


def _missing(names: set[str], shards: Sequence[str]) -> str:
    """Say why there are no weights to load, and what to do."""
    if shards:
        return f"there are shards ({listed(shards)}) and no {INDEX_FILE}: fetch the index, or save the model again"
    if ADAPTER_CONFIG in names:
        return "this is an adapter, not a model: merge it into its base model and attest the result"
    others = sorted(name for name in names if role(name) == WEIGHTS)
    if others:
        return f"no {SINGLE_FILE} and no {INDEX_FILE}, only {listed(others)}: convert to safetensors and attest that"
    return f"no {SINGLE_FILE} and no {INDEX_FILE}: is this the folder of a model?"


def _redirect(config: bytes | None) -> str | None:
    """Return the file that ``config.json`` wants loaded in place of the usual ones.

    A configuration that cannot be read is not reported here: whoever reads the facts reports it.
    """
    if config is None:
        return None
    try:
        document = strictjson.loads(config, what=MODEL_CONFIG, infinity=True)  # as the facts read it
    except FormatError:
        return None
    if not isinstance(document, dict) or document.get(REDIRECT) is None:
        return None
    return str(document[REDIRECT])


def _extras(listing: Sequence[Advertised], loaded: set[str]) -> Iterable[Finding]:
    """Yield findings on weights that are not loaded, pickles and code, one for each folder and suffix."""
    sizes = {file.name: file.size for file in listing}
    others = [name for name in sizes if role(name) == WEIGHTS and name not in loaded and not _is_shard(name)]
    for names in _grouped(others).values():
        size = sum(sizes[name] for name in names)
        detail = f"{len(names)} files with {size} bytes: {listed(names)}"
        yield finding("weights-other-set", names[0], detail)
    for names in _grouped(name for name in sizes if is_pickle_name(name)).values():
        yield finding("pickle-present", names[0], f"{len(names)} files: {listed(names)}")
    if INDEX_FILE not in sizes:
        strays = sorted(name for name in others if "/" not in name and is_safetensors(name))
        if loaded and (strays := [name for name in strays if not _OWN_FORMAT.fullmatch(name)]):
            detail = f"{listed(strays)}: with no {INDEX_FILE}, some loaders take every safetensors file: remove them"
            yield finding("weights-stray", strays[0], detail)
    for names in _grouped(name for name in sizes if _is_code(name)).values():
        yield finding("code-present", names[0], f"{len(names)} files: {listed(names)}")


def _is_shard(name: str) -> bool:
    return _SHARD.fullmatch(name) is not None


def _is_code(name: str) -> bool:
    return role(name) == CODE or PurePosixPath(name.lower()).suffix in _FURTHER_CODE


def is_pickle_name(name: str) -> bool:
    """Tell whether a file is a pickle, or an archive of one, by its name."""
    return _PICKLE.fullmatch(PurePosixPath(name.lower()).name) is not None


def _grouped(names: Iterable[str]) -> Mapping[tuple[str, str], list[str]]:
    """Group names by folder and suffix, each group sorted."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name in sorted(names):
        path = PurePosixPath(name)
        groups.setdefault((str(path.parent), path.suffix.lower()), []).append(name)
    return groups
