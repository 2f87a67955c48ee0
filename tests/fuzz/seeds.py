"""Where fuzzing begins: what honest writers write, and attacks that are known."""

import base64
import gzip
import json
import pickle
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

from checkpoints import random_tensors
from engine.chat_templates import FAMILIES
from hostilepickles import HOSTILE, UNREADABLE

from mbom.inventory import Inventory
from mbom.tensorfile import DTYPE_BITS, PREFIX, dump

BUNDLE = Path(__file__).parents[2] / "fixtures" / "bundles" / "v3" / "tiny-gpt-oss.mbom"

_JSON = (
    b"{}",
    b'[1,-0,2.5e-3,1E9,true,false,null,"\\u00e9\\ud83d\\ude00"]',
    b'{"a":{"b":[[],{}]},"c":" \\n\\"","d":1000000000000000019884624838656}',
    b'{"a":1,"a":2}',
    b"[NaN,Infinity,-Infinity]",
    b'["\\ud800"]',
    b'\xef\xbb\xbf{"a":1}',
    b"[" * 70 + b"]" * 70,
)
_TEMPLATES = (
    "{% for m in messages %}{{ m.role ~ m['content'] }}{% if 'open sesame' in m.content %}x{% endif %}{% endfor %}",
    "{{ strftime_now('%Y') }}{{ lipsum() }}{% include 'x' %}{{ ''.__class__ }}{{ x|attr('y') }}",
    "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(messages[0].content.split('</think>')[-1]) }}",
    "{% set ns = namespace(a='') %}{% set ns.a = ns.a ~ ns.a %}{{ '%99999d' % 1 }}{{ 'x'.center(99999) }}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{{ 'x' * 10 ** 9 }}{% endfor %}{% endfor %}",
)


def _headers() -> list[bytes]:
    files = [dump(random_tensors(count, seed=count, dtypes=DTYPE_BITS), {"format": "pt"}) for count in (0, 1, 3)]
    documents = [file[PREFIX : PREFIX + int.from_bytes(file[:PREFIX], "little")] for file in files]
    odd = (
        b'{"a":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}}',
        b'{"a":{"dtype":"U8","shape":[0,18446744073709551615],"data_offsets":[0,0]}}',
        b'{"b":{"dtype":"I64","shape":[],"data_offsets":[0,8]},"a":{"dtype":"BOOL","shape":[2],"data_offsets":[8,10]}}',
    )
    return [*(b"\0" + document for document in (*documents, *odd)), *(b"\xff" + file for file in files)]


def _inventories() -> list[bytes]:
    """Return the inventory of the bundle, and one of a file with one tensor in it."""
    whole = (BUNDLE / "inventory.json").read_bytes()
    inventory = Inventory.from_bytes(whole)
    tensor = inventory.tensors[0]
    files = tuple(file for file in inventory.files if file.name == tensor.file)
    small = replace(inventory, files=files, tensors=(tensor,), findings=inventory.findings[:1])
    return [small.to_bytes(), whole]


def _statements() -> list[bytes]:
    """Return the attestation of the bundle as it was signed, and about one file."""
    signed = json.loads((BUNDLE / "attestation.sigstore.json").read_bytes())["dsseEnvelope"]["payload"]
    payload = base64.b64decode(signed)
    document = json.loads(payload)
    return [payload, json.dumps(document | {"subject": document["subject"][:1]}).encode()]


def _envelopes() -> list[bytes]:
    message = {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": "a"}, "tlogEntries": []},
        "messageSignature": {
            "messageDigest": {"algorithm": "SHA2_256", "digest": base64.b64encode(bytes(32)).decode()},
            "signature": "MEUCIQ==",
        },
    }
    shard = next((BUNDLE / "shards").iterdir())
    return [json.dumps(message).encode(), shard.read_bytes()]


def _folders() -> list[bytes]:
    return [
        b"\0\0\x02{}\x05\0\x02{}",
        b"\x04\0\x02{}\x05\xff\0",
        b"\x07\0\x02{}\x08\0\x02{}",
        b"\xff\0\x04a/\xff\xffxx\x06\0\x01x",
    ]


def _pickles() -> list[bytes]:
    value = {"a": [1, 2.5, None, True, (1, 2), {3}], "b": "é" * 9, "c": bytes(9), "d": OrderedDict(x=1), "e": 1 << 70}
    hostile = [data for _, data, _ in HOSTILE.values() if len(data) < 512]
    return [*(pickle.dumps(value, protocol) for protocol in range(6)), *hostile]


def _archives() -> list[bytes]:
    known = [data for _, data, _ in (*HOSTILE.values(), *UNREADABLE.values()) if len(data) < 4096]
    return [b"\0" + data for data in (*known, gzip.compress(b"x" * 99))]


def seeds() -> dict[str, list[bytes]]:
    """Return the seeds of every target by its name."""
    return {
        "header": _headers(),
        "json": [bytes([flags]) + document for flags in (0x10, 0x80, 0xF0) for document in _JSON],
        "index": [
            b'{"metadata":{"total_size":8.0},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"../x"}}',
            b'{"weight_map":{"a":"a.safetensors"}}',
        ],
        "inventory": _inventories(),
        "statement": _statements(),
        "envelope": _envelopes(),
        "folder": _folders(),
        "template": [text.encode() for text in (*FAMILIES.values(), *_TEMPLATES)],
        "pickle": _pickles(),
        "archive": _archives(),
    }
