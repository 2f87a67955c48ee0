"""Which known model a model is made from: named where it is shown, and not where it is not."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import shapes
import syntheticrecords as synthetic
from commands import schema
from numpy.typing import NDArray

from mbom.behaviour.record import Record
from mbom.dossier import Dossier
from mbom.errors import ChangedError, FormatError, StorageError, UsageError
from mbom.identify import Identification, identify
from mbom.identify.known import known_bundles
from mbom.inventory import Inventory
from mbom.source import Origin

RECORD = synthetic.moe_record()
SIZE = RECORD.numbers.sketches.size
PARTS = 10


def inventory(*, own: int = 0, seed: str = "0", extra: str = "config.json", parts: int = PARTS) -> Inventory:
    """A model of ``parts`` equal tensors, of which the last ``own`` are its own, and one other file."""
    held = shapes.inventory([(f"layers.{n:02}.weight", "BF16", (100, 50)) for n in range(parts)])
    tensors = tuple(
        replace(tensor, blake3=(seed * 64)[:32] + tensor.blake3[32:]) if index >= parts - own else tensor
        for index, tensor in enumerate(held.tensors)
    )
    files = tuple(replace(file, sha256=(seed * 32 + extra.encode().hex() + "0" * 64)[:64]) for file in held.files)
    return replace(held, tensors=tensors, files=files, origin=Origin(kind="folder", name="model"))


def values(seed: int) -> Record:
    return moved(RECORD, np.random.default_rng(seed).normal(size=SIZE), keep=0.0)


def moved(record: Record, by: NDArray[np.float64], keep: float = 1.0) -> Record:
    sketches = keep * record.numbers.sketches + by
    return replace(record, numbers=replace(record.numbers, sketches=sketches))


def tuned(record: Record, size: float, seed: int = 99) -> Record:
    return moved(record, size * np.random.default_rng(seed).normal(size=SIZE))


def known(label: str, held: Inventory, record: Record | None = None) -> Dossier:
    bound = replace(record, model_digest=held.digest) if record is not None else None
    return Dossier(
        label=label,
        kind="bundle",
        inventory=held,
        document={},
        record=bound,
        bundle_digest=f"{hash(label) % 16:x}" * 64,
    )


def ask(model: Inventory, record: Record | None, *dossiers: Dossier) -> Identification:
    by_path = {Path(dossier.label): dossier for dossier in dossiers}
    bound = replace(record, model_digest=model.digest) if record is not None else None
    found = identify("it", model, bound, tuple(by_path), read=by_path.__getitem__)
    schema("identify").validate(found.to_dict())
    assert found.exit_code == (3 if found.outcome == "not enough evidence" else 0)
    return found


def order(found: Identification) -> list[tuple[str, str]]:
    return [(candidate.label, candidate.outcome) for candidate in found.candidates]


BASE = values(1)
MODEL = inventory(own=PARTS, seed="a")  # holds none of the tensors of others
STRANGERS = [known(f"stranger {n}", inventory(own=PARTS, seed=str(n)), values(100 + n)) for n in range(2, 6)]


def test_the_same_files_are_the_same_model() -> None:
    found = ask(inventory(), None, *STRANGERS, known("base", inventory()))
    assert (found.outcome, found.reason) == ("identical", "base: the same files")
    assert order(found)[0] == ("base", "identical")


def test_the_same_tensors_with_another_file_are_identical_and_come_after_the_same_files() -> None:
    other = known("other card", inventory(extra="README.md"))
    found = ask(inventory(), None, other, known("base", inventory()))
    assert order(found) == [("base", "identical"), ("other card", "identical")]
    assert found.reason == "base: the same files"
    assert ask(inventory(), None, other).reason == "other card: the same tensors; other files differ"


def test_most_of_the_bytes_show_the_base_without_any_record() -> None:
    found = ask(inventory(own=3, seed="a"), None, *STRANGERS, known("base", inventory()))
    assert (found.outcome, found.reason) == ("derived", "base: 70.0% of the bytes are its own")


def test_the_more_bytes_are_equal_the_nearer_it_is() -> None:
    near, far = known("near", inventory(own=2, seed="b")), known("far", inventory(own=4, seed="c"))
    found = ask(inventory(own=1, seed="a"), None, far, near)
    assert order(found) == [("near", "derived"), ("far", "derived")]
    assert found.outcome == "derived"


def test_two_that_hold_as_many_bytes_are_a_tie() -> None:
    one, other = known("one", inventory(own=2, seed="b")), known("other", inventory(own=2, seed="c"))
    found = ask(inventory(own=1, seed="a"), None, one, other)
    assert found.outcome == "not enough evidence"
    assert found.reason.startswith("one and other are both derived, and neither is shown to be nearer")


def test_another_bundle_of_the_same_weights_is_no_rival() -> None:
    one, again = known("one", inventory()), known("again", inventory(extra="README.md"))
    assert ask(inventory(own=2, seed="a"), None, one, again).outcome == "derived"
    sketched = [known("one", inventory(), BASE), known("again", inventory(extra="README.md"), BASE)]
    assert ask(MODEL, tuned(BASE, 0.1), *sketched).outcome == "derived"


def test_trained_values_show_the_base_though_no_byte_is_equal() -> None:
    found = ask(MODEL, tuned(BASE, 0.2), *STRANGERS, known("base", inventory(), BASE))
    assert found.outcome == "derived"
    assert found.reason.startswith("base: 0.0% of the bytes are its own, distance 0.14 ± 0.0")
    assert [outcome for _, outcome in order(found)] == ["derived", *["not shown"] * 4]


def test_values_that_were_trained_far_are_related() -> None:
    found = ask(MODEL, tuned(BASE, 1.5), *STRANGERS, known("base", inventory(), BASE))
    assert found.outcome == "related"
    assert order(found)[0] == ("base", "related")


def test_a_sibling_does_not_hide_the_base() -> None:
    sibling = known("sibling", inventory(own=PARTS, seed="b"), tuned(BASE, 0.2, seed=5))
    found = ask(MODEL, tuned(BASE, 0.2), sibling, known("base", inventory(), BASE), *STRANGERS)
    assert order(found)[:2] == [("base", "derived"), ("sibling", "derived")]
    assert found.outcome == "derived"


def test_two_siblings_without_their_base_are_a_tie() -> None:
    siblings = [known(f"sibling {n}", inventory(own=PARTS, seed=str(n)), tuned(BASE, 0.2, seed=n)) for n in (5, 6)]
    found = ask(MODEL, tuned(BASE, 0.2), *siblings, *STRANGERS)
    assert found.outcome == "not enough evidence"
    assert "are both derived, and neither is shown to be nearer" in found.reason


@pytest.mark.parametrize("seed", range(40))
def test_unrelated_models_are_never_taken_for_the_base(seed: int) -> None:
    found = ask(MODEL, values(1000 + seed), *STRANGERS)
    assert {outcome for _, outcome in order(found)} == {"not shown"}
    assert found.outcome == "not enough evidence"
    assert "no nearer than an unrelated model may be by chance (score " in found.reason


def test_without_a_record_it_says_what_would_help() -> None:
    found = ask(MODEL, None, *STRANGERS, known("base", inventory(), BASE))
    assert found.outcome == "not enough evidence"
    assert "--measure computes one, `mbom measure` writes one for --record" in found.reason
    assert all(candidate.nearness is None for candidate in found.candidates)


def without(record: Record) -> None:
    """No record at all."""
    del record


def renamed(record: Record) -> Record:
    return replace(record, weights=tuple(replace(weight, name=f"x.{weight.name}") for weight in record.weights))


def one_in_common(record: Record) -> Record:
    """All weights are called otherwise but one small matrix."""
    kept = "model.layers.0.attn.weight"
    weights = [replace(weight, name=f"a.{weight.name}") for weight in record.weights if weight.name != kept]
    (same,) = (weight for weight in record.weights if weight.name == kept)
    by_name = dict(zip([weight.name for weight in record.weights], record.sketches(), strict=True))
    sketches = np.concatenate([by_name[weight.name[2:]].ravel() for weight in weights] + [by_name[kept].ravel()])
    return replace(record, weights=(*weights, same), numbers=replace(record.numbers, sketches=sketches))


LITTLE: dict[str, tuple[Callable[[Record], Record | None], str]] = {
    "no known model has a record": (without, "no known model has a behaviour record"),
    "the record answers a challenge": (lambda record: replace(record, challenge="5f"), "that its own can be compared"),
    "no weight has the same name": (renamed, "at most 0.0% of its weights are in a known model"),
    "one weight has the same name": (one_in_common, "% of its weights are in a known model under their names"),
}


@pytest.mark.parametrize("case", LITTLE)
def test_too_little_to_compare_is_not_enough_evidence(case: str) -> None:
    change, sentence = LITTLE[case]
    found = ask(MODEL, tuned(BASE, 0.01), known("base", inventory(), change(BASE)))
    assert found.outcome == "not enough evidence"
    assert sentence in found.reason


def test_what_is_certain_and_small_is_not_enough() -> None:
    """All weights have a part in common with an amplitude of a quarter, such as a mean that training leaves in both."""
    rng = np.random.default_rng(3)
    layers = tuple(weight for weight in synthetic.gpt_oss_120b() if weight.layer is not None)
    record = replace(RECORD, weights=layers)
    size = sum(weight.size for weight in layers)
    common = rng.normal(size=size)
    one, other = (
        replace(record, numbers=replace(record.numbers, sketches=0.25 * common + rng.normal(size=size)))
        for _ in range(2)
    )
    found = ask(MODEL, one, known("base", inventory(), other))
    (candidate,) = found.candidates
    assert candidate.nearness is not None
    assert candidate.nearness.chance < 1e-6
    assert found.outcome == "not enough evidence"
    assert "base is nearer than chance explains, but only by a similarity of 0.058; 0.1 is what" in found.reason


def test_a_few_equal_tensors_are_not_enough() -> None:
    found = ask(inventory(own=6, seed="a"), None, known("base", inventory()))
    assert found.outcome == "not enough evidence"
    assert found.reason.startswith("no known model holds more than 40.0% of its bytes")


def test_no_known_model_is_no_evidence() -> None:
    found = ask(MODEL, None)
    assert (found.outcome, found.candidates) == ("not enough evidence", ())


def test_a_model_without_tensors_is_made_from_nothing() -> None:
    found = ask(inventory(parts=0), None, known("base", inventory()))
    assert found.outcome == "not enough evidence"
    assert found.candidates[0].share == 0.0


def test_a_record_of_other_files_is_refused() -> None:
    with pytest.raises(FormatError, match="it: the record is of model 5a5a"):
        identify("it", MODEL, RECORD, ())


def test_a_bundle_that_changes_between_two_looks_is_refused() -> None:
    looks = iter([known("base", inventory(), BASE), known("another", inventory(), BASE)])

    def read(path: Path) -> Dossier:
        assert path == Path("base")
        return next(looks)

    model = replace(tuned(BASE, 0.1), model_digest=MODEL.digest)
    with pytest.raises(ChangedError, match="changed while it was compared"):
        identify("it", MODEL, model, [Path("base")], read=read)


def test_the_answer_does_not_depend_on_the_order_of_the_bundles() -> None:
    dossiers = [*STRANGERS, known("base", inventory(), BASE), known("sibling", inventory(own=9), tuned(BASE, 0.2, 5))]
    answers = [ask(MODEL, tuned(BASE, 0.2), *held) for held in (dossiers, dossiers[::-1])]
    assert answers[0] == answers[1]


# ---- which bundles are meant ----


def bundles(folder: Path, *names: str) -> Sequence[Path]:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "inventory.json").write_bytes(b"{}")
    return [folder / name for name in names]


def test_a_folder_stands_for_the_bundles_in_it(tmp_path: Path) -> None:
    first, second = bundles(tmp_path, "a.mbom", "b.mbom")
    (tmp_path / "notes").mkdir()
    (tmp_path / "README.md").write_text("none")
    packed = Path(shutil.make_archive(str(tmp_path / "c"), "zip", first))
    assert known_bundles([tmp_path]) == (first, second, packed)
    assert known_bundles([second, tmp_path, first]) == (second, first, packed)


def test_a_folder_without_bundles_is_not_taken_for_an_answer(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither a bundle nor a folder that holds one"):
        known_bundles([tmp_path])
    with pytest.raises(StorageError, match="No such file"):
        known_bundles([tmp_path / "nowhere"])


def test_endless_bundles_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mbom.identify.known.KNOWN_LIMIT", 2)
    held = bundles(tmp_path, "a.mbom", "b.mbom")
    assert known_bundles([tmp_path, *held]) == tuple(held)
    bundles(tmp_path, "c.mbom")
    with pytest.raises(UsageError, match="more than 2 bundles"):
        known_bundles([tmp_path])


def test_the_schema_refuses_what_is_none() -> None:
    told = ask(MODEL, None, *STRANGERS).to_dict()
    told["outcome"] = "safe"
    with pytest.raises(jsonschema.ValidationError):
        schema("identify").validate(told)


def test_of_two_that_hardly_differ_the_one_with_every_value_is_the_base() -> None:
    by = np.zeros(SIZE)
    by[:2] = 1.0
    rival = known("rival", inventory(own=PARTS, seed="c"), moved(BASE, by))
    base = known("base", inventory(own=PARTS, seed="b"), BASE)
    assert ask(MODEL, tuned(BASE, 1e-4), rival, base).outcome == "not enough evidence"
    found = ask(MODEL, BASE, rival, base)
    assert (found.outcome, order(found)[0]) == ("derived", ("base", "derived"))
    assert ask(MODEL, BASE, base, known("twin", inventory(own=PARTS, seed="d"), BASE)).outcome == "not enough evidence"
