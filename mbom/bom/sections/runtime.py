"""What the behaviour pass ran with, as components, and the pass itself as a workflow of the formulation.

Nothing here is measured again by a verification: no comparison depends on it. It is told so that somebody can set up
the same pass, and no time stands in it, so that the same record always gives the same bytes.
"""

import itertools
import re

from packageurl import PackageURL

from mbom.behaviour.record import JSON_NAME
from mbom.behaviour.runtime import Runtime
from mbom.bom.properties import properties
from mbom.bom.sections.modelcard import BehaviourSummary
from mbom.strictjson import Json

REF = "runtime:"  # what the bom-ref of each component begins with
TYPES = frozenset({"device", "device-driver", "library", "operating-system", "platform"})  # of components
WORKFLOW_REF = "formulation:behaviour"
TASK_REF = "task:behaviour:"  # what the bom-ref of each task begins with

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+!_-]*", re.ASCII)  # more than PEP 440 allows, and no blank or sign

_TASKS = {
    "read": "Read every tensor from the files, held to the inventory's digests, and bring packed formats to float64",
    "run": "Run every prompt of the set through the model once, layer by layer, and take what each layer, router and "
    "the output head give",
    "sketch": "Project weights, residual streams and logits on fixed random signs, try single weights moved by one "
    "unit in the last place where that was asked for, and write the record",
}


def runtime_parts(behaviour: BehaviourSummary | None, model: str) -> dict[str, Json]:
    """Return, as a part of the BOM, the components of the runtime and the workflow; empty without a record.

    Args:
        behaviour: of the record.
        model: the model's bom-ref.
    """
    if behaviour is None:
        return {}
    components = _components(behaviour.runtime)
    refs = [str(component["bom-ref"]) for component in components]
    return {"components": [*components], "formulation": [{"workflows": [_workflow(behaviour, model, refs)]}]}


def _components(runtime: Runtime) -> list[dict[str, Json]]:
    found = [
        _library("torch", runtime.torch, "Computed"),
        _library("transformers", runtime.transformers, "Gave the code of the model"),
        _library("tokenizers", runtime.tokenizers, "Made tokens of the prompts"),
        _part("platform", "python", "Python", "Ran the libraries", runtime.python),
        _part("operating-system", "system", runtime.system, "Ran Python", runtime.system_version),
        *_devices(runtime),
    ]
    if runtime.driver is not None:
        found.append(_part("device-driver", "driver", "NVIDIA driver", "Drove the device", runtime.driver))
    if runtime.cuda is not None:
        found.append(_part("platform", "cuda", "CUDA", "Ran torch on the device", runtime.cuda))
    return found


def _devices(runtime: Runtime) -> list[dict[str, Json]]:
    """Return what computed, and the processor where that is another device."""
    on_processor = runtime.device == "cpu"
    device = _part("device", "device", runtime.processor if on_processor else runtime.device, "Computed")
    processor = device if on_processor else _part("device", "processor", runtime.processor, "Read the weights")
    processor["properties"] = properties([("runtime:machine", runtime.machine)])
    return [device] if on_processor else [device, processor]


def _part(kind: str, ref: str, name: str, use: str, version: str | None = None) -> dict[str, Json]:
    found: dict[str, Json] = {
        "type": kind,
        "bom-ref": f"{REF}{ref}",
        "name": name,
        "description": f"{use} in the behaviour pass",
    }
    if version is not None:
        found["version"] = version
    return found


def _library(name: str, version: str, use: str) -> dict[str, Json]:
    found = _part("library", name, name, use, version)
    if _VERSION.fullmatch(version):  # whatever else a record says is no release of the index
        found["purl"] = PackageURL("pypi", None, name, version).to_string()
    return found


def _workflow(behaviour: BehaviourSummary, model: str, refs: list[str]) -> Json:
    """Return the pass as a workflow: what went in, its tasks one after the other, what came out."""
    tasks = [f"{TASK_REF}{name}" for name in _TASKS]
    runtime = behaviour.runtime
    stated = [("behaviour:precision", runtime.precision), ("behaviour:threads", str(runtime.threads))]
    stated += [("behaviour:isolation", name) for name in runtime.isolation]
    stated += [(f"behaviour:limit:{name}", repr(limit)) for name, limit in behaviour.limits]
    return {
        "bom-ref": WORKFLOW_REF,
        "uid": WORKFLOW_REF,
        "name": "Behaviour pass",
        "description": "One pass over fixed prompts, whose numbers another pass over the same files gives again",
        "taskTypes": ["test"],
        "resourceReferences": [{"ref": ref} for ref in refs],
        "tasks": [
            {
                "bom-ref": f"{TASK_REF}{name}",
                "uid": f"{TASK_REF}{name}",
                "name": name,
                "description": told,
                "taskTypes": ["scan" if name == "read" else "test"],
            }
            for name, told in _TASKS.items()
        ],
        "taskDependencies": [{"ref": task, "dependsOn": [before]} for before, task in itertools.pairwise(tasks)],
        "inputs": [{"resource": {"ref": model}}, {"parameters": _parameters(behaviour)}],
        "outputs": [{"type": "evidence", "resource": {"externalReference": _record(behaviour)}}],
        "properties": properties(stated),
    }


def _parameters(behaviour: BehaviourSummary) -> list[Json]:
    given = {
        "prompt-set": ("string", behaviour.prompt_set),
        "prompts": ("integer", str(behaviour.prompts)),
        "positions": ("integer", str(behaviour.positions)),
        "sensitivity-trials": ("integer", str(behaviour.trials)),
    }
    return [{"name": name, "dataType": kind, "value": value} for name, (kind, value) in given.items()]


def _record(behaviour: BehaviourSummary) -> Json:
    """Return the record as the file that it is beside the BOM; it names the digest of its numbers itself."""
    digest: Json = {"alg": "SHA-256", "content": behaviour.record_sha256}
    return {"type": "evidence", "url": JSON_NAME, "hashes": [digest]}
