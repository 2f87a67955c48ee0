"""Whatever goes wrong ends in one sentence and one exit status, below the outermost frame too."""

import pytest

from mbom import cli
from mbom.errors import AccessError, MbomError, RefusedError, UsageError


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (RefusedError("the weights differ"), 1, "the weights differ"),
        (UsageError("choose one"), 2, "choose one"),
        (AccessError("set HF_TOKEN"), 4, "set HF_TOKEN"),
        (MemoryError(), 3, "out of memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(28, "No space left on device", "/x/y"), 3, "/x/y: No space left on device"),
        (OSError("odd"), 3, "odd"),
        (ZeroDivisionError("division by zero"), 3, "MBOM_DEBUG=1"),
    ],
)
def test_every_failure_has_its_sentence_and_status(error: BaseException, status: int, words: str) -> None:
    sentence, found = cli.explain(error)
    assert found == status
    assert words in sentence
    assert "\n" not in sentence


def test_an_unknown_option_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["attest", "--no-such-option"]) == 2
    assert "no-such-option" in capsys.readouterr().err


def test_a_failure_is_traced_for_whoever_asks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MBOM_DEBUG", "1")
    assert cli.run(["inspect", "no-such-folder"]) == 3
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert error.splitlines()[-1].startswith("mbom: 'no-such-folder' is no folder here")


def test_every_error_class_is_drawn_in_the_tree() -> None:
    from mbom import errors

    def names(kind: type[MbomError]) -> set[str]:
        return {kind.__name__}.union(*(names(child) for child in kind.__subclasses__()))

    assert errors.__doc__ is not None
    assert all(name in errors.__doc__ for name in names(MbomError) if name in vars(errors))
