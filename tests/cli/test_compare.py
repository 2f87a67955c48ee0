"""`mbom compare`: what two records say of each other, in words, as data and as an exit status."""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import syntheticrecords as synthetic
from commands import mbom, schema
from measuring import BENT, NONCE, Records
from numpy.typing import NDArray
from safetensors import safe_open

from mbom import bundle
from mbom.behaviour.record import Record


def write(record: Record, folder: Path) -> Path:
    """Write a record as `mbom measure` does."""
    members = {bundle.BEHAVIOUR: record.to_json(), bundle.BEHAVIOUR_NUMBERS: record.to_safetensors()}
    bundle.write(folder, members, force=False)
    return folder


def test_a_record_matches_the_bundle_whose_signatures_nobody_checked(home: Path, records: Records) -> None:
    run = mbom("compare", records.bundle, records.measured, home=home)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.splitlines()[-1].startswith("MATCH: 2,048 positions through 4 layers agree within ")
    assert run.stderr.count("signatures are not checked here: `mbom verify` does that") == 1
    alone = mbom("compare", records.measured, records.measured, home=home)
    assert alone.returncode == 0
    assert "signatures" not in alone.stderr


def test_a_bent_copy_is_named_by_layer_expert_and_distance(home: Path, records: Records) -> None:
    run = mbom("compare", records.measured, records.of_bent, home=home)
    assert run.returncode == 1
    header, row, layers, verdict = run.stdout.splitlines()
    assert header.split("  ")[0].strip() == "layer"
    assert re.fullmatch(rf" +2  {re.escape(BENT)}  expert 4 of 8  \d\.\de-0\d ± \de[+-]\d\d", row)
    assert re.search(r"by layer: 0-1: 0\.0e\+00, 2.*: \d\.\de-\d\d$", layers)
    assert verdict.startswith(f"MISMATCH: first difference: weights of layer 2: {BENT}, expert 4 of 8, changed by ")
    assert "; 1 of 71 weights changed, activations differ by up to " in verdict


def test_the_estimated_distance_is_the_true_one(home: Path, records: Records) -> None:
    """One element moved by one step of MXFP4: every value of its sketch tells its size, so the estimate is exact."""
    document = json.loads(mbom("compare", records.measured, records.of_bent, "--json", home=home).stdout)
    schema("comparison").validate(document)
    (weight,) = document["weights"]
    assert (weight["name"], weight["layer"], weight["part"], weight["indices"]) == (BENT, 2, "expert", [4])
    index = json.loads((records.bent / "model.safetensors.index.json").read_bytes())["weight_map"]
    values = {}
    for checkpoint in (records.checkpoint, records.bent):
        stored = {}
        for part in ("blocks", "scales"):
            name = f"{BENT}_{part}"
            with safe_open(checkpoint / index[name], "np") as shard:
                stored[part] = shard.get_tensor(name)
        values[checkpoint] = dequantised(stored["blocks"], stored["scales"])
    before, after = values[records.checkpoint], values[records.bent]
    true = np.linalg.norm(after - before) / np.linalg.norm(before)
    assert weight["distance"] == pytest.approx(true, rel=0.25)


def dequantised(blocks: NDArray[np.uint8], scales: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the values of MXFP4 blocks by the OCP specification: E2M1 codes, the low half byte first, times 2**s."""
    positive = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
    table = np.array([*positive, *(-value for value in positive)])
    halves = np.stack([table[blocks & 15], table[blocks >> 4]], axis=-1)  # (..., blocks, 16, 2)
    values: NDArray[np.float64] = halves * 2.0 ** (scales.astype(int) - 127)[..., None, None]
    return values


def test_json_of_a_match_follows_its_schema(home: Path, records: Records) -> None:
    run = mbom("compare", records.measured, records.bundle, "--json", "-q", home=home)
    assert (run.returncode, run.stderr) == (0, "")
    document = json.loads(run.stdout)
    schema("comparison").validate(document)
    assert document["verdict"] == "match"
    assert document["same_model"]


def test_records_of_different_challenges_cannot_be_compared(home: Path, records: Records) -> None:
    run = mbom("compare", records.measured, records.answered, home=home)
    assert run.returncode == 1
    assert run.stdout.startswith("INVALID: ")
    assert f"{NONCE!r}" in run.stdout
    assert f"challenge {NONCE!r}" in run.stderr


def test_a_token_of_the_embedding_is_named(home: Path, tmp_path: Path) -> None:
    record = synthetic.moe_record()
    other = synthetic.edited(record, embedding_rows=synthetic.put(17, 3.25))
    run = mbom("compare", write(record, tmp_path / "a"), write(other, tmp_path / "b"), home=home)
    assert run.returncode == 1
    assert re.search(rf"^ +-  {re.escape(synthetic.EMBEDDING)}  token 17 of \d+  ", run.stdout, re.MULTILINE)


def test_a_long_table_is_cut_and_says_so(home: Path, tmp_path: Path) -> None:
    record = synthetic.moe_record()
    other = synthetic.edited(record, sketches=synthetic.put(slice(None), 1.5))
    run = mbom("compare", write(record, tmp_path / "a"), write(other, tmp_path / "b"), "-q", home=home)
    assert run.returncode == 1
    listed = json.loads(mbom("compare", tmp_path / "a", tmp_path / "b", "--json", home=home).stdout)["weights"]
    assert len(listed) == len(record.weights) == len(run.stdout.splitlines()) - 3
    assert "(not executed)" in run.stdout


def test_a_record_that_hangs_on_near_ties_is_inconclusive(home: Path, tmp_path: Path) -> None:
    record = synthetic.edited(synthetic.moe_record(), router_margin=synthetic.put(slice(None), 4e-7))
    run = mbom("compare", write(record, tmp_path / "a"), write(record, tmp_path / "b"), home=home)
    assert run.returncode == 3
    assert run.stdout.splitlines()[-1].startswith("INCONCLUSIVE: ")


def test_hostile_text_of_a_record_cannot_reach_the_terminal(home: Path, tmp_path: Path) -> None:
    record = synthetic.moe_record()
    named = replace(record, runtime=replace(record.runtime, torch="2.13\u00a7"))
    folder = write(named, tmp_path / "a")
    text = (folder / bundle.BEHAVIOUR).read_text(encoding="utf-8")
    (folder / bundle.BEHAVIOUR).write_text(text.replace("2.13§", "2.13\\u001b[2J"), encoding="utf-8")
    run = mbom("compare", folder, folder, home=home)
    assert run.returncode == 1
    assert "\x1b" not in run.stdout + run.stderr


def grow(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def file_instead(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"{}")


def pipe_instead(folder: Path) -> None:
    shutil.rmtree(folder)
    os.mkfifo(folder)


def nothing_inside(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def link_inside(folder: Path) -> None:
    elsewhere = (folder / bundle.BEHAVIOUR).rename(folder.parent / "elsewhere")
    (folder / bundle.BEHAVIOUR).symlink_to(elsewhere)


def pipe_inside(folder: Path) -> None:
    (folder / bundle.BEHAVIOUR).unlink()
    os.mkfifo(folder / bundle.BEHAVIOUR)


def no_threads(folder: Path) -> None:
    document = (folder / bundle.BEHAVIOUR).read_bytes()
    assert b'"threads": 2' in document
    (folder / bundle.BEHAVIOUR).write_bytes(document.replace(b'"threads": 2', b'"threads": 0'))


HOSTILE: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "a missing folder": (shutil.rmtree, 3, "no such record"),
    "a file": (file_instead, 1, "is a folder, or a .zip of one"),
    "a pipe": (pipe_instead, 1, "a record is a folder"),
    "an empty folder": (nothing_inside, 3, "holds no behaviour record"),
    "half a record": (lambda folder: (folder / bundle.BEHAVIOUR_NUMBERS).unlink(), 1, "belong together"),
    "a stranger": (lambda folder: (folder / "run.py").write_text("print()"), 1, "'run.py' is not a member"),
    "a name that moves the cursor": (lambda folder: (folder / "\x1b[2J").write_text("x"), 1, "holds a control"),
    "a link": (link_inside, 1, "behaviour.json is a link"),
    "a pipe as member": (pipe_inside, 1, "behaviour.json is a link or a special file"),
    "a member beyond its limit": (
        lambda folder: grow(folder / bundle.BEHAVIOUR, bundle.MEMBERS[bundle.BEHAVIOUR][1] + 1),
        1,
        "larger than",
    ),
    "a count that cannot be": (no_threads, 1, "threads"),
    "numbers of another size": (
        lambda folder: grow(folder / bundle.BEHAVIOUR_NUMBERS, 8),
        1,
        "behaviour.safetensors: 8 bytes",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_record_ends_in_one_sentence_that_names_it(home: Path, tmp_path: Path, case: str) -> None:
    ruin, status, words = HOSTILE[case]
    good, bad = (write(synthetic.plain_record(), tmp_path / name) for name in ("good", "bad"))
    ruin(bad)
    run = mbom("compare", good, bad, home=home)
    assert (run.returncode, run.stdout) == (status, "")
    (sentence,) = run.stderr.splitlines()
    assert sentence.startswith(f"mbom: {bad}: ")
    assert words in sentence
    assert sentence.isprintable()
