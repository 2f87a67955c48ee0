"""Attesting from the hub: the real client, against a hub on loopback that carries the weights more than once."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attesting import FIXTURE
from commands import mbom
from hubserver import Fault, HubServer

REPO = "acme/tiny-gpt-oss"
SHARD = "model-00001-of-00003.safetensors"
COPIES = {
    "original/model.safetensors": b"the same weights once more" * 1000,
    "original/config.json": b"{}",
    "metal/model.bin": b"and again" * 1000,
}


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        files = {path.name: path.read_bytes() for path in FIXTURE.iterdir()}
        server.push(REPO, files | COPIES)
        yield server


@pytest.fixture
def user(hub: HubServer, tmp_path: Path) -> "User":
    return User(hub, tmp_path)


class User:
    """Somebody with a home folder whose hub is the one on loopback."""

    def __init__(self, hub: HubServer, root: Path) -> None:
        self.root = root
        self.env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(root / "hf")}

    def __call__(self, *arguments: str | Path, **env: str):  # type: ignore[no-untyped-def]  # noqa: ANN204
        return mbom(*arguments, home=self.root, env=self.env | env, cwd=self.root)


def test_only_the_checkpoint_is_fetched_and_the_rest_is_declared(hub: HubServer, user: User) -> None:
    run = user("attest", REPO, "--no-behaviour")
    assert run.returncode == 0, run.stderr
    assert "every digest as advertised   2 files of other weight sets left out" in run.stderr
    assert not {"original/model.safetensors", "metal/model.bin"} & set(hub.fetched())
    assert SHARD in hub.fetched()
    inventory = json.loads((user.root / "tiny-gpt-oss.mbom" / "inventory.json").read_bytes())
    assert {item["name"] for item in inventory["declared"]} == {"original/model.safetensors", "metal/model.bin"}
    assert inventory["model"]["repo"] == REPO
    commit = inventory["model"]["revision"]
    assert len(commit) == 40
    bom = json.loads((user.root / "tiny-gpt-oss.mbom" / "bom.cdx.json").read_bytes())
    assert bom["components"][0]["purl"] == f"pkg:huggingface/{REPO}@{commit}"
    assert bom["components"][0]["version"] == commit

    verified = user("verify", "tiny-gpt-oss.mbom", f"{REPO}@{commit}")
    assert verified.returncode == 0, verified.stdout
    assert re.search(r"11 expectation +PASS", verified.stdout)
    offline = user("verify", "tiny-gpt-oss.mbom", f"{REPO}@{commit}", HF_HUB_OFFLINE="1")
    assert offline.returncode == 0, offline.stdout + offline.stderr
    (snapshot,) = (user.root / "hf" / "hub").glob("models--acme--tiny-gpt-oss/snapshots/*")
    assert user("verify", "tiny-gpt-oss.mbom", snapshot).returncode == 0


def test_declared_copies_on_disk_count_only_when_they_are_the_advertised_ones(user: User) -> None:
    assert user("attest", REPO, "--no-behaviour").returncode == 0
    clone = user.root / "clone"
    shutil.copytree(FIXTURE, clone)
    for name, data in COPIES.items():
        (clone / name).parent.mkdir(exist_ok=True)
        (clone / name).write_bytes(data)
    verified = user("verify", "tiny-gpt-oss.mbom", clone)
    assert verified.returncode == 0, verified.stdout
    assert "2 declared files" in verified.stdout
    # The copies change the folder's digest, and neither the model's nor what a challenge is drawn for.
    challenged = user("verify", "tiny-gpt-oss.mbom", clone, "--challenge", "5f0c", "--reference", REPO)
    assert challenged.returncode == 0, challenged.stdout
    (clone / "metal/model.bin").write_bytes(b"something else" * 1000)
    refused = user("verify", "tiny-gpt-oss.mbom", clone)
    assert refused.returncode == 1
    assert "metal/model.bin" in refused.stdout


def test_all_takes_every_copy(hub: HubServer, user: User) -> None:
    assert user("attest", REPO, "--no-behaviour", "--all").returncode == 0
    assert {"original/model.safetensors", "metal/model.bin"} <= set(hub.fetched())


def test_one_flipped_byte_is_fetched_again(hub: HubServer, user: User) -> None:
    hub.fail("file", SHARD, Fault(flip=5000))
    run = user("attest", REPO, "--no-behaviour")
    assert run.returncode == 0, run.stderr
    assert hub.fetched().count(SHARD) == 2


def test_a_byte_that_stays_flipped_is_refused(hub: HubServer, user: User) -> None:
    hub.fail("file", SHARD, Fault(flip=5000, sticky=True))
    run = user("attest", REPO, "--no-behaviour")
    assert run.returncode == 1
    assert SHARD in run.stderr
    assert not (user.root / "tiny-gpt-oss.mbom").exists()


def test_passing_faults_are_waited_out(hub: HubServer, user: User) -> None:
    hub.fail("info", "", Fault(status=429, headers={"Retry-After": "0"}))
    hub.fail("file", SHARD, Fault(cut=1000), Fault(status=503))
    hub.fail("file", "model-00002-of-00003.safetensors", Fault(status=403))
    run = user("attest", REPO, "--no-behaviour")
    assert run.returncode == 0, run.stderr


def test_a_gated_repository_says_what_to_do(hub: HubServer, user: User) -> None:
    hub.push("meta-llama/closed", {"config.json": b"{}"}, gated=True)
    run = user("attest", "meta-llama/closed", "--no-behaviour")
    assert run.returncode == 4
    assert "HF_TOKEN" in run.stderr
    assert run.stderr.count("\n") <= 2


def test_a_missing_repository_says_so(user: User) -> None:
    run = user("attest", "acme/nothing", "--no-behaviour")
    assert run.returncode == 3
    assert "acme/nothing" in run.stderr


def test_a_missing_revision_says_so(user: User) -> None:
    run = user("attest", f"{REPO}@v9", "--no-behaviour")
    assert run.returncode == 3
    assert "v9" in run.stderr


def properties(item: dict[str, Any]) -> dict[str, str]:
    return {entry["name"].removeprefix("mbom:"): entry["value"] for entry in item["properties"]}


def test_lineage_is_what_the_card_names_the_hub_resolves_and_the_tensors_show(hub: HubServer, user: User) -> None:
    base = hub.repositories[REPO].branches["main"]
    files = {path.name: path.read_bytes() for path in FIXTURE.iterdir()}
    files["README.md"] = f"---\nbase_model: {REPO}\nbase_model_relation: finetune\n---\n".encode()
    hub.push("Mistralai/tuned", files)
    hub.repositories["Mistralai/tuned"].described.update(gated=False, createdAt="2025-08-04T22:33:06.000Z")
    own = {
        "account": "ACME",
        "entity": "Acme GmbH",
        "country": "DE",
        "source": "https://acme.example/",
        "reviewed": "2026-11-02",
    }
    (user.root / "own.json").write_text(json.dumps({"schema": "urn:mbom:producers:v1", "accounts": [own]}))

    assert user("attest", REPO, "--no-behaviour").returncode == 0
    key = user.root / ".config" / "mbom" / "key.pub"
    options = ("--origins", "own.json", "--base", "tiny-gpt-oss.mbom", "--base-key", key)
    run = user("attest", "Mistralai/tuned", "--no-behaviour", *options)
    assert run.returncode == 0, run.stderr
    assert f"compared   {REPO}@{base}: identical" in run.stderr
    model = json.loads((user.root / "tuned.mbom" / "bom.cdx.json").read_bytes())["components"][0]
    assert model["manufacturer"]["address"] == {"country": "FR"}
    told = properties(model)
    assert (told["hub:gated"], told["hub:created"], told["hub:last-modified"]) == (
        "false", "2025-08-04T22:33:06Z", "unknown",
    )  # fmt: skip
    (ancestor,) = model["pedigree"]["ancestors"]
    assert ancestor["manufacturer"] == {"name": "Acme GmbH", "address": {"country": "DE"}}
    told = properties(ancestor)
    assert told["lineage:relation"] == "finetune"
    assert told["lineage:revision"].startswith(f"{base}, as the hub resolved it at ")
    assert told["lineage:verified"] == "identical"
    assert told["lineage:compared:signature"].startswith("verified: ECDSA")
    assert user("verify", "tuned.mbom", "Mistralai/tuned").returncode == 0


def test_inspect_shows_the_producer_and_the_base_models(hub: HubServer, user: User) -> None:
    hub.push("mistralai/tuned", {"config.json": b"{}", "README.md": b"---\nbase_model: [org/a, org/b]\n---\n"})
    run = user("inspect", "mistralai/tuned")
    assert re.search(r"^producer +Mistral AI$", run.stdout, re.MULTILINE)
    assert re.search(r"^producer_country +FR$", run.stdout, re.MULTILINE)
    assert "org/a (not declared, not compared), org/b (not declared, not compared)" in run.stdout
    told = json.loads(user("inspect", "mistralai/tuned", "--json").stdout)["model"]
    assert told["base_models"][0] == {
        "name": "org/a", "relation": [], "declared_in": ["README.md:2"], "verified": "not compared",
    }  # fmt: skip
