"""A timestamp authority (RFC 3161, with the certificate's hash as RFC 5816 has it)."""

import hashlib
import secrets
from datetime import datetime
from typing import Any

from asn1crypto import cms, core, tsp
from asn1crypto import x509 as asn1
from cryptography import x509

from sigstoreloop.authorities import Key, der, sign


def respond(query: bytes, time: datetime, key: Key, certificate: x509.Certificate) -> bytes:
    """Answer a request with a timestamp of ``time``."""
    asked = tsp.TimeStampReq.load(query)
    own = asn1.Certificate.load(der(certificate))
    content = tsp.TSTInfo(
        {
            "version": "v1",
            "policy": "1.3.6.1.4.1.57264.2",
            "message_imprint": asked["message_imprint"],
            "serial_number": secrets.randbits(63),
            "gen_time": time.replace(microsecond=0),
            "nonce": asked["nonce"].native,
        }
    ).dump()
    identifier = tsp.SigningCertificateV2(
        {"certs": [tsp.ESSCertIDv2({"cert_hash": hashlib.sha256(der(certificate)).digest()})]}
    )
    attributes = cms.CMSAttributes(
        [
            attribute("content_type", "tst_info"),
            attribute("message_digest", hashlib.sha256(content).digest()),
            attribute("signing_certificate_v2", identifier),
        ]
    )
    signer = cms.SignerInfo(
        {
            "version": "v1",
            "sid": cms.SignerIdentifier(
                {
                    "issuer_and_serial_number": cms.IssuerAndSerialNumber(
                        {"issuer": own.issuer, "serial_number": own.serial_number}
                    )
                }
            ),
            "digest_algorithm": {"algorithm": "sha256"},
            "signed_attrs": attributes,
            "signature_algorithm": {"algorithm": "sha256_ecdsa"},
            "signature": sign(key, attributes.untag().dump()),
        }
    )
    signed = cms.SignedData(
        {
            "version": "v3",
            "digest_algorithms": [{"algorithm": "sha256"}],
            "encap_content_info": {"content_type": "tst_info", "content": core.ParsableOctetString(content)},
            "certificates": [cms.CertificateChoices({"certificate": own})] if asked["cert_req"].native else None,
            "signer_infos": [signer],
        }
    )
    answer: bytes = tsp.TimeStampResp(
        {"status": {"status": "granted"}, "time_stamp_token": {"content_type": "signed_data", "content": signed}}
    ).dump()
    return answer


def attribute(kind: str, value: Any) -> cms.CMSAttribute:
    return cms.CMSAttribute({"type": kind, "values": [value]})
