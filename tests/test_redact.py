import pytest

from mbom.redact import MARK, redact

SECRETS = [
    "hf_" + "aB3" * 11,
    "ghp_" + "aB3" * 12,
    "ghs_" + "aB3" * 12,
    "github_pat_" + "aB3_" * 12,
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL3gifQ.c2lnbmF0dXJl-_",
    "Bearer abc.def-ghi_jkl",
    "bearer dGhlIHNlY3JldA==",
    "Basic dXNlcjpwYXNzd29yZA==",
    "-----BEGIN PRIVATE KEY-----\nMIGHAgEA\n-----END PRIVATE KEY-----",
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGHAgEA",
    "-----BEGIN RSA PRIVATE KEY-----\nMIGHAgEA\n-----END RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_what_is_a_secret_by_its_form_is_taken_out(secret: str) -> None:
    assert redact(f"before {secret}") == f"before {MARK}"
    assert redact(f"({secret})") in (f"({MARK})", f"({MARK}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hf_hub_download failed",
        "HF_TOKEN is not set",
        "the bearer of the token",
        "Basic usage",
        "SHA256:PpBSs8GWiNa5LP9c7hRBRHFQ4TN8eMkpU2KNRk2m8Ks",
        "-----BEGIN PUBLIC KEY-----\nMFkwEwYH\n-----END PUBLIC KEY-----",
        "0" * 64,
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_secrets_that_are_known_are_taken_out_and_the_longest_first() -> None:
    assert redact("a correct horse battery", ["correct horse", "correct horse battery"]) == f"a {MARK}"


def test_a_short_secret_does_not_take_words_with_it() -> None:
    assert redact("file 1234 of 12345", ["", "1234"]) == "file 1234 of 12345"
