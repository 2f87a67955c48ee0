"""Every way to bend a checkpoint or a bundle that we know, and the check that must catch it."""

import json
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from attesting import Scene, another_model, change_tensor, failed, new_signer
from safetensors.numpy import load as load_numbers
from safetensors.numpy import save as save_numbers

from fixtures import layout
from mbom import bundle
from mbom.attestation import BOM_PREDICATE_TYPE
from mbom.digest import sha256
from mbom.inventory import Inventory
from mbom.signing import oms, statement

SHARDS = tuple(f"model-0000{number}-of-00003.safetensors" for number in range(3))
Tamper = Callable[[Scene], object]


def flip(data: bytes, at: int) -> bytes:
    """Invert the lowest bit of one byte; a negative place counts from the end."""
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


# ---- changes to the checkpoint, with the signed bundle left alone ----


def flip_in(name: str, at: int) -> Tamper:
    return lambda scene: scene.edit(name, lambda data: flip(data, at))


def replace_in(name: str, old: str, new: str) -> Tamper:
    def tamper(scene: Scene) -> None:
        text = (scene.checkpoint / name).read_text(encoding="utf-8")
        assert old in text
        (scene.checkpoint / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    return tamper


def swap_shards(scene: Scene) -> None:
    one, two = (scene.checkpoint / name for name in SHARDS[:2])
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)


def truncate_shard(scene: Scene) -> None:
    scene.edit(SHARDS[1], lambda data: data[: len(data) // 2])


def rename_shard(scene: Scene) -> None:
    (scene.checkpoint / SHARDS[2]).rename(scene.checkpoint / "model-00003-of-00003.safetensors")


def move_into_folder(scene: Scene) -> None:
    (scene.checkpoint / "part").mkdir()
    (scene.checkpoint / "LICENSE").rename(scene.checkpoint / "part" / "LICENSE")


def add(name: str, content: bytes) -> Tamper:
    def tamper(scene: Scene) -> None:
        (scene.checkpoint / name).parent.mkdir(exist_ok=True)
        (scene.checkpoint / name).write_bytes(content)

    return tamper


def remove(name: str) -> Tamper:
    return lambda scene: (scene.checkpoint / name).unlink()


def stray_weights(scene: Scene) -> None:
    shutil.copy(scene.checkpoint / SHARDS[0], scene.checkpoint / "model.safetensors")


CHECKPOINT_TAMPERS: dict[str, tuple[Tamper, str]] = {
    "a bit of a weight flipped": (flip_in(SHARDS[1], -1000), "tensors"),
    "a bit of a shard's header flipped": (flip_in(SHARDS[0], 40), "files"),
    "a bit of the configuration flipped": (replace_in("config.json", "150000", "150001"), "files"),
    "a bit of the tokenizer flipped": (flip_in("tokenizer.json", 5000), "files"),
    "a line added to the chat template": (
        lambda scene: scene.edit("chat_template.jinja", lambda data: data + b"obey\n"),
        "files",
    ),
    "generation defaults changed": (flip_in("generation_config.json", 60), "files"),
    "the card's licence changed": (replace_in("README.md", "apache-2.0", "mit"), "files"),
    "the licence text removed": (remove("LICENSE"), "files"),
    "the licence text moved": (move_into_folder, "files"),
    "the usage policy emptied": (lambda scene: scene.edit("USAGE_POLICY", lambda _: b""), "files"),
    ".gitattributes changed": (flip_in(".gitattributes", 3), "files"),
    "two shards swapped": (swap_shards, "files"),
    "a shard truncated": (truncate_shard, "files"),
    "a shard emptied": (lambda scene: scene.edit(SHARDS[0], lambda _: b""), "tensors"),
    "a shard renamed": (rename_shard, "files"),
    "a shard removed": (remove(SHARDS[1]), "tensors"),
    "a byte appended to a shard": (lambda scene: scene.edit(SHARDS[2], lambda data: data + b"\0"), "files"),
    "the index edited": (replace_in("model.safetensors.index.json", SHARDS[0], SHARDS[1]), "files"),
    "a stray model.safetensors that loaders prefer": (stray_weights, "files"),
    "a modelling file added": (add("modeling_gpt_oss.py", b"print('hello')\n"), "files"),
    "a pickle added": (add("pytorch_model.bin", b"\x80\x04N."), "files"),
    "a file added in a new folder": (add("original/params.json", b"{}"), "files"),
}


@pytest.mark.parametrize("name", CHECKPOINT_TAMPERS)
def test_a_changed_checkpoint_is_caught(scene: Scene, name: str) -> None:
    tamper, check = CHECKPOINT_TAMPERS[name]
    tamper(scene)
    verdict = scene.verify()
    assert verdict.exit_code == 1
    assert check in failed(verdict)
    assert failed(verdict) <= {"files", "tensors"}


# ---- changes to the bundle by somebody without the key ----


def edit_member(name: str, change: Callable[[bytes], bytes]) -> Tamper:
    return lambda scene: scene.edit_member(name, change)


def remove_member(name: str) -> Tamper:
    return lambda scene: scene.member(name).unlink()


def sign_by_another(scene: Scene) -> None:
    inventory = Inventory.from_bytes(scene.member(bundle.INVENTORY).read_bytes())
    scene.reseal(inventory, new_signer(scene.root, "mallory.pem"))


def attest_by_another(scene: Scene) -> None:
    scene.attest_again(signer=new_signer(scene.root, "mallory.pem"))


def bom_in_place_of_attestation(scene: Scene) -> None:
    shutil.copy(scene.member(bundle.BOM_SIGNATURE), scene.member(bundle.ATTESTATION))


BUNDLE_TAMPERS: dict[str, tuple[Tamper, str]] = {
    "a byte of the BOM": (edit_member(bundle.BOM, lambda data: flip(data, 900)), "evidence"),
    "the BOM's licence": (edit_member(bundle.BOM, lambda data: data.replace(b"Apache-2.0", b"MIT")), "evidence"),
    "a byte of the record": (edit_member(bundle.BEHAVIOUR, lambda data: flip(data, 300)), "evidence"),
    "a byte of the numbers": (edit_member(bundle.BEHAVIOUR_NUMBERS, lambda data: flip(data, -9)), "evidence"),
    "a byte of the inventory": (edit_member(bundle.INVENTORY, lambda data: flip(data, 700)), "evidence"),
    "a byte of model.sig": (edit_member(bundle.MODEL_SIGNATURE, lambda data: flip(data, 99)), "evidence"),
    "a byte of the attestation": (edit_member(bundle.ATTESTATION, lambda data: flip(data, 500)), "signature"),
    "the attestation emptied": (edit_member(bundle.ATTESTATION, lambda _: b""), "signature"),
    "the attestation removed": (remove_member(bundle.ATTESTATION), "signature"),
    "another statement of the same signer": (bom_in_place_of_attestation, "signature"),
    "signed again with another key": (sign_by_another, "signature"),
    "attested again with another key": (attest_by_another, "signature"),
    "the BOM removed": (remove_member(bundle.BOM), "bundle"),
    "the inventory removed": (remove_member(bundle.INVENTORY), "bundle"),
    "half of the record removed": (remove_member(bundle.BEHAVIOUR_NUMBERS), "bundle"),
    "a shard's signature removed": (remove_member(bundle.shard_member(SHARDS[1])), "evidence"),
    "model.sig removed": (remove_member(bundle.MODEL_SIGNATURE), "evidence"),
    "a stranger added": (lambda scene: scene.member("notes.txt").write_text("x"), "bundle"),
    "a shard's signature added": (
        lambda scene: (
            shutil.copy(
                scene.member(bundle.shard_member(SHARDS[0])), scene.member(bundle.shard_member("more.safetensors"))
            )
            and None
        ),
        "evidence",
    ),
}


@pytest.mark.parametrize("name", BUNDLE_TAMPERS)
def test_a_changed_bundle_is_caught(scene: Scene, name: str) -> None:
    tamper, check = BUNDLE_TAMPERS[name]
    tamper(scene)
    verdict = scene.verify()
    assert verdict.exit_code == 1
    assert check in failed(verdict)


# ---- lies of whoever holds the key: every signature and every digest of a member is right ----


def take_from_another(*names: str) -> Tamper:
    def tamper(scene: Scene) -> None:
        other = another_model(scene)
        for name in names:
            shutil.copy(other.member(name), scene.member(name))

    return tamper


def edit_json(name: str, change: Callable[[Any], None]) -> Tamper:
    def tamper(scene: Scene) -> None:
        document = json.loads(scene.member(name).read_bytes())
        change(document)
        scene.member(name).write_text(json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n")

    return tamper


def forget_a_file(scene: Scene) -> None:
    subjects = [
        (file.name, file.sha256)
        for file in Inventory.from_bytes(scene.member(bundle.INVENTORY).read_bytes()).files
        if file.name != "config.json"
    ]
    signed = scene.signer.sign_statement(oms.build(scene.checkpoint.name, subjects))
    scene.member(bundle.MODEL_SIGNATURE).write_bytes(signed)


def sign_edited_bom(change: Callable[[Any], None]) -> Tamper:
    """Change the BOM and its own statement alike."""

    def tamper(scene: Scene) -> None:
        edit_json(bundle.BOM, change)(scene)
        files = Inventory.from_bytes(scene.member(bundle.INVENTORY).read_bytes()).files
        document = json.loads(scene.member(bundle.BOM).read_bytes())
        signed = statement.build([(file.name, file.sha256) for file in files], BOM_PREDICATE_TYPE, document)
        scene.member(bundle.BOM_SIGNATURE).write_bytes(scene.signer.sign_statement(signed))

    return tamper


def put_nan(scene: Scene) -> None:
    numbers = load_numbers(scene.member(bundle.BEHAVIOUR_NUMBERS).read_bytes())
    name = next(name for name, values in sorted(numbers.items()) if values.dtype == np.float64)
    numbers[name].flat[0] = np.nan
    scene.member(bundle.BEHAVIOUR_NUMBERS).write_bytes(save_numbers(numbers))
    bind_numbers(scene)


def bind_numbers(scene: Scene) -> None:
    """Write the numbers' digest and size into the record, as an attester who lies would."""

    def change(document: Any) -> None:
        data = scene.member(bundle.BEHAVIOUR_NUMBERS).read_bytes()
        document["numbers"] |= {"sha256": sha256(data), "size": len(data)}

    edit_json(bundle.BEHAVIOUR, change)(scene)


def swap_shard_signatures(scene: Scene) -> None:
    one, two = (scene.member(bundle.shard_member(name)) for name in SHARDS[:2])
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)


def forget_the_record(scene: Scene) -> None:
    for name in (bundle.BEHAVIOUR, bundle.BEHAVIOUR_NUMBERS):
        scene.member(name).unlink()


LIES: dict[str, tuple[Tamper, str]] = {
    "another model's inventory": (take_from_another(bundle.INVENTORY), "files"),
    "an old BOM of another model": (take_from_another(bundle.BOM, bundle.BOM_SIGNATURE), "bom"),
    "another model's record": (take_from_another(bundle.BEHAVIOUR, bundle.BEHAVIOUR_NUMBERS), "behaviour-record"),
    "another model's model.sig": (take_from_another(bundle.MODEL_SIGNATURE), "model-sig"),
    "model.sig without the configuration": (forget_a_file, "model-sig"),
    "two shard signatures swapped": (swap_shard_signatures, "shards"),
    "a shard's signature left out": (remove_member(bundle.shard_member(SHARDS[2])), "shards"),
    "a tensor's digest in the inventory": (
        edit_json(bundle.INVENTORY, lambda document: document["tensors"][5].update(blake3="0" * 64)),
        "tensors",
    ),
    "a tensor left out of the inventory": (
        edit_json(bundle.INVENTORY, lambda document: document["tensors"].pop()),
        "tensors",
    ),
    "a record that read fewer tensors": (
        edit_json(bundle.BEHAVIOUR, lambda document: document["coverage"].update(tensors_read=78)),
        "behaviour-record",
    ),
    "a BOM whose statement has true in place of 1": (
        edit_json(bundle.BOM, lambda document: document.update(version=True)),
        "bom",
    ),
    "a BOM that its own statement does not sign": (
        edit_json(bundle.BOM, lambda document: document["components"][0].update(description="the original")),
        "bom",
    ),
    "a BOM without one file": (
        sign_edited_bom(lambda document: document["components"][0]["components"].pop()),
        "bom",
    ),
    "a BOM with a dangling reference": (
        sign_edited_bom(lambda document: document["dependencies"].append({"ref": "nothing"})),
        "bom",
    ),
    "a BOM that declares another licence than the card": (
        sign_edited_bom(
            lambda document: document["components"][0]["licenses"][0]["license"].update(id="MIT"),
        ),
        "bom",
    ),
    "a BOM that says something that the checkpoint does not": (
        sign_edited_bom(lambda document: document["components"][0].update(copyright="nobody's")),
        "bom",
    ),
    "a BOM that leaves a field out": (
        sign_edited_bom(lambda document: document["components"][0].pop("description")),
        "bom",
    ),
    "a BOM of another time than the attestation": (
        sign_edited_bom(lambda document: document["metadata"].update(timestamp="2020-01-01T00:00:00+00:00")),
        "bom",
    ),
    "a BOM that claims more coverage than the record": (
        sign_edited_bom(
            lambda document: document["components"][0]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"][
                0
            ].update(value="4096")
        ),
        "bom",
    ),
    "a record left out that the BOM speaks of": (
        forget_the_record,
        "bom",
    ),
    "a NaN in the record": (put_nan, "behaviour-record"),
    "a record without its last prompt": (
        edit_json(bundle.BEHAVIOUR, lambda document: document["prompts"].pop()),
        "behaviour-record",
    ),
    "a record that claims more coverage": (
        edit_json(bundle.BEHAVIOUR, lambda document: document["coverage"].update(vocabulary_reached=640)),
        "behaviour-record",
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_under_the_right_key_is_caught(scene: Scene, name: str) -> None:
    tamper, check = LIES[name]
    original = Inventory.from_bytes(scene.member(bundle.INVENTORY).read_bytes())
    tamper(scene)
    scene.reseal(original)
    verdict = scene.verify()
    assert verdict.exit_code == 1
    assert check in failed(verdict)
    assert not failed(verdict) & {"bundle", "signature", "evidence"}


# ---- another model passed off as the measured one: only running it tells ----


def one_ulp_in_an_expert(scene: Scene) -> None:
    """Move one weight of one expert to the neighbouring value that its format has: the low bit of one MXFP4 code."""
    change_tensor(scene, "model.layers.2.mlp.experts.down_proj_blocks", lambda data: flip(data, len(data) // 2))


def one_ulp_in_attention(scene: Scene) -> None:
    change_tensor(scene, "model.layers.3.self_attn.o_proj.weight", lambda data: flip(data, 2000))


def router_row(scene: Scene) -> None:
    def change(data: bytes) -> bytes:
        words = np.frombuffer(data, np.uint16).reshape(8, -1).astype(np.uint32) << 16
        values = words.view(np.float32).copy()
        values[3] *= 1.05
        return (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()

    change_tensor(scene, "model.layers.1.mlp.router.weight", change)


def unseen_token(scene: Scene) -> None:
    """Move one element in the embedding's row of a token that is in no prompt."""
    seen = {token for prompt in scene.record.prompts for token in prompt.token_ids}
    token = next(token for token in range(layout.VOCABULARY) if token not in seen)
    row_bytes = layout.HIDDEN * 2
    change_tensor(scene, "model.embed_tokens.weight", lambda data: flip(data, token * row_bytes))


IMPOSTORS: dict[str, tuple[Tamper, str]] = {
    "one ulp in one expert": (
        one_ulp_in_an_expert,
        "layer 2: model.layers.2.mlp.experts.down_proj, expert 4 of 8, changed",
    ),
    "one ulp in attention": (one_ulp_in_attention, "layer 3: model.layers.3.self_attn.o_proj.weight changed"),
    "a router row times 1.05": (router_row, "layer 1: model.layers.1.mlp.router.weight, expert 3 of 8, changed"),
    "the embedding of a token in no prompt": (unseen_token, "weights: model.embed_tokens.weight, token "),
    "another RoPE base": (replace_in("config.json", "150000", "150001"), "margin of the router of layer 0"),
    "another epsilon": (replace_in("config.json", "1e-05", "1.1e-05"), "margin of the router of layer 0"),
    "another word in the chat template": (replace_in("chat_template.jinja", "You are", "You were"), "token ids"),
}


@pytest.mark.parametrize("name", IMPOSTORS)
def test_another_model_with_every_digest_right_is_caught_by_running_it(scene: Scene, name: str) -> None:
    tamper, place = IMPOSTORS[name]
    tamper(scene)
    scene.attest_again()
    assert scene.verify().exit_code == 0
    verdict = scene.verify(behaviour=True)
    assert verdict.exit_code == 1
    assert failed(verdict) == {"behaviour"}
    (behaviour,) = (check for check in verdict.checks if check.id == "behaviour")
    assert place in behaviour.detail


def test_the_honest_checkpoint_matches_when_it_is_measured_again(attested: Scene) -> None:
    verdict = attested.verify(behaviour=True)
    assert verdict.outcome == "verified", [check.to_dict() for check in verdict.checks]
    assert not failed(verdict)


def test_the_tables_hold_at_least_fifty_attacks() -> None:
    tables = (CHECKPOINT_TAMPERS, BUNDLE_TAMPERS, LIES, IMPOSTORS)
    assert sum(len(table) for table in tables) >= 50
