"""What the inventory can find wrong with a checkpoint's files: one public id for each, with its severity.

``attest`` refuses on an ``error``; a ``warning`` and a ``note`` are recorded. Ids are never renamed or given another
meaning, because reports, policies and tests quote them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from mbom.errors import RefusedError
from mbom.inventory.record import Finding, Severity
from mbom.printable import printable

SHOWN = 5  # how many names one finding spells out; the rest is a number, so that a hostile index cannot fill a report
NAMED = 3  # how many findings a refusal spells out before it counts the rest
DETAIL_LIMIT = 2000  # characters of a finding's path or detail


@dataclass(frozen=True, kw_only=True)
class Kind:
    """The severity of a finding and what it means, in one line for people."""

    severity: Severity
    meaning: str


def _error(meaning: str) -> Kind:
    return Kind(severity="error", meaning=meaning)


def _warning(meaning: str) -> Kind:
    return Kind(severity="warning", meaning=meaning)


def _note(meaning: str) -> Kind:
    return Kind(severity="note", meaning=meaning)


KINDS = MappingProxyType({
    "adapter-present": _error("An adapter lies beside the weights, and loaders merge it without being asked."),
    "card-malformed": _warning("The card's front matter, or one member of it, cannot be used."),
    "card-missing": _note("There is no card, so the publisher declares no licence and no lineage."),
    "code-disguised": _warning("A native program, a library or a script stands under a name that does not say so."),
    "code-present": _warning("The checkpoint carries program code, which mbom never runs and other loaders may."),
    "config-experts-differ": _warning("The configuration gives another number of experts than there are tensors for."),
    "config-field": _warning("One member of a configuration cannot be used."),
    "config-head-missing": _warning("There is no output head, and the embedding is said not to be it."),
    "config-layers-differ": _warning("The configuration gives another number of layers than there are tensors for."),
    "config-malformed": _error("A configuration is not strict JSON, so that two readers could read it differently."),
    "config-missing": _warning("There is no configuration, so no architecture is known."),
    "config-sizes-differ": _warning("The configuration gives other sizes than the tensors have."),
    "config-tied-differs": _error("The embedding is said to be the output head, and another one is stored."),
    "config-unread": _warning("A configuration in a folder of its own is not strict JSON, so nothing is known of it."),
    "digest-mismatch": _error("A file is not what the cache or the listing it comes from promises."),
    "empty-file": _warning("A file has no content."),
    "executable-format": _warning("A file has a format whose readers can be made to run something; mbom never does."),
    "hard-link": _warning("A file has another name in the file system, through which somebody else may change it."),
    "html-page": _error("A web page stands where data belongs: what was downloaded is a login or error page."),
    "index-malformed": _error("The index is not what its format says."),
    "index-missing-shard": _error("The index names a file that is not there."),
    "index-missing-tensor": _error("The index lists a tensor that the shard it names does not hold."),
    "index-total-size": _warning("The index gives another total size than its tensors have."),
    "index-traversal": _error("The index names a path outside the checkpoint."),
    "index-unlisted-shard": _error("A shard lies beside the others that the index does not name."),
    "index-unlisted-tensor": _error("A shard holds a tensor that the index does not place there."),
    "keras-lambda": _warning("A Keras model holds a layer of Python code, which loading the model runs."),
    "lfs-pointer": _error("A pointer to large file storage stands where the file itself belongs."),
    "licence-disagrees": _warning("The card declares one licence, and the texts beside the weights are another."),
    "licence-link-missing": _note("The card links to a licence file that is not there."),
    "licence-text-altered": _warning("A licence text is known but for its words, or has words beside it."),
    "licence-text-unknown": _note("A licence or policy text is none that mbom knows, so somebody must read it."),
    "licence-text-unread": _note("A licence or policy file could not be read as text."),
    "licence-undeclared": _note("The card declares no licence."),
    "licence-wider-than-base": _warning("The card grants more than the licence of the base model that it names."),
    "name-lookalike": _warning("A name shows as another one, by letters that look alike or by their case."),
    "name-option": _warning("A name begins with a dash, so that commands take it for an option."),
    "pickle-globals": _warning("A pickle names functions or classes that weights do not need."),
    "pickle-present": _warning("A file is a pickle, whose reader runs whatever it says; mbom never reads one."),
    "pickle-unread": _warning("A pickle or an archive could not be looked into, or not to its end."),
    "remote-code-elsewhere": _error("The configuration has loaders take program code from another repository."),
    "remote-code-missing": _warning("The configuration has loaders take program code from a file that is not there."),
    "safetensors-disagrees": _error("The safetensors library reads another table from the header than mbom does."),
    "safetensors-malformed": _error("A safetensors file breaks its format, or two readers could read it differently."),
    "safetensors-metadata": _warning("A safetensors header carries more free text than any honest writer puts there."),
    "safetensors-unusual": _warning("A safetensors header is spelled as no writer does it, with escapes or blanks."),
    "template-chance": _note("A chat template writes something random, so that a prompt is not always the same."),
    "template-clock": _note("A chat template reads the clock, so that a prompt is another one tomorrow."),
    "template-content": _note("A chat template looks for tags or documented switches in the text of messages."),
    "template-escape": _error("A chat template reaches for the interpreter behind it, as no honest one does."),
    "template-growth": _error("A chat template is built to grow without end."),
    "template-import": _error("A chat template takes in another file, as no honest one does."),
    "template-invisible": _warning("A chat template holds characters that people do not see."),
    "template-loop": _warning("A chat template loops longer than any conversation needs."),
    "template-malformed": _warning("A chat template cannot be read, so nothing is known of what it does."),
    "template-trigger": _warning("A chat template does something else for messages that hold a certain phrase."),
    "tensor-not-finite": _warning("Tensors hold elements that are no numbers: NaN, or infinities."),
    "tokenizer-beyond-embedding": _warning("The tokenizer makes ids for which the model has no embedding row."),
    "tokenizer-duplicate-id": _warning("Two tokens have one id, so that a text does not come back as it went in."),
    "tokenizer-invisible": _warning("Added tokens hold characters that people do not see."),
    "tokenizer-malformed": _warning("A file of the tokenizer is not what its name says."),
    "tokenizer-rewrites": _warning("The tokenizer puts other words in the place of those that were written."),
    "tokenizer-special-shadowed": _warning("A special token has a double: another token of its text, or of its look."),
    "tokenizer-special-unknown": _warning("A token that the configuration gives a role is not in the vocabulary."),
    "weights-missing": _error("There are no safetensors weights that transformers would load."),
    "weights-other-set": _note("There are weights that transformers does not load; they are not part of the claim."),
    "weights-redirected": _error("The configuration sends loaders to other weights than the usual ones."),
    "weights-shadowed": _error("A stray model.safetensors is loaded in place of the shards that the index names."),
    "weights-stray": _warning("A safetensors file lies beside the model that loaders of every such file take too."),
})  # fmt: skip


def finding(kind: str, path: str, detail: str) -> Finding:
    """Return a finding of a kind in ``KINDS``, about ``path`` (of a file in the checkpoint)."""
    return Finding(id=kind, severity=KINDS[kind].severity, path=plain(path), detail=plain(detail))


def plain(text: str) -> str:
    """Return a text that may quote hostile names with everything unprintable escaped, shortened to ``DETAIL_LIMIT``."""
    text = printable(text)
    return text if len(text) <= DETAIL_LIMIT else text[: DETAIL_LIMIT - 1] + "…"


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings in the order of the inventory: by path, id and detail."""
    return tuple(sorted(findings, key=lambda item: (item.path, item.id, item.detail)))


def listed(names: Sequence[str]) -> str:
    """Return up to ``SHOWN`` names as a phrase, and how many more there are."""
    shown = ", ".join(names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


def refuse_errors(findings: Iterable[Finding]) -> None:
    """Raise when a finding says that the checkpoint contradicts itself or is unsafe to read.

    Raises:
        RefusedError: with the first findings in words and where to see the rest.
    """
    errors = [finding for finding in findings if finding.severity == "error"]
    if not errors:
        return
    named = "; ".join(f"{finding.path}: {finding.detail} [{finding.id}]" for finding in errors[:NAMED])
    more = f"; and {len(errors) - NAMED} more" if len(errors) > NAMED else ""
    raise RefusedError(f"{named}{more}. Nothing was written; `mbom inspect` shows every finding")
