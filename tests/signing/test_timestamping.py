"""The client of timestamp authorities against real servers on loopback, honest, hostile and broken."""

import hashlib
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from asn1crypto import tsp
from authorities import Authority, OpensslAuthority, TimestampServer, tokenless

from mbom.errors import FormatError, MbomError, SignatureError, SourceError, UsageError
from mbom.signing import TimestampAuthority, TimestampClient
from mbom.signing.timestamping import ATTEMPTS

SIGNATURE = b"a signature in DER"
HONEST = Authority.make()
Answer = bytes | tuple[int, Mapping[str, str], bytes]


def client(url: str, pauses: list[float] | None = None, time_limit: float = 10) -> TimestampClient:
    return TimestampClient(url, time_limit=time_limit, pause=(pauses if pauses is not None else []).append)


def test_a_response_comes_back_that_holds_for_the_signature() -> None:
    with TimestampServer(HONEST.respond) as server:
        response = client(server.url).stamp(SIGNATURE)
    TimestampAuthority([HONEST.root.certificate], what="chain").check(response, SIGNATURE, what="b")


def test_openssl_as_the_authority_is_understood(tmp_path: Path) -> None:
    with TimestampServer(OpensslAuthority(tmp_path / "tsa", HONEST).respond) as server:
        response = client(server.url).stamp(SIGNATURE)
    TimestampAuthority([HONEST.root.certificate], what="chain").check(response, SIGNATURE, what="b")


def test_the_request_holds_the_digest_a_nonce_and_asks_for_the_certificate() -> None:
    with TimestampServer(HONEST.respond) as server:
        for _ in range(2):
            client(server.url).stamp(SIGNATURE)
        client(server.url).probe()
    first, second, probe = (tsp.TimeStampReq.load(request).native for request in server.requests)
    assert first["message_imprint"]["hash_algorithm"]["algorithm"] == "sha256"
    assert first["message_imprint"]["hashed_message"] == hashlib.sha256(SIGNATURE).digest()
    assert first["cert_req"] is True
    assert first["nonce"] != second["nonce"]
    assert probe["message_imprint"]["hashed_message"] != first["message_imprint"]["hashed_message"]


def always(answer: Answer) -> Callable[[bytes], Answer]:
    return lambda _: answer


def other_imprint() -> tsp.MessageImprint:
    digest = hashlib.sha256(b"something else").digest()
    return tsp.MessageImprint({"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": digest})


REPLAYED = HONEST.respond(
    tsp.TimeStampReq(
        {
            "version": "v1",
            "message_imprint": {
                "hash_algorithm": {"algorithm": "sha256"},
                "hashed_message": hashlib.sha256(SIGNATURE).digest(),
            },
            "nonce": 7,
            "cert_req": True,
        }
    ).dump()
)
REFUSAL = tokenless(status="rejection", status_string=["come\x1b[2J back\nlater"])

ANSWERS: dict[str, tuple[Callable[[bytes], Answer], type[MbomError], str]] = {
    "an old response": (always(REPLAYED), SignatureError, "answers another request, its nonce differs"),
    "no nonce": (replace(HONEST, info={"nonce": None}).respond, SignatureError, "its nonce differs"),
    "other data": (
        replace(HONEST, info={"message_imprint": other_imprint()}).respond,
        SignatureError,
        "something else",
    ),
    "no certificate": (replace(HONEST, certificates=False).respond, FormatError, "carries no certificate"),
    "a refusal": (always(REFUSAL), SourceError, "the authority refused, status 2: come"),
    "a granted nothing": (
        always(tokenless(status="granted")),
        FormatError,
        "the timestamp is malformed",
    ),
    "a page": (always((200, {"Content-Type": "text/html"}, b"<html>")), FormatError, "answers with 'text/html'"),
    "nonsense": (always(b"nonsense"), FormatError, "no response of RFC 3161"),
    "nothing": (always(b""), FormatError, "no response of RFC 3161"),
    "too much": (always(bytes(40_000)), FormatError, "more than 32768 bytes"),
    "another address": (always((302, {"Location": "http://127.0.0.1:9/x"}, b"")), SourceError, "HTTP status 302"),
    "another address for the same request": (
        always((308, {"Location": "http://127.0.0.1:9/x"}, b"")),
        SourceError,
        "HTTP status 308",
    ),
    "a file": (always((301, {"Location": "file:///etc/passwd"}, b"")), SourceError, "HTTP status 301"),
    "not found": (always((404, {}, b"")), SourceError, "HTTP status 404"),
    "not allowed": (always((401, {"WWW-Authenticate": "Basic"}, b"")), SourceError, "HTTP status 401"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_that_is_no_timestamp_of_ours_is_refused_at_once(case: str) -> None:
    respond, kind, said = ANSWERS[case]
    with TimestampServer(respond) as server, pytest.raises(MbomError, match=said) as caught:
        client(server.url).stamp(SIGNATURE)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(f"{server.url}: ")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_again(status: int) -> None:
    answers = [always((status, {}, b"")), always((status, {}, b"")), HONEST.respond]
    pauses: list[float] = []

    def respond(request: bytes) -> Answer:
        return answers.pop(0)(request)

    with TimestampServer(respond) as server:
        assert client(server.url, pauses).stamp(SIGNATURE)
    assert pauses == [2.0, 4.0]


def test_what_does_not_pass_is_given_up() -> None:
    with TimestampServer(always((503, {}, b""))) as server, pytest.raises(SourceError, match="HTTP status 503"):
        client(server.url).stamp(SIGNATURE)
    assert len(server.requests) == ATTEMPTS


def test_an_address_where_nobody_listens_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/tsr"
        with pytest.raises(SourceError, match=r"cannot be asked: .*refused"):
            client(url).stamp(SIGNATURE)


def test_a_server_that_sends_a_byte_at_a_time_does_not_hold_us_up() -> None:
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            while not ended.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:  # the test is over
                    return
                with connection:
                    while not ended.wait(0.05):
                        try:
                            connection.sendall(b"H")
                        except OSError:
                            break

        threading.Thread(target=drip, daemon=True).start()
        # On a busy machine a byte may take longer than the limit too, and then the reading of it ends by itself.
        with pytest.raises(SourceError, match=r"no answer within 0\.3 s|TimeoutError|timed out"):
            client(f"http://127.0.0.1:{listener.getsockname()[1]}/", time_limit=0.3).stamp(SIGNATURE)
        ended.set()


@pytest.mark.parametrize(
    "url",
    ["", "tsa.example", "ftp://tsa.example", "file:///etc/passwd", "http://", "http://[", "http://x:y/", "http://x/\n",
     "http://tsä.example/", "http://user:canary@tsa.example/", "http://canary@tsa.example/"],
)  # fmt: skip
def test_what_is_no_plain_address_is_wrong_usage_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError, match="--timestamp: ") as caught:
        TimestampClient(url)
    assert "canary" not in str(caught.value)


def test_a_query_which_may_hold_a_token_is_not_repeated() -> None:
    with TimestampServer(always((403, {}, b""))) as server, pytest.raises(SourceError) as caught:
        client(f"{server.url}?token=canary").stamp(SIGNATURE)
    assert str(caught.value).startswith(f"{server.url}: HTTP status 403")
    assert "canary" not in str(caught.value)
