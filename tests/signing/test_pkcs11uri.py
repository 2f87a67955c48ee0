from pathlib import Path

import pytest

from mbom.errors import UsageError
from mbom.signing import TokenKey


def test_a_uri_names_token_key_library_and_where_the_pin_is() -> None:
    text = (
        "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;serial=7f;"
        "object=my-signing-key;type=private;id=%69%95%3E%5C%F4"
        "?module-path=/usr/lib/lib.so&pin-source=file:/etc/token"
    )
    key = TokenKey.parse(text)
    assert key.token == {
        "token": "The Software PKCS#11 Softtoken",
        "manufacturer": "Snake Oil, Inc.",
        "model": "1.0",
        "serial": "7f",
    }
    assert (key.label, key.id) == ("my-signing-key", b"\x69\x95\x3e\x5c\xf4")
    assert (key.module, key.pin_source) == (Path("/usr/lib/lib.so"), Path("/etc/token"))
    assert key.text == text


@pytest.mark.parametrize("source", ["/etc/token", "file:/etc/token", "file:///etc/token", "%2Fetc%2Ftoken"])
def test_the_file_of_a_pin_is_a_path_or_a_file_uri(source: str) -> None:
    assert TokenKey.parse(f"pkcs11:object=a?pin-source={source}").pin_source == Path("/etc/token")


def test_a_label_may_be_utf_8() -> None:
    assert TokenKey.parse("pkcs11:object=%C3%A4").label == "ä"


REFUSED = {
    "another scheme": ("file:object=a", "not a PKCS#11 URI"),
    "the scheme in capitals": ("PKCS11:object=a", "not a PKCS#11 URI"),
    "a long one": ("pkcs11:object=" + "a" * 4096, "at most 4096 characters"),
    "nothing": ("pkcs11:", "names no key"),
    "a token alone": ("pkcs11:token=a", "names no key"),
    "a public key": ("pkcs11:object=a;type=public", "no private key"),
    "a label twice": ("pkcs11:object=a;object=b", "'object' twice"),
    "a library twice": ("pkcs11:object=a?module-path=/a&module-path=/b", "'module-path' twice"),
    "an attribute of the slot": ("pkcs11:object=a;slot-id=1", "attribute 'slot-id'; known here are token"),
    "an attribute of the library": ("pkcs11:object=a;library-version=1", "attribute 'library-version'"),
    "an attribute of a vendor": ("pkcs11:object=a;x-serial=1", "attribute 'x-serial'"),
    "a library by name": (
        "pkcs11:object=a?module-name=softhsm2",
        "'module-name'; known here are module-path",
    ),
    "a query in the path": ("pkcs11:object=a;module-path=/a", "attribute 'module-path'"),
    "a path in the query": ("pkcs11:object=a?token=b", "attribute 'token'"),
    "an attribute without a value": ("pkcs11:object", "malformed"),
    "an empty attribute": ("pkcs11:object=a;", "malformed"),
    "an empty label": ("pkcs11:object=", "'object' is empty"),
    "a space": ("pkcs11:object=a b", "malformed"),
    "half an octet": ("pkcs11:object=%4", "malformed"),
    "a fragment": ("pkcs11:object=a#b", "malformed"),
    "a label that is no UTF-8": ("pkcs11:object=%FF", "'object' is not UTF-8"),
    "a zero character": ("pkcs11:object=a%00b", "zero character"),
    "a relative library": ("pkcs11:object=a?module-path=lib.so", "'module-path' is not an absolute path"),
    "a command for the PIN": ("pkcs11:object=a?pin-source=|pass", "'pin-source' is not an absolute path"),
    "a PIN from the web": ("pkcs11:object=a?pin-source=https://x/", "'pin-source' is not an absolute path"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_uri_that_is_not_understood_whole_is_wrong_usage(case: str) -> None:
    text, said = REFUSED[case]
    with pytest.raises(UsageError, match=said):
        TokenKey.parse(text)


@pytest.mark.parametrize(
    "text",
    ["pkcs11:object=a?pin-value=canary", "pkcs11:object=a;pin-value=canary", "pkcs11:pin-value=canary?pin-value=%41"],
)
def test_a_pin_in_the_uri_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError, match="with its PIN inside") as caught:
        TokenKey.parse(text)
    assert "canary" not in str(caught.value)
