"""The services of an instance behind one HTTP server on loopback, and the trust configuration that names them."""

import base64
import hashlib
import json
import secrets
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import jwt
import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from sigstoreloop import stamping
from sigstoreloop.authorities import (
    Key,
    b64,
    der,
    key_id,
    logged_leaf,
    new_key,
    now,
    pem,
    root,
    sign,
    spki,
    timestamping,
    unsigned_leaf,
)
from sigstoreloop.tree import Inclusion, Log

GITHUB = "https://token.actions.githubusercontent.com"
# Claims of GitHub's tokens -> the extensions that Fulcio writes for them, the older form and the newer one.
EXTENSIONS = {"workflow": (4,), "repository": (5, 12), "ref": (6, 14), "workflow_ref": (18,)}


@dataclass(kw_only=True)
class Faults:
    """What an instance does wrong.

    Attributes:
        down: services that answer 503: ``fulcio``, ``rekor``, ``tsa``.
        clock: how far the clocks of log and timestamp authority are off.
        unlogged: certificates carry no timestamp of the certificate log.
        stranger: another key than the trusted one signs for the certificate log.
        purpose: what certificates are for.
        names: further identities in each certificate.
        claims: extensions by their last arc, over those that the token gives.
        substitute: Rekor enters another body than the one it was asked for.
    """

    down: set[str] = field(default_factory=set)
    clock: timedelta = timedelta()
    unlogged: bool = False
    stranger: bool = False
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING
    names: list[x509.GeneralName] = field(default_factory=list)
    claims: dict[int, str] = field(default_factory=dict)
    substitute: bool = False


class Instance:
    """One Sigstore; ``issuer`` is whose identities it certifies."""

    def __init__(self, issuer: str = GITHUB) -> None:
        self.issuer = issuer
        self.faults = Faults()
        self.oidc = new_key()
        self.authority, self.root = root("fulcio")
        self.certificate_log, self.stranger = new_key(), new_key()
        self.rekor1, self.rekor2 = Log("127.0.0.1"), Log("127.0.0.1")
        stamping_authority, self.stamping_root = root("tsa-root")
        self.stamping_key, self.stamping = timestamping(stamping_authority, self.stamping_root)
        self.certificates = 0  # how many were issued
        self.subject = "repo:acme/models:ref:refs/heads/main"  # whoever signs in with the browser
        self.codes: dict[str, str] = {}  # OAuth codes -> the challenge that the verifier must answer
        self.server = Server(self)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    # -- OpenID ----
    def token(self, *, lifetime: int = 300, **claims: object) -> str:
        """Return an identity token; ``claims`` go over the usual ones."""
        time = int(now().timestamp())
        usual = {"iss": self.issuer, "aud": "sigstore", "sub": self.subject, "iat": time, "exp": time + lifetime}
        return jwt.encode({**usual, **claims}, self.oidc, "ES256")

    def workflow_token(
        self, *, repository: str = "acme/models", ref: str = "refs/tags/v1", audience: str = "sigstore"
    ) -> str:
        """Return a token as GitHub gives it to a workflow."""
        file = f"{repository}/.github/workflows/release.yml@{ref}"
        return self.token(
            aud=audience,
            job_workflow_ref=file,
            repository=repository,
            ref=ref,
            workflow="Release",
            workflow_ref=file,
        )

    def authorise(self, query: Mapping[str, str]) -> str:
        """Sign somebody in at once, and return where their browser goes with the code."""
        code = secrets.token_hex(8)
        self.codes[code] = query["code_challenge"]
        told = urllib.parse.urlencode({"code": code, "state": query["state"]})
        return f"{query['redirect_uri']}?{told}"

    def exchange(self, body: bytes) -> dict[str, str]:
        """Give a token for a code to whoever asked for that code (RFC 7636)."""
        asked = dict(urllib.parse.parse_qsl(body.decode()))
        answer = hashlib.sha256(asked["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(answer).decode().rstrip("=") != self.codes.pop(asked["code"]):
            raise PermissionError("the code was given to somebody else")
        return {"access_token": self.token()}

    # -- Fulcio ----
    def fulcio(self, body: bytes, token: str) -> bytes:
        try:
            claims = jwt.decode(token, self.oidc.public_key(), ["ES256"], audience="sigstore", issuer=self.issuer)
        except jwt.InvalidTokenError as error:
            raise PermissionError(str(error)) from error
        request = x509.load_pem_x509_csr(base64.b64decode(json.loads(body)["certificateSigningRequest"]))
        public = request.public_key()
        assert request.is_signature_valid
        assert isinstance(public, ec.EllipticCurvePublicKey)
        faults = self.faults
        extensions = {1: self.issuer, 8: self.issuer, **_extensions(claims), **faults.claims}
        builder = unsigned_leaf(
            public=public,
            authority=self.authority,
            issuer=self.root,
            names=[_name(claims), *faults.names],
            claims=extensions,
            purpose=faults.purpose,
        )
        if faults.unlogged:
            certificate = builder.sign(self.authority, hashes.SHA256())
        else:
            log = self.stranger if faults.stranger else self.certificate_log
            certificate = logged_leaf(builder, self.authority, log)
        self.certificates += 1
        chain = {"certificates": [pem(certificate), pem(self.root)]}
        return json.dumps({"signedCertificateEmbeddedSct": {"chain": chain}}).encode()

    # -- Rekor ----
    def rekor_v1(self, body: bytes) -> bytes:
        entry = json.loads(body)
        if entry["kind"] == "dsse":
            entry = _dsse_entry(entry["spec"]["proposedContent"])
        if self.faults.substitute:
            entry["spec"]["signatures" if entry["kind"] == "dsse" else "data"] = {}
        canonical = rfc8785.dumps(entry)
        found = self.rekor1.add(canonical)
        signed: dict[str, Any] = {
            "body": b64(canonical),
            "integratedTime": int((now() + self.faults.clock).timestamp()),
            "logID": key_id(self.rekor1.key).hex(),
            "logIndex": found.index,
        }
        proof = {
            "logIndex": found.index,
            "rootHash": found.root.hex(),
            "treeSize": found.size,
            "hashes": [item.hex() for item in found.path],
            "checkpoint": found.checkpoint,
        }
        promise = b64(sign(self.rekor1.key, rfc8785.dumps(signed)))
        whole = {**signed, "verification": {"signedEntryTimestamp": promise, "inclusionProof": proof}}
        return json.dumps({secrets.token_hex(32): whole}).encode()

    def rekor_v2(self, body: bytes) -> bytes:
        asked = json.loads(body)["hashedRekordRequestV002"]
        digest = b64(b"\0" * 32) if self.faults.substitute else asked["digest"]
        record = {"data": {"algorithm": "SHA2_256", "digest": digest}, "signature": asked["signature"]}
        canonical = rfc8785.dumps({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": record}})
        found = self.rekor2.add(canonical)
        return json.dumps(_entry_v2(found, canonical, self.rekor2.key)).encode()

    # -- timestamps ----
    def tsa(self, body: bytes) -> bytes:
        return stamping.respond(body, now() + self.faults.clock, self.stamping_key, self.stamping)

    # -- trust ----
    def trust_config(self, *, rekor: int = 2, timestamps: bool | None = None, url: str | None = None) -> dict[str, Any]:
        """Return the configuration of a client that logs in Rekor ``rekor``.

        Args:
            rekor: the version of its interface.
            timestamps: whether signatures are stamped; None for what the version needs.
            url: where the services are, when it is not here.
        """
        valid = {"start": (now() - timedelta(days=1)).isoformat().replace("+00:00", "Z")}
        url = url or self.url
        stamped = rekor == 2 if timestamps is None else timestamps

        def log(key: Key) -> dict[str, Any]:
            public = {"rawBytes": b64(spki(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": valid}
            return {
                "baseUrl": self.url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": public,
                "logId": {"keyId": b64(key_id(key))},
            }

        def authority(*chain: x509.Certificate) -> dict[str, Any]:
            return {
                "subject": {"organization": "mbom-test", "commonName": "mbom-test"},
                "uri": self.url,
                "certChain": {"certificates": [{"rawBytes": b64(der(item))} for item in chain]},
                "validFor": valid,
            }

        def service(path: str = "", version: int = 1) -> list[dict[str, Any]]:
            return [{"url": url + path, "majorApiVersion": version, "validFor": valid, "operator": "mbom-test"}]

        return {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [log(self.rekor1.key), log(self.rekor2.key)],
                "ctlogs": [log(self.certificate_log)],
                "certificateAuthorities": [authority(self.root)],
                "timestampAuthorities": [authority(self.stamping, self.stamping_root)],
            },
            "signingConfig": {
                "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                "caUrls": service(),
                "oidcUrls": service(),
                "rekorTlogUrls": service(version=rekor),
                "rekorTlogConfig": {"selector": "ANY"},
                "tsaUrls": service("/api/v1/timestamp") if stamped else [],
                "tsaConfig": {"selector": "ANY"},
            },
        }

    def write_trust_config(self, path: Path, **options: Any) -> Path:
        path.write_text(json.dumps(self.trust_config(**options)))
        return path


def _name(claims: Mapping[str, str]) -> x509.GeneralName:
    if "email" in claims:
        return x509.RFC822Name(claims["email"])
    workflow = claims.get("job_workflow_ref")
    return x509.UniformResourceIdentifier(f"https://github.com/{workflow}" if workflow else claims["sub"])


def _extensions(claims: Mapping[str, str]) -> dict[int, str]:
    found: dict[int, str] = {}
    for name, arcs in EXTENSIONS.items():
        for arc in arcs:
            if name in claims:
                found[arc] = f"https://github.com/{claims[name]}" if arc in (12, 18) else claims[name]
    return found


def _dsse_entry(proposed: dict[str, Any]) -> dict[str, Any]:
    """Return the entry that Rekor v1 makes of a proposed envelope."""
    text = proposed["envelope"]
    envelope = json.loads(text)
    payload = base64.b64decode(envelope["payload"])
    signatures = zip(envelope["signatures"], proposed["verifiers"], strict=True)
    spec = {
        "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(text.encode()).hexdigest()},
        "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
        "signatures": [{"signature": item["sig"], "verifier": verifier} for item, verifier in signatures],
    }
    return {"apiVersion": "0.0.1", "kind": "dsse", "spec": spec}


def _entry_v2(found: Inclusion, body: bytes, key: Key) -> dict[str, Any]:
    return {
        "logIndex": str(found.index),
        "logId": {"keyId": b64(key_id(key))},
        "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"},
        "inclusionProof": {
            "logIndex": str(found.index),
            "rootHash": b64(found.root),
            "treeSize": str(found.size),
            "hashes": [b64(item) for item in found.path],
            "checkpoint": {"envelope": found.checkpoint},
        },
        "canonicalizedBody": b64(body),
    }


class Server(ThreadingHTTPServer):
    """The HTTP server of an instance."""

    daemon_threads = True

    def __init__(self, instance: Instance) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.instance = instance


class Handler(BaseHTTPRequestHandler):
    """One request to an instance."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        instance = self.server.instance
        address = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(address.query))
        if address.path == "/.well-known/openid-configuration":
            endpoints = {f"{name}_endpoint": f"{instance.url}/{name}" for name in ("authorization", "token")}
            self.answer(200, json.dumps({"issuer": instance.url, **endpoints}).encode())
        elif address.path == "/authorization":
            self.answer(302, b"", location=instance.authorise(query))
        elif address.path == "/github" and self.headers["Authorization"] == "bearer request-token":
            token = instance.workflow_token(audience=query["audience"])
            self.answer(200, json.dumps({"value": token}).encode())
        else:
            self.answer(404, b"{}")

    def do_POST(self) -> None:
        instance = self.server.instance
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        service, serve = SERVICES.get(self.path, ("", None))
        if serve is None:
            self.answer(404, b"{}")
        elif service in instance.faults.down:
            self.answer(503, b'{"code": 14, "message": "out of order"}')
        else:
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            try:
                done = serve(instance, body, token)
            except PermissionError as error:
                self.answer(401, json.dumps({"code": 16, "message": str(error)}).encode())
                return
            kind = "application/timestamp-reply" if service == "tsa" else "application/json"
            self.answer(201 if service == "rekor" else 200, done, kind=kind)

    def answer(self, status: int, body: bytes, *, kind: str = "application/json", location: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if location is not None:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)


# Path -> the service behind it, and what answers there: (instance, body, bearer token) -> body.
SERVICES: dict[str, tuple[str, Callable[[Instance, bytes, str], bytes]]] = {
    "/token": ("oidc", lambda instance, body, _: json.dumps(instance.exchange(body)).encode()),
    "/api/v2/signingCert": ("fulcio", Instance.fulcio),
    "/api/v1/log/entries": ("rekor", lambda instance, body, _: instance.rekor_v1(body)),
    "/api/v2/log/entries": ("rekor", lambda instance, body, _: instance.rekor_v2(body)),
    "/api/v1/timestamp": ("tsa", lambda instance, body, _: instance.tsa(body)),
}
