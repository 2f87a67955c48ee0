"""Every BOM that the tests can build, before two other implementations: cyclonedx-python-lib and the npm library.

Both are asked in their strict mode, for the document in 1.7 and for the same in 1.6, and both must refuse what is
broken: a validator that accepts anything would prove nothing.
"""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boms
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mbom import strictjson
from mbom.bom.format.schema import schema_problems
from mbom.bom.format.spec16 import to_1_6

NODE = Path(__file__).parent.parent / "node"
PUBLIC = "https://registry.npmjs.org/"
VERSIONS = {"1.6": SchemaVersion.V1_6, "1.7": SchemaVersion.V1_7}
Edit = Callable[[dict[str, Any]], object]

BROKEN: dict[str, Edit] = {
    "no format": lambda d: d.pop("bomFormat"),
    "a member of nobody": lambda d: d.update(wheights=[]),
    "a component of no type": lambda d: d["components"][0].pop("type"),
    "a type that is none": lambda d: d["components"][0].update(type="model"),
    "an algorithm that is none": lambda d: d["components"][0]["hashes"][0].update(alg="SHA256"),
    "a digest that is none": lambda d: d["components"][0]["hashes"][0].update(content="abc"),
    "a licence id that SPDX has not": lambda d: d["components"][0].update(licenses=[{"license": {"id": "llama4"}}]),
    "a licence with id and name": lambda d: d["components"][0].update(
        licenses=[{"license": {"id": "MIT", "name": "MIT"}}]
    ),
    "a media type in camel case": lambda d: d["components"][0]["components"][0].update(mimeType="text/plain"),
    "a property without a name": lambda d: d["components"][0]["properties"].append({"value": "x", "nam": "y"}),
    "a time that is none": lambda d: d["metadata"].update(timestamp="yesterday"),
    "a serial number that is none": lambda d: d.update(serialNumber="1"),
    "an aggregate that is none": lambda d: d["compositions"][0].update(aggregate="all"),
}


def documents() -> dict[str, bytes]:
    """Return every BOM in both versions, and broken ones, by name."""
    found: dict[str, bytes] = {}
    for name, data in boms.everything().items():
        found[f"1.7 {name}"] = data
        found[f"1.6 {name}"] = strictjson.pretty(to_1_6(boms.document(data)))
    for version in VERSIONS:
        for name, edit in BROKEN.items():
            document: dict[str, Any] = boms.document(boms.build(spec=version))  # type: ignore[arg-type]
            edit(document)
            found[f"{version} broken: {name}"] = strictjson.pretty(document)
    return found


DOCUMENTS = documents()


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the npm library says of every document: None where it is valid."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed, so BOMs are not held against the npm library")
    if not (NODE / "node_modules").is_dir():
        pytest.skip("tests/node/node_modules is missing: `make test` installs it where npm can")
    folder = tmp_path_factory.mktemp("peers")
    paths = {}
    for number, (name, data) in enumerate(DOCUMENTS.items()):
        paths[str(folder / f"{number}.cdx.json")] = name
        (folder / f"{number}.cdx.json").write_bytes(data)
    done = subprocess.run(
        ["node", NODE / "validate.mjs", *paths], capture_output=True, text=True, timeout=300, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return {paths[path]: verdict for path, verdict in found.items()}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_npm_library_agrees(verdicts: dict[str, Any], name: str) -> None:
    verdict = verdicts[name]
    if "broken" in name:
        # A list of errors: an exception would be a text, and say that nothing was validated.
        assert isinstance(verdict, list)
        assert verdict
    else:
        assert verdict is None, verdict


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_python_library_agrees_and_so_do_we(name: str) -> None:
    version = name.partition(" ")[0]
    error = JsonStrictValidator(VERSIONS[version]).validate_str(DOCUMENTS[name].decode())
    ours = schema_problems(json.loads(DOCUMENTS[name]), version)
    if "broken" in name:
        assert error is not None
        assert ours
    else:
        assert error is None, error
        assert not ours


def test_the_lock_has_every_digest_and_names_no_other_registry_than_the_public_one() -> None:
    packages = json.loads((NODE / "package-lock.json").read_bytes())["packages"]
    assert len(packages) > 5
    for path, package in packages.items():
        if path:
            assert package.get("resolved", PUBLIC).startswith(PUBLIC), path
            assert package["integrity"].startswith("sha512-"), path
