"""What mbom claims of a checkpoint in the BOM itself, each claim with its evidence and with what it does not show.

A claim is made only where nothing that was found contradicts it: a BOM without one says less, never something else.
Evidence names what is digested elsewhere in the document or in the bundle, so that it can be held against it.
"""

from mbom.behaviour.record import JSON_NAME
from mbom.bom import identity
from mbom.bom.sections.modelcard import BehaviourSummary
from mbom.inventory.findings import listed, plain
from mbom.inventory.index import INDEX_FILE
from mbom.inventory.record import FileRecord, Inventory
from mbom.quantities import counted
from mbom.strictjson import Json

FILES_CLAIM = "claim:files"
FILES_EVIDENCE = "evidence:files"
INDEX_CLAIM = "claim:index"
INDEX_EVIDENCE = "evidence:index"
BEHAVIOUR_CLAIM = "claim:behaviour"
BEHAVIOUR_EVIDENCE = "evidence:behaviour"
BEHAVIOUR_LIMITS = "evidence:behaviour:not-shown"

SHARDS_LISTED = 1000  # digests that the evidence repeats; DeepSeek-V3 has 163 shards, and every file is listed anyway

# Ids of findings that contradict a claim, or begin those that do; notes contradict nothing.
_AGAINST_FILES = ("digest-mismatch",)
_AGAINST_INDEX = ("index-", "safetensors-", "weights-missing", "weights-redirected", "weights-shadowed")


def content_claims(inventory: Inventory) -> dict[str, Json]:
    """Return, as a part of the BOM, what is claimed of the files: their digests, and which of them holds a tensor."""
    return _part([_files(inventory), _closure(inventory)])


def behaviour_claims(behaviour: BehaviourSummary | None, model: str) -> dict[str, Json]:
    """Return, as a part of the BOM, the claim that the checkpoint computes what was recorded; empty without a record.

    Args:
        behaviour: of the record.
        model: the model's bom-ref.
    """
    if behaviour is None:
        return {}
    claim: dict[str, Json] = {
        "bom-ref": BEHAVIOUR_CLAIM,
        "target": model,
        "predicate": f"The checkpoint computes the recorded numbers on the prompt set {behaviour.prompt_set}: "
        f"{behaviour.prompts} prompts, {behaviour.positions} positions, in {behaviour.runtime.precision}",
        "evidence": [BEHAVIOUR_EVIDENCE],
        "counterEvidence": [BEHAVIOUR_LIMITS],
        "reasoning": "The record is of a pass over the files whose digests this document lists. Another measurement of "
        f"the same files confirms it where it stays within {_limits(behaviour)}; `mbom verify --behaviour` makes one",
    }
    evidence: dict[str, Json] = {
        "bom-ref": BEHAVIOUR_EVIDENCE,
        "propertyName": "mbom:behaviour:record:sha256",
        "description": f"The record of the pass, {JSON_NAME} beside this document, which names the digest of its "
        "numbers; the workflow in the formulation says how it was made",
        "data": [_digest(JSON_NAME, behaviour.record_sha256)],
    }
    limits: dict[str, Json] = {
        "bom-ref": BEHAVIOUR_LIMITS,
        "description": f"What the record does not show: {'; '.join(_not_shown(behaviour))}",
    }
    return _part([(claim, evidence, limits)])


def _part(claims: list[tuple[dict[str, Json], ...]]) -> dict[str, Json]:
    """Return claims, each followed by its evidence, as a part of the BOM."""
    made = [item for item in claims if item]
    if not made:
        return {}
    return {
        "declarations": {
            "claims": [claim for claim, *_ in made],
            "evidence": [evidence for _, *held in made for evidence in held],
        }
    }


def _contradicted(inventory: Inventory, against: tuple[str, ...]) -> bool:
    return any(found.severity != "note" and found.id.startswith(against) for found in inventory.findings)


def _files(inventory: Inventory) -> tuple[dict[str, Json], ...]:
    """Return what is claimed of the files: that they are those of the hub, or for a folder only that these are all."""
    if not inventory.files or _contradicted(inventory, _AGAINST_FILES):
        return ()
    origin, count = inventory.origin, counted(len(inventory.files), "file")
    if origin.kind == "hub":
        predicate = (
            f"Every file is what the hub lists for {origin.repo} at commit {origin.revision}, {count}: each has the "
            "size and the SHA-256 that the hub gives, or the git blob id where it gives no SHA-256"
        )
        reasoning = (
            "mbom read every byte of each file and compared it with the hub's list; that the hub lists what its "
            "publisher uploaded is not shown"
        )
    else:
        predicate = f"Every file of the folder is listed with its size and SHA-256, {count}"
        reasoning = "mbom read every byte of each file; a folder does not show who published it"
    if inventory.declared:
        left_out = counted(len(inventory.declared), "file")
        reasoning += f"; not fetched, and no part of this claim: {left_out} with weights that loaders do not open"
    claim: dict[str, Json] = {
        "bom-ref": FILES_CLAIM,
        "target": identity.purl(inventory).to_string(),
        "predicate": plain(predicate),
        "evidence": [FILES_EVIDENCE],
        "reasoning": reasoning,
    }
    evidence: dict[str, Json] = {
        "bom-ref": FILES_EVIDENCE,
        "propertyName": "mbom:model:digest",
        "description": f"The digest of the list of files: {identity.DIGEST_METHOD}",
        "data": [_digest("mbom:model:digest", inventory.digest)],
    }
    return claim, evidence


def _closure(inventory: Inventory) -> tuple[dict[str, Json], ...]:
    """Return what is claimed of the tensors' places: that index and headers agree, or that there is only one place."""
    weights = inventory.weight_files
    index = next((file for file in inventory.files if file.name == INDEX_FILE), None)
    if not weights or _contradicted(inventory, _AGAINST_INDEX) or (index is None and len(weights) > 1):
        return ()
    tensors = counted(len(inventory.tensors), "tensor")
    if index is not None:
        target = index.name
        predicate = (
            f"{INDEX_FILE} and the headers of {counted(len(weights), 'file')} of weights agree: {tensors}, each in the "
            "file that the index names for it and in no other, and none that the index does not name"
        )
        described = (
            "The index was compared with the header of every file that it names, in both directions, and its total "
            "size, where it gives one, with the bytes of the tensors"
        )
    else:
        target = weights[0].name
        predicate = (
            f"All {tensors} of the model lie in {target}: there is no index that could place one elsewhere, and no "
            "other file of weights that loaders open"
        )
        described = "The header of the one file of weights, and the list of files, which has no index"
    claim: dict[str, Json] = {
        "bom-ref": INDEX_CLAIM,
        "target": identity.file_ref(target),
        "predicate": plain(predicate),
        "evidence": [INDEX_EVIDENCE],
        "reasoning": "Every header was read by mbom and by the safetensors library with the same result, and what "
        "differs between headers, index and files is a finding; there is none",
    }
    evidence: dict[str, Json] = {
        "bom-ref": INDEX_EVIDENCE,
        "propertyName": "mbom:tensors:digest",
        "description": described + _unlisted(weights),
        "data": [
            _digest(identity.file_ref(file.name), file.sha256)
            for file in (*([index] if index is not None else []), *weights[:SHARDS_LISTED])
        ],
    }
    return claim, evidence


def _unlisted(weights: tuple[FileRecord, ...]) -> str:
    more = len(weights) - SHARDS_LISTED
    return f"; the digests of {more} more files of weights stand with the files of the model" if more > 0 else ""


def _digest(name: str, sha256: str) -> Json:
    return {"name": name, "contents": {"attachment": {"contentType": "text/plain", "content": f"sha256:{sha256}"}}}


def _limits(behaviour: BehaviourSummary) -> str:
    return ", ".join(f"{name} {limit!r}" for name, limit in sorted(behaviour.limits))


def _not_shown(behaviour: BehaviourSummary) -> list[str]:
    """Return what the prompts did not exercise, and what no set of prompts can show."""
    coverage = behaviour.coverage
    found = []
    if missed := coverage.experts - coverage.experts_reached:
        found.append(f"{missed:,} of {coverage.experts:,} routed experts, which no prompt reached")
    if missed := coverage.vocabulary - coverage.vocabulary_reached:
        found.append(f"{missed:,} of {coverage.vocabulary:,} tokens of the vocabulary, which no prompt contains")
    if unused := coverage.tensors_not_executed:
        found.append(plain(f"{counted(len(unused), 'tensor')} that the pass read and does not use: {listed(unused)}"))
    if behaviour.least_trial is None:
        found.append("how small a change of a weight it would show, which was not tried")
    return [*found, "what the model computes on any other prompt, so neither quality nor the absence of a backdoor"]
