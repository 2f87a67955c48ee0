"""What every key of a policy decides: allowed, refused, or refused because it is not known."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import policies
import pytest
from policies import (
    ENCODED,
    MOVED,
    TRADED,
    UNREAD,
    answers,
    changes,
    checked,
    of,
    policy,
    published,
    tiny,
    weights,
    with_findings,
)

from mbom.behaviour.record import Record
from mbom.bom.description import DetectedLicence
from mbom.diff.changes import (
    Explanation,
    ExplanationOutcome,
    FieldChange,
    FileChange,
    Files,
    FileStatus,
    TemplateChange,
    TokenizerChange,
)
from mbom.dossier import Dossier
from mbom.policy import Case, Decision
from mbom.policy.keys import KEYS

Row = tuple[str, Callable[[], Case], set[tuple[str, str]]]


def upgrade(**others: object) -> Case:
    """Return the case of the fixture in place of a model before it."""
    return of(tiny(), previous=tiny(), changes=changes(**others))


IDENTITY = "{model: '*', identity: a@b.example, issuer: 'https://b.example'}"


def explained(kind: str, outcome: ExplanationOutcome = "explained") -> Explanation:
    return Explanation(id=kind, outcome=outcome, sentence="so it is", weights=1, names=("w",), residual=None)


def file_change(role: str, status: FileStatus = "changed") -> FileChange:
    return FileChange(
        status=status, name=f"{role}.json", old_name=None, role=role, old_sha256="0" * 64, new_sha256="1" * 64,
        old_size=1, new_size=1,
    )  # fmt: skip


def field(section: str) -> FieldChange:
    return FieldChange(section=section, name="thing", old="a", new="b")


def scout() -> Case:
    return of(published("llama-4-scout"))


def test_a_change_that_is_no_number_is_the_largest_wherever_it_stands() -> None:
    held = weights(0.1)
    (layer,) = held.by_layer
    nan = replace(layer, layer=4, relative=float("nan"))
    for layers in ((layer, nan), (nan, layer)):
        case = upgrade(tensors=MOVED, weights=replace(held, by_layer=layers))
        assert {item.id for item in policy("changes: {max_relative_change: 0.2}").decide(case).reasons} >= {
            "change-too-large"
        }


def test_the_bound_of_an_estimate_is_what_is_held_against_the_limit() -> None:
    case = upgrade(tensors=MOVED, weights=weights(0.0854, error=0.047))
    (found,) = (
        item
        for item in policy("changes: {max_relative_change: 0.1}").decide(case).reasons
        if item.id == "change-too-large"
    )
    assert found.sentence == (
        "layer 3 changed by 0.0854 ± 0.047, so at most by 0.132, of its norm; at most 0.1 is allowed"
    )


def folder() -> Case:
    return of(tiny())


def with_licences(**others: object) -> Case:
    """Return the fixture with other licences in its description."""
    held = replace(tiny())
    held.__dict__["described"] = replace(tiny().described, **others)  # type: ignore[arg-type]
    return of(held)


def altered(match: str) -> Case:
    text = DetectedLicence(id="MIT", key="mit", match=match, file="LICENSE", sha256="0" * 64)
    return with_licences(licences_declared=("MIT",), licences_detected=(text,), licence_texts_unknown=())


def named(*declared: str) -> Case:
    return with_licences(licences_declared=declared, licences_detected=(), licence_texts_unknown=(), restrictions=())


REFUSED, MISSING = "refuse", "missing"
UNLISTED = (MISSING, "licence-unknown")

TABLE: dict[str, list[Row]] = {
    "require.signature": [
        ("", folder, set()),
        ("", lambda: of(tiny(), signer=None, verdict=None), {(MISSING, "signature-missing")}),
        ("", lambda: of(tiny(), signer=None), {(MISSING, "signature-missing")}),
        ("", lambda: of(tiny(), verdict=checked(signature="SKIP")), {(MISSING, "signature-missing")}),
        ("require: {signature: false}", lambda: of(tiny(), signer=None, verdict=None), set()),
        ("require: {signature: false}", lambda: of(tiny(), verdict=checked(bom="FAIL")),
         {(REFUSED, "verification-failed")}),
    ],
    "require.transparency_log": [
        ("require: {transparency_log: true}", lambda: of(tiny(), logged=True), set()),
        ("require: {transparency_log: true}", lambda: of(tiny(), logged=False), {(MISSING, "log-entry-missing")}),
        ("require: {transparency_log: true}", folder, {(MISSING, "log-entry-missing")}),
        (f"require: {{transparency_log: true}}\nsigners: [{IDENTITY}]", folder, set()),
        (f"require: {{transparency_log: true}}\nsigners: [{IDENTITY}, {{model: '*', key: release.pub}}]", folder,
         {(MISSING, "log-entry-missing")}),
    ],
    "require.timestamp": [
        ("require: {timestamp: true}", lambda: of(tiny(), stamped=True), set()),
        ("require: {timestamp: true}", folder, {(MISSING, "timestamp-missing")}),
        ("require: {timestamp: true}\nsigners: [{model: '*', key: release.pub, timestamp_authority: tsa.pem}]",
         folder, set()),
    ],
    "require.behaviour": [
        ("require: {behaviour: recorded}", folder, set()),
        ("require: {behaviour: recorded}", lambda: of(published("gpt-oss-120b")), {(MISSING, "behaviour-missing")}),
        ("require: {behaviour: match}", folder, {(MISSING, "behaviour-missing")}),
        ("require: {behaviour: match}", lambda: of(tiny(), verdict=checked(behaviour="PASS")), set()),
        ("require: {behaviour: match}", lambda: of(tiny(), verdict=checked(behaviour="FAIL")),
         {(REFUSED, "verification-failed")}),
    ],
    "require.expert_coverage": [
        ("require: {expert_coverage: 1}", folder, set()),
        ("require: {expert_coverage: 1}", lambda: of(coverage(experts_reached=31)), {(REFUSED, "coverage-too-low")}),
        ("require: {expert_coverage: 1}", lambda: of(coverage(experts=0, experts_reached=0)),
         {(MISSING, "behaviour-missing")}),
        ("require: {expert_coverage: 1}", lambda: of(dense(coverage(experts=0, experts_reached=0))), set()),
        ("require: {expert_coverage: 0.1}", scout, {(MISSING, "behaviour-missing")}),
    ],
    "require.vocabulary_coverage": [
        ("require: {vocabulary_coverage: 0.0001}", folder, set()),
        ("require: {vocabulary_coverage: 1.0}", folder, {(REFUSED, "coverage-too-low")}),
        ("require: {vocabulary_coverage: 0.1}", lambda: of(coverage(vocabulary=0, vocabulary_reached=0)),
         {(MISSING, "behaviour-missing")}),
    ],
    "require.sensitivity.trials": [
        ("require: {sensitivity: {trials: 20}}", folder, set()),
        ("require: {sensitivity: {trials: 21}}", folder, {(REFUSED, "sensitivity-too-low")}),
    ],
    "require.sensitivity.factor": [
        ("require: {sensitivity: {factor: 1e3}}", folder, set()),
        ("require: {sensitivity: {factor: 1e12}}", folder, {(REFUSED, "sensitivity-too-low")}),
        ("require: {sensitivity: {factor: 1}}", lambda: of(replace(tiny(), record=untried())),
         {(REFUSED, "sensitivity-too-low")}),
    ],
    "require.attestation_max_age": [
        ("require: {attestation_max_age: 20d}", folder, set()),
        ("require: {attestation_max_age: 19d}", folder, {(REFUSED, "attestation-too-old")}),
        ("require: {attestation_max_age: 20d}",
         lambda: of(tiny(), seen=policies.NOW.replace(month=1)), {(REFUSED, "attestation-too-old")}),
        ("require: {attestation_max_age: 20d}", lambda: of(tiny(), now=policies.NOW.replace(month=1)),
         {(MISSING, "age-unknown")}),
        ("require: {attestation_max_age: 20d}", lambda: of(replace(tiny(), attestation=None)),
         {(MISSING, "age-unknown")}),
    ],
    "licences.allow": [
        ("licences: {allow: [apache-2.0]}", folder,
         {(MISSING, "licence-unknown")}),
        ("licences: {allow: [apache-2.0], unknown: allow}", folder, set()),
        ("licences: {allow: [MIT], unknown: allow}", folder, {(REFUSED, "licence-not-allowed")}),
        ("licences: {allow: [], unknown: allow}", folder, {(REFUSED, "licence-not-allowed")}),
        ("licences: {allow: [MIT]}", lambda: altered("exact"), set()),
        ("licences: {allow: [MIT]}", lambda: named("MIT OR GPL-3.0-only"), set()),
        ("licences: {allow: [MIT]}", lambda: named("mit AND GPL-3.0-only"), {(REFUSED, "licence-not-allowed")}),
        ("licences: {allow: [GPL-2.0-only]}", lambda: named("GPL-2.0-only WITH Classpath-exception-2.0"), set()),
        ("licences: {allow: [GPL-2.0-only WITH Classpath-exception-2.0]}", lambda: named("GPL-2.0-only"),
         {(REFUSED, "licence-not-allowed")}),
        ("licences: {allow: [MIT]}", lambda: named("MIT", "house terms"), {(REFUSED, "licence-not-allowed")}),
        ("licences: {allow: [MIT]}", lambda: named("MIT OR ((("), {(REFUSED, "licence-not-allowed")}),
        ("licences: {allow: [MIT]}", lambda: of(published("deepseek-v3")), {(MISSING, "licence-unknown")}),
    ],
    "licences.deny": [
        ("licences: {deny: [MIT], unknown: allow}", folder, set()),
        ("licences: {deny: [APACHE-2.0], unknown: allow}", folder, {(REFUSED, "licence-not-allowed")}),
        ("licences: {deny: [GPL-2.0-only]}", lambda: named("GPL-2.0-only WITH Classpath-exception-2.0"),
         {(REFUSED, "licence-not-allowed")}),
        ("licences: {deny: [MIT]}", lambda: named("MIT OR Apache-2.0"), set()),
        ("licences: {deny: [MIT]}", lambda: named("MIT AND ((("), {(REFUSED, "licence-not-allowed"), UNLISTED}),
        ("licences: {deny: [MIT]}", lambda: named("house terms"), {UNLISTED}),
        ("licences: {deny: [MIT]}", lambda: named("Zlib OR house-terms"), {UNLISTED}),
        ("licences: {deny: [MIT], unknown: allow}", lambda: named("house terms"), set()),
        ("licences: {deny: [], forbid_restrictions: []}", lambda: named("house terms"), set()),
        ("licences: {allow_restrictions: []}", lambda: named("house terms"), {UNLISTED}),
    ],
    "licences.allow_restrictions": [
        ("licences: {allow_restrictions: [attribution, patent-termination], unknown: allow}", folder, set()),
        ("licences: {allow_restrictions: [attribution], unknown: allow}", folder,
         {(REFUSED, "restriction-not-allowed")}),
    ],
    "licences.forbid_restrictions": [
        ("licences: {forbid_restrictions: [user-cap, geographic-exclusion], unknown: allow}", folder, set()),
        ("licences: {forbid_restrictions: [user-cap, geographic-exclusion]}", scout,
         {(REFUSED, "restriction-not-allowed")}),
        ("licences: {forbid_restrictions: [user-cap]}", lambda: named("BSD-4-Clause-Shortened"),
         {(MISSING, "licence-unknown")}),
        ("licences: {allow: [BSD-4-Clause-Shortened], forbid_restrictions: [user-cap]}",
         lambda: named("BSD-4-Clause-Shortened"), set()),
    ],
    "licences.require_text": [
        ("licences: {require_text: true}", folder, set()),
        ("licences: {require_text: true}", scout, {(MISSING, "licence-text-missing")}),
        ("licences: {require_text: true}", lambda: altered("altered"), {(MISSING, "licence-text-missing")}),
    ],
    "licences.unknown": [
        ("licences: {allow: [Apache-2.0]}", folder, {(MISSING, "licence-unknown")}),
        ("licences: {allow: [MIT]}", lambda: altered("altered"), {(MISSING, "licence-unknown")}),
        ("licences: {allow: [MIT]}", lambda: altered("added"), {(MISSING, "licence-unknown")}),
        ("licences: {allow: [MIT], unknown: allow}", lambda: altered("added"), set()),
        ("", named, set()),
    ],
    "licences.disagreement": [
        ("licences: {allow: [Apache-2.0], unknown: allow}",
         lambda: of(with_findings(tiny(), ("licence-disagrees", "LICENSE"))), {(REFUSED, "licence-disagreement")}),
        ("licences: {allow: [Apache-2.0], unknown: allow, disagreement: allow}",
         lambda: of(with_findings(tiny(), ("licence-disagrees", "LICENSE"))), set()),
    ],
    "origins.allow_countries": [
        ("origins: {allow_countries: [US]}", scout, set()),
        ("origins: {allow_countries: [US, NO]}", lambda: of(published("deepseek-v3")),
         {(REFUSED, "country-not-allowed")}),
        ("origins: {allow_countries: [US]}", folder, {(MISSING, "country-unknown")}),
        ("origins: {allow_countries: []}", scout, {(REFUSED, "country-not-allowed")}),
    ],
    "origins.deny_countries": [
        ("origins: {deny_countries: [CN]}", scout, set()),
        ("origins: {deny_countries: [CN]}", lambda: of(published("deepseek-v3")), {(REFUSED, "country-not-allowed")}),
        ("origins: {deny_countries: []}", folder, set()),
    ],
    "origins.allow_publishers": [
        ("origins: {allow_publishers: [Meta-Llama]}", scout, set()),
        ("origins: {allow_publishers: [openai]}", scout, {(REFUSED, "publisher-not-allowed")}),
        ("origins: {allow_publishers: [openai]}", folder, {(MISSING, "publisher-unknown")}),
    ],
    "origins.deny_publishers": [
        ("origins: {deny_publishers: [META-LLAMA]}", scout, {(REFUSED, "publisher-not-allowed")}),
        ("origins: {deny_publishers: [openai]}", scout, set()),
    ],
    "origins.unknown": [
        ("origins: {allow_countries: [US], allow_publishers: [x], unknown: allow}", folder, set()),
    ],
    "min_openness": [
        ("min_openness: class-iii", folder, {(REFUSED, "openness-too-low")}),
        ("min_openness: class-iii", lambda: with_licences(openness="Class II"), set()),
        ("min_openness: class-ii", lambda: with_licences(openness="Class II"), set()),
        ("min_openness: class-i", lambda: with_licences(openness="Class II"), {(REFUSED, "openness-too-low")}),
        ("min_openness: class-iii", lambda: with_licences(openness=None), {(MISSING, "openness-unknown")}),
        ("min_openness: class-iii", lambda: with_licences(openness="Class IV"), {(MISSING, "openness-unknown")}),
    ],
    "max_age": [
        ("max_age: 306d", scout, set()),
        ("max_age: 304d", scout, {(REFUSED, "model-too-old")}),
        ("max_age: 304d", folder, {(MISSING, "age-unknown")}),
    ],
    "findings.fail_on": [
        ("", lambda: of(with_findings(tiny(), ("code-present", "a.py"))), set()),
        ("", lambda: of(with_findings(tiny(), ("lfs-pointer", "a"))), {(REFUSED, "lfs-pointer")}),
        ("findings: {fail_on: warning}", lambda: of(with_findings(tiny(), ("code-present", "a.py"))),
         {(REFUSED, "code-present")}),
        ("findings: {fail_on: warning}", lambda: of(played_down(with_findings(tiny(), ("code-present", "a.py")))),
         {(REFUSED, "code-present")}),
        ("findings: {fail_on: note}", folder, {(REFUSED, "licence-text-unknown"), (REFUSED, "template-clock")}),
        ("findings: {fail_on: none}", lambda: of(with_findings(tiny(), ("lfs-pointer", "a"))), set()),
    ],
    "findings.allow": [
        ("findings: {allow: [lfs-pointer]}", lambda: of(with_findings(tiny(), ("lfs-pointer", "a"))), set()),
        ("findings: {allow: [lfs-pointer], forbid: [lfs-pointer]}",
         lambda: of(with_findings(tiny(), ("lfs-pointer", "a"))), {(REFUSED, "lfs-pointer")}),
    ],
    "findings.forbid": [
        ("findings: {forbid: [template-clock]}", folder, {(REFUSED, "template-clock")}),
        ("findings: {forbid: [template-chance], fail_on: none}", folder, set()),
    ],
    "formats.dtypes": [
        ("formats: {dtypes: [BF16, U8]}", folder, set()),
        ("formats: {dtypes: [BF16]}", folder, {(REFUSED, "dtype-not-allowed")}),
    ],
    "formats.quantisation": [
        ("formats: {quantisation: [mxfp4]}", folder, set()),
        ("formats: {quantisation: [none]}", folder, {(REFUSED, "quantisation-not-allowed")}),
        ("formats: {quantisation: [none]}", scout, set()),
        (
            "formats: {quantisation: [none]}",
            lambda: with_licences(model_type=None, properties={}),
            {(MISSING, "quantisation-unknown")},
        ),
    ],
    "formats.pickles": [
        ("formats: {pickles: refuse}", folder, set()),
        ("formats: {pickles: refuse}", lambda: of(with_findings(tiny(), ("pickle-present", "a.bin"))),
         {(REFUSED, "pickle-not-allowed")}),
        ("", lambda: of(with_findings(tiny(), ("pickle-present", "a.bin"))), set()),
    ],
    "formats.code": [
        ("formats: {code: refuse}", folder, set()),
        ("formats: {code: refuse}", lambda: of(with_findings(tiny(), ("code-present", "a.py"))),
         {(REFUSED, "custom-code")}),
        ("formats: {code: refuse}", lambda: of(with_file("modeling.py", "code")), {(REFUSED, "custom-code")}),
        ("formats: {code: refuse}", lambda: of(with_file("modeling.py", "other")), {(REFUSED, "custom-code")}),
    ],
    "formats.executable": [
        ("formats: {executable: refuse}", lambda: of(with_findings(tiny(), ("executable-format", "a.onnx"))),
         {(REFUSED, "executable-not-allowed")}),
        ("formats: {executable: refuse}", folder, set()),
    ],
    "changes.frozen": [
        ("changes: {frozen: [tokenizer]}", folder, set()),
        ("changes: {frozen: [tokenizer]}", upgrade, set()),
        ("changes: {frozen: [tokenizer]}", lambda: of(tiny(), previous=tiny()), {(MISSING, "changes-unknown")}),
        ("changes: {frozen: [tokenizer]}", lambda: upgrade(fields=(field("tokenizer"),)),
         {(REFUSED, "frozen-part-changed")}),
        ("changes: {frozen: [tokenizer]}", lambda: upgrade(fields=(field("config"),)), set()),
        ("changes: {frozen: [tokenizer]}",
         lambda: upgrade(tokenizer=TokenizerChange(added=0, moved=1, removed=0, listed=())),
         {(REFUSED, "frozen-part-changed")}),
        ("changes: {frozen: [tokenizer]}", lambda: upgrade(files=files("tokenizer")),
         {(REFUSED, "frozen-part-changed")}),
        ("changes: {frozen: [tokenizer]}", lambda: upgrade(files=files("tokenizer", "renamed")), set()),
        ("changes: {frozen: [chat-template]}", lambda: upgrade(
            templates=(TemplateChange(name="default", old_sha256="0", new_sha256="1", lines=None),)),
         {(REFUSED, "frozen-part-changed")}),
        ("changes: {frozen: [code]}", lambda: upgrade(files=files("code", "added")),
         {(REFUSED, "frozen-part-changed")}),
        ("changes: {frozen: [weights]}", lambda: upgrade(tensors=MOVED), {(REFUSED, "frozen-part-changed")}),
        ("changes: {frozen: [weights]}", lambda: upgrade(tensors=TRADED), {(REFUSED, "frozen-part-changed")}),
        ("changes: {frozen: [weights]}", lambda: upgrade(files=stored()), {(REFUSED, "frozen-part-changed")}),
        ("changes: {frozen: [weights]}", lambda: upgrade(files=stored("model.safetensors")), set()),
        ("changes: {frozen: [weights]}", lambda: upgrade(files=stored("model.safetensors"), tensors=UNREAD),
         {(REFUSED, "frozen-part-changed")}),
        ("changes: {frozen: [tokenizer]}", lambda: upgrade(files=stored("model.gguf")),
         {(MISSING, "changes-unknown")}),
        ("changes: {frozen: [tokenizer]}", lambda: upgrade(files=stored()), set()),
        ("changes: {frozen: [weights]}", lambda: upgrade(files=stored(role="other")),
         {(REFUSED, "frozen-part-changed")}),
        ("changes: {frozen: [tokenizer]}", lambda: upgrade(files=stored("tokenizer.json", role="other")),
         {(REFUSED, "frozen-part-changed")}),
        ("changes: {frozen: [weights]}", upgrade, set()),
        *(
            (f"changes: {{frozen: [{section}]}}", lambda section=section: upgrade(fields=(field(section),)),
             {(REFUSED, "frozen-part-changed")})
            for section in ("identity", "config", "generation", "architecture", "parameters", "quantisation",
                            "licence", "restrictions", "lineage", "origin", "openness")
        ),
    ],
    "changes.forbid": [
        ("changes: {forbid: [few-weights-edit]}",
         lambda: upgrade(explanations=(explained("few-weights-edit", "consistent"),)), {(REFUSED, "change-forbidden")}),
        ("changes: {forbid: [few-weights-edit]}",
         lambda: upgrade(tensors=MOVED, weights=weights(0.1), explanations=(explained("lora-merge"),)), set()),
        ("changes: {forbid: [few-weights-edit]}", lambda: upgrade(tensors=MOVED), {(MISSING, "changes-unknown")}),
        ("changes: {forbid: [few-weights-edit]}", lambda: upgrade(tensors=TRADED), {(MISSING, "changes-unknown")}),
        ("changes: {forbid: [few-weights-edit]}", lambda: upgrade(tensors=MOVED, weights=weights(0.1, error=0.01)),
         {(MISSING, "changes-unknown")}),
        ("changes: {forbid: [few-weights-edit]}", lambda: upgrade(tensors=ENCODED), set()),
        ("changes: {forbid: [lora-merge, re-encoding]}", lambda: upgrade(tensors=ENCODED),
         {(MISSING, "changes-unknown")}),
        ("changes: {forbid: [few-weights-edit]}",
         lambda: upgrade(files=stored(), weights=weights(0.1)), {(MISSING, "changes-unknown")}),
        ("changes: {forbid: [few-weights-edit]}", upgrade, set()),
    ],
    "changes.max_relative_change": [
        ("changes: {max_relative_change: 0.2}", lambda: upgrade(tensors=MOVED, weights=weights(0.2)), set()),
        ("changes: {max_relative_change: 0.2}", lambda: upgrade(tensors=MOVED, weights=weights(0.201)),
         {(REFUSED, "change-too-large")}),
        ("changes: {max_relative_change: 0.2}", lambda: upgrade(tensors=MOVED, weights=weights(0.19, error=0.02)),
         {(REFUSED, "change-too-large")}),
        ("changes: {max_relative_change: 0.2}", lambda: upgrade(tensors=MOVED, weights=weights(float("nan"))),
         {(REFUSED, "change-too-large")}),
        ("changes: {max_relative_change: 0.2}",
         lambda: upgrade(tensors=MOVED, weights=weights(0.1, only_new=("extra",))), {(MISSING, "changes-unknown")}),
        ("changes: {max_relative_change: 0.2}", lambda: upgrade(tensors=MOVED), {(MISSING, "changes-unknown")}),
        ("changes: {max_relative_change: 0.2}", lambda: upgrade(files=stored(), weights=weights(0.1)),
         {(MISSING, "changes-unknown")}),
        ("changes: {max_relative_change: 0}", upgrade, set()),
    ],
    "changes.require_explained": [
        ("changes: {require_explained: true}", upgrade, set()),
        ("changes: {require_explained: true}", lambda: upgrade(tensors=MOVED), {(REFUSED, "change-unexplained")}),
        ("changes: {require_explained: true}",
         lambda: upgrade(tensors=MOVED, explanations=(explained("lora-merge", "consistent"),)),
         {(REFUSED, "change-unexplained")}),
        ("changes: {require_explained: true}",
         lambda: upgrade(tensors=MOVED, explanations=(explained("quantisation"),)), set()),
        ("changes: {require_explained: true}",
         lambda: upgrade(tensors=MOVED, files=stored(), explanations=(explained("quantisation"),)),
         {(REFUSED, "change-unexplained")}),
    ],
    "changes.unknown": [
        ("changes: {forbid: [few-weights-edit], unknown: allow}",
         lambda: upgrade(tensors=MOVED, weights=weights(0.1, error=0.01)), set()),
        ("changes: {forbid: [few-weights-edit], unknown: allow}",
         lambda: upgrade(explanations=(explained("few-weights-edit"),)), {(REFUSED, "change-forbidden")}),
        ("changes: {forbid: [few-weights-edit], unknown: refuse}",
         lambda: upgrade(tensors=MOVED, weights=weights(0.1, error=0.01)), {(MISSING, "changes-unknown")}),
    ],
    "changes.max_kl": [
        ("changes: {max_kl: 0.1}", lambda: upgrade(behaviour=answers(0.1, 1)), set()),
        ("changes: {max_kl: 0.1}", lambda: upgrade(behaviour=answers(0.2, 1)), {(REFUSED, "answers-changed")}),
        ("changes: {max_kl: 0.1}", upgrade, {(MISSING, "changes-unknown")}),
        ("changes: {max_kl: 0.1}", lambda: upgrade(new=policies.side("a" * 64)), set()),
    ],
    "changes.min_top1_agreement": [
        ("changes: {min_top1_agreement: 0.9}", lambda: upgrade(behaviour=answers(1, 0.9)), set()),
        ("changes: {min_top1_agreement: 0.9}", lambda: upgrade(behaviour=answers(0, 0.89)),
         {(REFUSED, "answers-changed")}),
    ],
}  # fmt: skip


def coverage(**others: Any) -> Dossier:
    record = tiny().record
    assert record is not None
    return replace(tiny(), record=replace(record, coverage=replace(record.coverage, **others)))


def dense(held: Dossier) -> Dossier:
    """Return a model whose BOM speaks of no experts."""
    return replace(held, document=json.loads(json.dumps(held.document).replace("architecture:experts", "other:thing")))


def untried() -> Record:
    record = tiny().record
    assert record is not None
    return replace(record, sensitivity=())


def with_file(name: str, role: str) -> Dossier:
    held = tiny().inventory
    return replace(tiny(), inventory=replace(held, files=(*held.files, replace(held.files[0], name=name, role=role))))


def files(role: str, status: FileStatus = "changed") -> Files:
    return Files(identical=1, changes=(file_change(role, status),))


def stored(name: str = "pytorch_model.bin", role: str = "weights") -> Files:
    return Files(identical=1, changes=(replace(file_change(role), name=name),))


def played_down(held: Dossier) -> Dossier:
    """Return a model whose attester calls every finding a note."""
    findings = tuple(replace(found, severity="note") for found in held.inventory.findings)
    return replace(held, inventory=replace(held.inventory, findings=findings))


def refusals(decision: Decision) -> set[tuple[str, str]]:
    return {(reason.outcome, reason.id) for reason in decision.reasons if reason.refuses}


ROWS = [(key, number, *row) for key, rows in TABLE.items() for number, row in enumerate(rows)]


@pytest.mark.parametrize(("key", "number", "text", "case", "expected"), ROWS, ids=[f"{r[0]}-{r[1]}" for r in ROWS])
def test_a_key_decides_as_expected(
    key: str, number: int, text: str, case: Callable[[], Case], expected: set[tuple[str, str]]
) -> None:
    del key, number
    decision = policy(text).decide(case())
    assert refusals(decision) == expected
    assert decision.outcome == ("refused" if expected else "allowed")
    final = {"verification-failed"}
    assert all(reason.place is not None for reason in decision.reasons if reason.id not in final)


def test_every_key_has_rows_that_allow_and_rows_that_refuse() -> None:
    assert TABLE.keys() == KEYS.keys()
    one_way = {"origins.unknown"}
    for key, rows in TABLE.items():
        assert any(not expected for *_, expected in rows), key
        assert key in one_way or any(expected for *_, expected in rows), key


def test_the_shortest_policy_allows_what_is_signed_and_has_no_error() -> None:
    assert policy().decide(folder()).outcome == "allowed"
    assert policy().decide(of(published("deepseek-r1"))).outcome == "allowed"


def test_what_was_asked_and_not_checked_leaves_the_decision_open() -> None:
    decision = policy().decide(of(tiny(), verdict=checked(files="SKIP")))
    assert decision.outcome == "incomplete"
    assert decision.could_not_check == "files: as it was found"


def test_sentences_name_what_was_found_and_what_is_allowed() -> None:
    text = "licences: {forbid_restrictions: [user-cap, geographic-exclusion]}"
    told = [reason.sentence for reason in policy(text).decide(scout()).reasons]
    assert any(sentence.startswith("user-cap 700000000 (monthly active users") for sentence in told)
    assert any(sentence.startswith("geographic-exclusion EU (") for sentence in told)
    (reason,) = policy("origins: {allow_countries: [US, FR]}").decide(of(published("deepseek-v3"))).reasons
    assert reason.sentence == "the publisher's seat is in CN; allowed are US, FR"
    assert reason.place is not None
    assert reason.place.line == 2


def test_what_the_model_before_had_as_well_is_not_new() -> None:
    old = with_findings(tiny(), ("code-present", "a.py"))
    new = with_findings(tiny(), ("code-present", "a.py"), ("code-present", "b.py"))
    decision = policy("findings: {forbid: [code-present]}").decide(of(new, previous=old, changes=changes()))
    assert [(reason.path, reason.is_new) for reason in decision.reasons] == [("a.py", False), ("b.py", True)]


def test_many_findings_of_one_id_are_counted_and_never_dropped() -> None:
    held = with_findings(tiny(), *(("lfs-pointer", f"{number:03}") for number in range(200)))
    reasons = policy().decide(of(held)).reasons
    assert len(reasons) == 51
    assert reasons[-1].sentence == "150 further files have the same"
    assert reasons[-1].refuses


# ---- overrides ----

LAYERED = """
licences: {allow: [MIT], unknown: allow}
models:
  openai/gpt-oss-120b: {licences: {allow: [Apache-2.0]}}
  "*": {licences: {allow: [BSD-3-Clause]}, findings: {fail_on: note}}
  openai/*: {licences: {allow: [ISC]}}
"""


def test_the_most_specific_override_counts_last_and_replaces_key_by_key() -> None:
    held = policy(LAYERED)
    assert held.settings("openai/gpt-oss-120b").words("licences.allow") == ("Apache-2.0",)
    assert held.settings("openai/other").words("licences.allow") == ("ISC",)
    assert held.settings("other/model").words("licences.allow") == ("BSD-3-Clause",)
    assert held.settings("openai/other").word("findings.fail_on") == "note"
    assert held.settings("openai/other").word("licences.unknown") == "allow"
    assert held.settings("openai/other").given["licences.allow"].pattern == "openai/*"
    assert [item.pattern for item in held.overriding("openai/gpt-oss-120b")] == [
        "*", "openai/*", "openai/gpt-oss-120b"
    ]  # fmt: skip


def test_another_name_for_a_model_does_not_lead_past_an_override() -> None:
    held = policy("models: {deepseek-ai/*: {origins: {deny_countries: [CN]}}}")
    for name in ("our-model", "DeepSeek-AI/DeepSeek-V3"):
        decision = held.decide(of(published("deepseek-v3"), model=name))
        assert refusals(decision) == {("refuse", "country-not-allowed")}


def test_whether_changes_count_is_known_before_anything_is_compared() -> None:
    held = policy("models: {a/*: {changes: {frozen: [tokenizer]}}}")
    assert held.limits_changes("a/b")
    assert not held.limits_changes("b/b")
    assert not policy("changes: {frozen: [], require_explained: false}").limits_changes("b/b")
    assert policy("changes: {max_kl: 0}").limits_changes("b/b")
