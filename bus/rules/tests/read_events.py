"""Reads Testudo's events with the official CloudEvents SDK and checks their signatures with the standard library and
`cryptography` alone: nothing here shares a line with the code that made them.

usage: read_events.py FILE    FILE: first line {"key": ORIGIN+ID+KEY}, then one event a line
"""

import base64
import datetime
import hashlib
import json
import sys

from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from cloudevents.core.formats.json import JSONFormat
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PAYLOAD_TYPE = "https://cloudevents.io/verifiability/dsse/v0.1"
CORE = ["id", "source", "specversion", "type", "datacontenttype", "dataschema", "subject", "time"]


def sha(data):
    return hashlib.sha256(data).digest()


def text(value):
    """The canonical text of an attribute's value."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(value)


def verify(event, name, key):
    """Raises unless the key signed this event, all its extensions included."""
    attributes = event.get_attributes()
    data = json.dumps(event.get_data(), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    core = sha(b"".join(sha(text(attributes.get(part)).encode()) for part in CORE) + sha(data))
    envelope = json.loads(base64.b64decode(attributes["dssematerial"]))
    assert envelope["payloadType"] == PAYLOAD_TYPE
    payload = base64.b64decode(envelope["payload"])
    signature = next(s for s in envelope["signatures"] if s["keyid"] == name)
    kind = PAYLOAD_TYPE.encode()
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    key.verify(base64.b64decode(signature["sig"]), signed)
    claims = json.loads(payload)
    extensions = [part for part in attributes if part not in CORE and part != "dssematerial"]
    assert sorted(claims["signedextattrs"]) == sorted(extensions), "every extension is signed"
    ext = sha(b"".join(sha(text(attributes[part]).encode()) for part in claims["signedextattrs"]))
    if base64.b64decode(claims["core"]) != core or base64.b64decode(claims["ext"]) != ext:
        raise ValueError("changed after it was signed")


def main(path):
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    published = json.loads(lines[0])["key"]
    name, number, key = published.split("+", 2)
    key_bytes = base64.b64decode(key)
    assert key_bytes[0] == 1 and len(key_bytes) == 33
    key = Ed25519PublicKey.from_public_bytes(key_bytes[1:])
    headers = {"content-type": "application/cloudevents+json"}
    seen = set()
    for line in lines[1:]:
        read = lambda body: from_structured_event(HTTPMessage(headers, body.encode()), JSONFormat())
        event = read(line)
        verify(event, f"{name}+{number}", key)
        identity = (event.get_source(), event.get_id())
        assert identity not in seen, "source and id are unique"
        seen.add(identity)
        forged = json.loads(line)
        forged["data"]["agent"] = "forged"
        try:
            verify(read(json.dumps(forged)), f"{name}+{number}", key)
        except (ValueError, InvalidSignature):
            pass
        else:
            raise AssertionError("a forged event verified")
    print(f"verified {len(seen)}")


main(sys.argv[1])
