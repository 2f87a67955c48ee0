"""What the gate lets in: real bundles and commits, one thing wrong at a time, and the id that must say so."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from attesting import FIXTURE, Scene, new_signer
from commands import schema
from gating import FIRST, MODEL, POLICY, SECOND, Product, as_it_is, narrower_licence, other_weights, product

from mbom.cli import run
from mbom.gate.history import LFS_POINTER
from mbom.lockfile import Entry
from mbom.signing import Signatory

BUNDLE = "models/tiny.mbom"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What `mbom gate` said."""

    status: int
    review: Mapping[str, Any]
    said: str

    @property
    def model(self) -> Mapping[str, Any]:
        """The one model."""
        (model,) = self.review["models"]
        found: Mapping[str, Any] = model
        return found

    def ids(self, *outcomes: str) -> set[str]:
        """The ids of the reasons with these outcomes; of refusals where none is given."""
        wanted = outcomes or ("refuse", "missing")
        return {item["id"] for item in self.model["decision"]["reasons"] if item["outcome"] in wanted}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Product:
    return product(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def made(shared: Product, tmp_path: Path) -> Product:
    """A product on a branch of its own."""
    copy = shared.copy(tmp_path)
    copy.branch("change")
    return copy


@pytest.fixture
def ask(made: Product, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Return a function that commits what lies there and judges it; with arguments of its own it only judges."""

    def gate(*arguments: str | Path, base: str | None = "main") -> Answer:
        if base is not None:
            made.repo.commit()
        monkeypatch.chdir(made.repo.root)
        monkeypatch.setenv("HOME", str(made.work / "home"))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(made.work / "home"))
        commits = [f"--base={base}", "--head=change"] if base is not None else []
        status = run(["gate", *commits, "--format=json", *map(str, arguments)])
        said = capsys.readouterr()
        review = json.loads(said.out) if said.out else {}
        if review:
            schema("gate").validate(review)
        return Answer(status=status, review=review, said=said.err)

    return gate


def relock(made: Product, **members: Any) -> None:
    """Change the entry of the model and nothing else."""
    entry = made.locked().get(MODEL)
    assert isinstance(entry, Entry)
    made.lock(made.locked().with_entry(replace(entry, **members)))


def rewrite(made: Product, old: str, new: str, name: str = "mbom.yaml") -> None:
    path = made.repo.root / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def on_main(made: Product, change: Callable[[], object]) -> None:
    """Commit a change to main, and begin the branch from there."""
    made.repo.git("switch", "--quiet", "main")
    change()
    made.repo.commit("on main")
    made.repo.git("switch", "--quiet", "--force-create", "change")


# ---- what must pass ----


def test_an_upgrade_that_keeps_to_the_policy_is_allowed(made: Product, ask: Callable[..., Answer]) -> None:
    made.pin(other_weights, revision=SECOND)
    answer = ask()
    assert (answer.status, answer.review["outcome"]) == (0, "allowed")
    assert answer.model["kinds"] == ["upgraded"]
    assert answer.model["changes"]["files"]["identical"] == 13
    assert answer.ids("waived") == {"licence-unknown"}


def test_a_change_of_anything_else_changes_no_model(made: Product, ask: Callable[..., Answer]) -> None:
    made.write({"app.py": "print('hello')\n"})
    answer = ask()
    assert answer.status == 0
    assert answer.review["models"] == []
    assert answer.review["unchanged"] == 1


def test_unchanged_models_are_judged_on_request(ask: Callable[..., Answer]) -> None:
    answer = ask("--all")
    assert answer.status == 0
    assert answer.model["kinds"] == ["unchanged"]


def test_a_removed_model_is_listed_and_allowed(made: Product, ask: Callable[..., Answer]) -> None:
    made.lock(made.locked().without(MODEL))
    answer = ask()
    assert answer.status == 0
    assert (answer.model["kinds"], answer.model["new"]) == (["removed"], None)


# ---- what must not ----


def edit_member(made: Product) -> None:
    path = made.repo.root / BUNDLE / "bom.cdx.json"
    path.write_bytes(path.read_bytes().replace(b"tiny", b"tony", 1))


def link_member(made: Product) -> None:
    path = made.repo.root / BUNDLE / "bom.cdx.json"
    path.unlink()
    path.symlink_to("/etc/hostname")


def with_strangers_key(made: Product) -> None:
    made.pin(other_weights, revision=SECOND, signer=new_signer(made.work, "stranger.pem"))


def with_strangers_key_in_place_of_ours(made: Product) -> None:
    with_strangers_key(made)
    shutil.copyfile(made.work / "stranger.pub", made.repo.root / "keys" / "release.pub")


def with_strangers_key_in_the_policy(made: Product) -> None:
    with_strangers_key(made)
    shutil.copyfile(made.work / "stranger.pub", made.repo.root / "keys" / "stranger.pub")
    rewrite(made, "keys/release.pub", "keys/stranger.pub")


def with_another_name(made: Product) -> None:
    """Pin the same commit with other files as another model."""
    entry = made.pin(other_weights, revision=FIRST)
    made.lock(made.locked().without(MODEL).with_entry(replace(entry, name="tiny")))


def loosened(made: Product) -> None:
    made.pin(narrower_licence, revision=SECOND)
    made.write({"mbom.yaml": "version: 1\nrequire: {signature: false}\nfindings: {fail_on: none}\n"})


def without_policy(made: Product) -> None:
    made.pin(narrower_licence, revision=SECOND)
    (made.repo.root / "mbom.yaml").unlink()


TAMPERS: dict[str, tuple[Callable[[Product], object], set[str]]] = {
    "a member edited, the lock file as it was": (
        edit_member,
        {"bundle-tampered", "lock-digest-differs", "verification-failed"},
    ),
    "a member that is a link": (link_member, {"bundle-tampered", "bundle-malformed"}),
    "another digest of the bundle locked": (lambda it: relock(it, bundle_digest="0" * 64), {"lock-digest-differs"}),
    "another model digest locked": (
        lambda it: relock(it, digest="0" * 64),
        {"changed-in-place", "lock-model-differs"},
    ),
    "another commit locked": (lambda it: relock(it, revision=SECOND), {"lock-revision-differs"}),
    "another signer locked": (
        lambda it: relock(it, signer=Signatory(key="SHA256:" + "A" * 43)),
        {"lock-signer-differs"},
    ),
    "another licence locked": (lambda it: relock(it, licence=("MIT",)), {"lock-licence-differs"}),
    "a restriction left out": (lambda it: relock(it, restrictions=("military",)), {"lock-licence-differs"}),
    "changed in place": (lambda it: it.pin(other_weights, revision=FIRST), {"changed-in-place"}),
    "changed in place under another name": (with_another_name, {"changed-in-place", "signature-missing"}),
    "signed by a stranger": (with_strangers_key, {"verification-failed", "signature-missing"}),
    "signed by a stranger, whose key takes the place of ours": (
        with_strangers_key_in_place_of_ours,
        {"verification-failed", "signature-missing"},
    ),
    "signed by a stranger, whom the change trusts": (
        with_strangers_key_in_the_policy,
        {"verification-failed", "signature-missing"},
    ),
    "a narrower licence": (
        lambda it: it.pin(narrower_licence, revision=SECOND),
        {"licence-not-allowed", "restriction-not-allowed"},
    ),
    "a narrower licence, and a policy that allows it": (loosened, {"licence-not-allowed", "restriction-not-allowed"}),
    "a narrower licence, and no policy any more": (without_policy, {"licence-not-allowed", "restriction-not-allowed"}),
}


@pytest.mark.parametrize("name", TAMPERS)
def test_a_pull_request_is_refused_for(name: str, made: Product, ask: Callable[..., Answer]) -> None:
    change, expected = TAMPERS[name]
    change(made)
    answer = ask()
    assert answer.status == 1
    found = next(item for item in answer.review["models"] if item["new"] is not None)
    refusals = {item["id"] for item in found["decision"]["reasons"] if item["outcome"] in ("refuse", "missing")}
    assert refusals == expected
    if "changed-in-place" in expected:
        assert found["decision"]["reasons"][0]["id"] == "changed-in-place"
        assert answer.review["models"][0] == found
    assert answer.review["policy"]["source"] == "base"


def test_a_policy_that_changes_too_is_told(made: Product, ask: Callable[..., Answer]) -> None:
    loosened(made)
    assert any("mbom.yaml changes too" in note for note in ask().review["notes"])


def test_a_waiver_of_the_base_counts_and_one_of_the_change_does_not(made: Product, ask: Callable[..., Answer]) -> None:
    waiver = "waivers:\n  - {model: acme/tiny, id: changed-in-place, reason: attested again, expires: 2099-01-31}\n"
    made.pin(other_weights, revision=FIRST)
    rewrite(made, "waivers:\n", waiver)
    assert ask().ids() == {"changed-in-place"}
    made.repo.git("switch", "--quiet", "main")
    on_main(made, lambda: rewrite(made, "waivers:\n", waiver))
    made.pin(other_weights, revision=FIRST)
    answer = ask()
    assert answer.status == 0
    assert answer.ids("waived") == {"changed-in-place", "licence-unknown"}


# ---- what cannot be told ----


def test_a_missing_bundle_is_no_pass(made: Product, ask: Callable[..., Answer]) -> None:
    made.pin(other_weights, revision=SECOND)
    shutil.rmtree(made.repo.root / BUNDLE)
    answer = ask()
    assert (answer.status, answer.review["outcome"]) == (3, "incomplete")
    assert "models/tiny.mbom" in answer.model["decision"]["could_not_check"]


def test_a_bundle_that_large_file_storage_did_not_fetch_is_no_pass(made: Product, ask: Callable[..., Answer]) -> None:
    made.pin(other_weights, revision=SECOND)
    (made.repo.root / BUNDLE / "model.sig").write_bytes(LFS_POINTER + b"oid sha256:0\nsize 1\n")
    answer = ask()
    assert answer.status == 3
    assert "git lfs pull" in answer.model["decision"]["could_not_check"]


def test_a_head_without_lock_file_is_no_pass(made: Product, ask: Callable[..., Answer]) -> None:
    (made.repo.root / "mbom.lock").unlink()
    answer = ask()
    assert answer.status == 3
    assert "no model would be judged any more" in answer.said


def test_a_broken_lock_file_is_refused(made: Product, ask: Callable[..., Answer]) -> None:
    made.write({"mbom.lock": "version = 1\nmodel = []\n"})
    assert ask().status == 1


def test_a_broken_policy_of_the_base_stops_the_gate(made: Product, ask: Callable[..., Answer]) -> None:
    on_main(made, lambda: made.write({"mbom.yaml": "version: 1\nlicenses: {}\n"}))
    made.pin(other_weights, revision=SECOND)
    answer = ask()
    assert answer.status == 1
    assert "mbom.yaml:2:1" in answer.said


def test_a_key_that_the_base_does_not_have_stops_the_gate(made: Product, ask: Callable[..., Answer]) -> None:
    on_main(made, (made.repo.root / "keys" / "release.pub").unlink)
    made.pin(other_weights, revision=SECOND)
    made.write({"keys/release.pub": (made.work.parent / "release.pub").name})
    answer = ask()
    assert answer.status == 3
    assert "mbom.yaml names keys/release.pub" in answer.said


def test_what_cannot_be_compared_is_refused_where_the_policy_limits_changes(
    made: Product, ask: Callable[..., Answer]
) -> None:
    on_main(made, lambda: shutil.rmtree(made.repo.root / BUNDLE))
    made.pin(other_weights, revision=SECOND)
    answer = ask()
    assert answer.status == 1
    assert answer.ids() == {"change-unknown"}
    made.repo.git("switch", "--quiet", "--force", "main")
    on_main(made, lambda: rewrite(made, "changes:\n  frozen: [tokenizer]\n", ""))
    made.pin(other_weights, revision=SECOND)
    again = ask()
    assert again.status == 0
    assert "old-not-at-hand" in again.ids("note")


@pytest.mark.parametrize(
    "limit",
    [
        "changes:\n  max_kl: 0\n",
        "models:\n  acme/*:\n    changes: {frozen: [tokenizer]}\n",
        'rules:\n  - {name: same words, cel: "changes == null || size(changes.templates) == 0"}\n',
    ],
    ids=["zero", "by the name on the hub", "a rule of its own"],
)
def test_whatever_limits_changes_takes_the_old_bundle(made: Product, ask: Callable[..., Answer], limit: str) -> None:
    """Zero is a limit, a model may be pinned under a word of one's own, and a rule can hold of first models."""

    def prepare() -> None:
        rewrite(made, "changes:\n  frozen: [tokenizer]\n", limit)
        rewrite(made, 'model: "acme/*"', 'model: "*"')
        rewrite(made, "model: acme/tiny", 'model: "*"')
        entry = made.locked().get(MODEL)
        assert entry is not None
        made.lock(made.locked().without(MODEL).with_entry(replace(entry, name="chat")))
        shutil.rmtree(made.repo.root / BUNDLE)

    on_main(made, prepare)
    entry = made.pin(other_weights, revision=SECOND)
    made.lock(made.locked().without(MODEL).with_entry(replace(entry, name="chat")))
    answer = ask()
    assert answer.status == 1
    assert "change-unknown" in answer.ids()


@pytest.mark.parametrize("name", ["chat", "ACME/Tiny"])
def test_another_name_does_not_make_an_upgrade_a_first_model(
    made: Product, ask: Callable[..., Answer], name: str
) -> None:
    def other_tokenizer(checkpoint: Path) -> None:
        path = checkpoint / "tokenizer_config.json"
        path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")

    on_main(made, lambda: rewrite(made, 'model: "acme/*"', 'model: "*"'))
    entry = made.pin(other_tokenizer, revision=SECOND)
    renamed = replace(entry, name=name, repo="ACME/Tiny" if "/" in name else MODEL)
    made.lock(made.locked().without(MODEL).with_entry(renamed))
    answer = ask()
    found = next(item for item in answer.review["models"] if item["model"] == name)
    assert answer.status == 1
    assert "frozen-part-changed" in {item["id"] for item in found["decision"]["reasons"] if item["outcome"] == "refuse"}


def test_the_old_bundle_may_lie_outside_of_git(made: Product, ask: Callable[..., Answer]) -> None:
    """It is at hand in the working tree where its digest is the locked one."""

    def move() -> None:
        shutil.copytree(made.repo.root / BUNDLE, made.repo.root / "kept")
        shutil.rmtree(made.repo.root / "models")
        relock(made, bundle="models/old.mbom")

    on_main(made, move)
    made.pin(other_weights, revision=SECOND)
    made.repo.commit()
    (made.repo.root / "kept").rename(made.repo.root / "models" / "old.mbom")
    made.repo.git("update-ref", "refs/heads/judged", "HEAD")
    answer = ask("--head=judged")
    assert answer.status == 0
    assert answer.model["changes"] is not None


# ---- whose policy ----


def test_a_first_policy_is_that_of_the_change_and_said_to_be(made: Product, ask: Callable[..., Answer]) -> None:
    on_main(made, (made.repo.root / "mbom.yaml").unlink)
    made.write({"mbom.yaml": POLICY})
    made.pin(other_weights, revision=SECOND)
    answer = ask()
    assert answer.status == 0
    assert answer.review["policy"]["source"] == "head"
    assert any("The base has no mbom.yaml" in note for note in answer.review["notes"])


def test_a_first_lock_file_adds_every_model(made: Product, ask: Callable[..., Answer]) -> None:
    kept = (made.repo.root / "mbom.lock").read_bytes()
    on_main(made, (made.repo.root / "mbom.lock").unlink)
    (made.repo.root / "mbom.lock").write_bytes(kept)
    answer = ask()
    assert answer.status == 0
    assert answer.model["kinds"] == ["added"]


def test_without_policy_the_named_key_counts_and_nobody_else(made: Product, ask: Callable[..., Answer]) -> None:
    on_main(made, (made.repo.root / "mbom.yaml").unlink)
    made.pin(other_weights, revision=SECOND)
    assert ask().status == 2  # whom do you trust?
    answer = ask("--key", "keys/release.pub")
    assert (answer.status, answer.review["policy"]["source"]) == (0, "none")
    stranger = new_signer(made.work, "stranger.pem")
    assert stranger.public_key.fingerprint
    assert ask("--key", made.work / "stranger.pub").ids() == {"verification-failed"}


def test_a_key_that_comes_with_the_change_is_not_taken(made: Product, ask: Callable[..., Answer]) -> None:
    on_main(made, (made.repo.root / "mbom.yaml").unlink)
    with_strangers_key(made)
    shutil.copyfile(made.work / "stranger.pub", made.repo.root / "keys" / "other.pub")
    answer = ask("--key", "keys/other.pub")
    assert answer.status == 2
    assert "comes with the change" in answer.said
    shutil.copyfile(made.work / "stranger.pub", made.repo.root / "keys" / "release.pub")
    assert ask("--key", "keys/release.pub").ids() == {"verification-failed"}


def test_a_link_of_the_change_does_not_stand_in_for_a_file(made: Product, ask: Callable[..., Answer]) -> None:
    def leave() -> None:
        (made.repo.root / "mbom.yaml").unlink()
        shutil.rmtree(made.repo.root / "keys")

    on_main(made, leave)
    with_strangers_key(made)
    (made.repo.root / "keys").symlink_to(made.work)
    answer = ask("--key", "keys/stranger.pub")
    assert answer.status == 2
    assert "by a link" in answer.said
    (made.work / "mbom.yaml").write_text("version: 1\nrequire: {signature: false}\n", encoding="utf-8")
    assert "by a link" in ask("--policy", "keys/mbom.yaml").said
    (made.repo.root / "keys").unlink()
    (made.repo.root / "mbom.yaml").symlink_to(made.work / "mbom.yaml")
    assert ask("--key", made.work / "stranger.pub").status == 1


@pytest.mark.parametrize("option", ["--policy=shared/mbom.yaml", "--key=shared/release.pub"])
def test_a_submodule_of_the_change_brings_neither_policy_nor_key(
    made: Product, ask: Callable[..., Answer], option: str
) -> None:
    """A change moves the commit of a submodule, and a checkout of the change has what is there."""
    commit = made.repo.git("rev-parse", "HEAD")
    made.repo.git("update-index", "--add", "--cacheinfo", f"160000,{commit},shared")
    made.repo.git("commit", "--quiet", "-m", "Share")
    made.write({"shared/mbom.yaml": "version: 1\nrequire: {signature: false}\n"})
    made.write({"shared/release.pub": (made.repo.root / "keys" / "release.pub").read_text(encoding="utf-8")})
    answer = ask("--base=main", "--head=change", option, base=None)
    assert answer.status == 2
    assert "submodule" in answer.said


def test_the_options_trust_only_where_the_policy_names_nobody(made: Product, ask: Callable[..., Answer]) -> None:
    with_strangers_key(made)
    stranger = made.work / "stranger.pub"
    assert ask("--key", stranger).status == 1
    rewrite(made, '  - {model: "acme/*", key: keys/release.pub}', '  - {model: "other/*", key: keys/release.pub}')
    made.repo.git("switch", "--quiet", "--create", "lenient")
    made.repo.commit()
    assert ask("--base=lenient", "--key", stranger).review["models"] == []  # the same lock file
    assert ask("--base=lenient", "--key", stranger, "--all").status == 0
    assert ask("--base=lenient", "--all").ids() == {"signature-missing"}


# ---- accepted history ----


def test_findings_that_the_model_had_refuse_nothing_unless_asked(made: Product, ask: Callable[..., Answer]) -> None:
    on_main(made, lambda: rewrite(made, "fail_on: warning\n  allow: [licence-text-unknown]", "fail_on: note"))
    made.pin(other_weights, revision=SECOND)
    answer = ask()
    assert answer.status == 0
    old = [item for item in answer.model["decision"]["reasons"] if not item["is_new"] and item["outcome"] == "note"]
    assert {item["id"] for item in old} == {"licence-text-unknown", "template-clock"}
    assert ask("--all").ids() == {"licence-text-unknown", "template-clock"}


def test_a_program_that_was_accepted_stands_for_no_other_one(made: Product, ask: Callable[..., Answer]) -> None:
    def program(text: str) -> Callable[[Path], None]:
        def edit(checkpoint: Path) -> None:
            other_weights(checkpoint)
            (checkpoint / "modeling_tiny.py").write_text(text, encoding="utf-8")

        return edit

    on_main(made, lambda: made.pin(program("print('reviewed')\n"), revision=FIRST))
    made.pin(program("print('reviewed')\n"), revision=SECOND)
    assert ask().status == 0
    made.pin(program("import os; os.system('id')\n"), revision=SECOND)
    answer = ask()
    assert answer.status == 1
    assert answer.ids() == {"code-present"}
    assert [item["is_new"] for item in answer.model["decision"]["reasons"] if item["id"] == "code-present"] == [True]


def test_findings_of_a_first_model_count(made: Product, ask: Callable[..., Answer]) -> None:
    made.lock(made.locked().without(MODEL))
    on_main(made, lambda: rewrite(made, "fail_on: warning\n  allow: [licence-text-unknown]", "fail_on: note"))
    made.pin(as_it_is, revision=FIRST)
    assert ask().ids() == {"licence-text-unknown", "template-clock"}


def test_a_licence_that_was_there_before_still_counts(made: Product, ask: Callable[..., Answer]) -> None:
    on_main(made, lambda: made.pin(narrower_licence, revision=FIRST))

    def both(checkpoint: Path) -> None:
        narrower_licence(checkpoint)
        other_weights(checkpoint)

    made.pin(both, revision=SECOND)
    answer = ask()
    assert answer.ids() == {"licence-not-allowed", "restriction-not-allowed"}
    assert not any(item["is_new"] for item in answer.model["decision"]["reasons"] if item["outcome"] == "refuse")


# ---- without commits ----


def test_two_lock_files_are_compared(made: Product, ask: Callable[..., Answer], tmp_path: Path) -> None:
    before = tmp_path / "before"
    shutil.copytree(made.repo.root, before)
    made.pin(other_weights, revision=SECOND)
    answer = ask(before / "mbom.lock", "mbom.lock", base=None)
    assert answer.status == 0
    assert answer.model["changes"] is not None
    alone = ask("mbom.lock", base=None)
    assert alone.model["kinds"] == ["added"]


def test_two_bundles_and_one_are_judged(made: Product, ask: Callable[..., Answer], tmp_path: Path) -> None:
    before = tmp_path / "before.mbom"
    shutil.copytree(made.repo.root / BUNDLE, before)
    made.pin(other_weights, revision=FIRST)
    answer = ask(before, BUNDLE, base=None)
    assert answer.ids() == {"changed-in-place"}
    alone = ask(BUNDLE, base=None)
    assert (alone.status, alone.model["kinds"]) == (0, ["given"])


def test_a_checkpoint_has_no_signature(ask: Callable[..., Answer]) -> None:
    answer = ask(FIXTURE, "--model", MODEL, base=None)
    assert answer.ids() == {"signature-missing"}


def test_files_at_hand_are_held_against_the_bundle(made: Product, ask: Callable[..., Answer]) -> None:
    made.pin(other_weights, revision=SECOND)
    files = made.work / "checkpoint" / "tiny"
    assert ask("--checkpoint", f"{MODEL}={files}").status == 0
    assert ask("--checkpoint", f"{MODEL}={FIXTURE}").ids() == {"verification-failed"}
    assert any("no model of this name" in note for note in ask("--checkpoint", f"acme/x={files}").review["notes"])


def test_a_summary_says_what_rests_on_the_word_of_the_signer(made: Product, ask: Callable[..., Answer]) -> None:
    made.pin(other_weights, revision=SECOND)
    summary = made.work / "gate.md"
    ask("--markdown", summary)
    assert "are as the signer says: the checkpoint was not at hand." in summary.read_text(encoding="utf-8")
    ask("--markdown", summary, "--checkpoint", f"{MODEL}={made.work / 'checkpoint' / 'tiny'}")
    assert "as the signer says" not in summary.read_text(encoding="utf-8")  # nothing was recorded of its behaviour


def forbidding(made: Product) -> list[str]:
    """Forbid edits of a few weights, make one, and return the options that give both checkpoints."""
    on_main(made, lambda: rewrite(made, "changes:\n", "changes:\n  forbid: [few-weights-edit]\n"))
    made.pin(other_weights, revision=SECOND)
    files = made.work / "checkpoint" / "tiny"
    return [f"--checkpoint={MODEL}={files}", f"--old-checkpoint={MODEL}={FIXTURE}"]


def test_a_forbidden_edit_that_nobody_can_see_is_not_let_in(made: Product, ask: Callable[..., Answer]) -> None:
    new, _ = forbidding(made)
    assert ask(new).ids() == {"changes-unknown"}
    stranger = ask(new, new.replace("--checkpoint", "--old-checkpoint"))
    assert (stranger.status, stranger.review) == (1, {})
    assert "is not the checkpoint that this bundle describes" in stranger.said


@pytest.mark.slow
def test_a_forbidden_edit_is_seen_in_the_weights_of_both(made: Product, ask: Callable[..., Answer]) -> None:
    assert ask(*forbidding(made)).ids() == {"change-forbidden"}


@pytest.mark.slow
def test_a_policy_that_wants_behaviour_to_match_takes_the_files(
    attested: Scene, made: Product, ask: Callable[..., Answer]
) -> None:
    made.write({"mbom.yaml": "version: 1\nrequire: {behaviour: match}\n"})
    key = ["--key", attested.root / "release.pub"]
    assert ask(attested.bundle, *key, base=None).ids() == {"behaviour-missing"}
    given = ["--checkpoint", f"tiny-gpt-oss={attested.checkpoint}", "--behaviour"]
    assert ask(attested.bundle, *key, *given, base=None).status == 0


WRONG = {
    "behaviour of nothing": ["mbom.lock", "--behaviour"],
    "a checkpoint of nothing": ["mbom.lock", "--checkpoint=models"],
    "an old checkpoint without a new one": ["mbom.lock", "--old-checkpoint=x=y"],
    "an old checkpoint of nothing": ["mbom.lock", "--old-checkpoint=models"],
    "nothing": [],
    "three models": ["a.mbom", "b.mbom", "c.mbom"],
    "a lock file and a model": ["mbom.lock", BUNDLE],
    "a head without a base": ["--head=main", BUNDLE],
    "a base and a model": ["--base=main", BUNDLE],
    "a lock file twice": ["mbom.lock", "--lock=mbom.lock"],
    "a lock file outside": ["--base=main", "--lock=/etc/mbom.lock"],
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_usage_is_told(name: str, ask: Callable[..., Answer]) -> None:
    assert ask(*WRONG[name], base=None).status == 2


def test_objects_that_a_partial_clone_lacks_are_no_pass(made: Product, ask: Callable[..., Answer]) -> None:
    made.pin(other_weights, revision=SECOND)
    head = made.repo.commit()
    blob = made.repo.git("rev-parse", f"{head}:{BUNDLE}/bom.cdx.json")
    (made.repo.root / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    answer = ask("--base=main", "--head=change", base=None)
    assert answer.status == 3
    assert answer.model["decision"]["could_not_check"]
