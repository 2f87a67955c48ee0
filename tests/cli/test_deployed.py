"""``--deployed`` as a user gives it: one line, one member of the record, figures in the BOM."""

import json
from pathlib import Path

import pytest
from attesting import FIXTURE
from commands import mbom, schema

from mbom import cli


def test_attest_says_how_far_an_ordinary_run_is(tmp_path: Path) -> None:
    bundle = tmp_path / "tiny.mbom"
    run = mbom(
        "attest", FIXTURE, "-o", bundle, "--unsigned", "--deployed", "bfloat16", "--device", "cpu", home=tmp_path
    )
    assert run.returncode == 0, run.stderr
    (line,) = (line for line in run.stderr.splitlines() if line.startswith("  deployed"))
    assert line.startswith("  deployed   bfloat16 on cpu: KL ")
    document = json.loads((bundle / "behaviour.json").read_bytes())
    schema("behaviour").validate(document)
    told = document["deployed"]
    assert (told["dtype"], told["device"], told["reason"]) == ("bfloat16", "cpu", None)
    # A trained checkpoint in its publisher's own type: near, and not the record itself.
    assert 0 < told["distance"]["kl_mean"] < 1e-2
    assert 0.9 < told["distance"]["top1_agreement"] <= 1
    card = json.loads((bundle / "bom.cdx.json").read_bytes())["components"][0]["modelCard"]
    figures = {metric["type"]: metric["value"] for metric in card["quantitativeAnalysis"]["performanceMetrics"]}
    for name, value in told["distance"].items():
        assert figures[f"mbom:behaviour:deployed:bfloat16:{name.replace('_', '-')}"] == f"{value:.3g}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["attest", "x", "--deployed", "int8"], "--deployed"),
        (["measure", "x", "--deployed"], "--deployed"),
        (["attest", "x", "--deployed", "bfloat16", "--no-behaviour"], "exclude --no-behaviour"),
    ],
)
def test_what_cannot_be_asked_for_is_wrong_usage(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == 2
    assert message in capsys.readouterr().err
