"""Signatures: ed25519 keys, and statements sealed in DSSE envelopes.

What is signed, and whose keys count, is decided elsewhere (`penstock.registry.proofs`, `penstock.project.keys`).
**Source**: DSSE v1.0.2, `envelope.md` and `protocol.md` of github.com/secure-systems-lab/dsse.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from penstock.base.digest import canonical_json
from penstock.base.errors import Corrupt, Invalid

PAYLOAD_TYPE = "application/vnd.in-toto+json"
PREFIX = "ed25519:"
PKCS8 = bytes.fromhex("302e020100300506032b657004220420")
"""What stands before the 32 secret bytes in PKCS #8 (RFC 8410, section 7); so cryptography's loader, 50 ms, is not needed."""
PEM = ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----")


@dataclass(frozen=True)
class PublicKey:
    """A key that signatures are checked with; its text is `ed25519:` and 32 bytes in base64."""

    raw: bytes

    @property
    def id(self) -> str:
        """The sha256 of its bytes, which signatures name."""
        return hashlib.sha256(self.raw).hexdigest()

    @property
    def text(self) -> str:
        """How people and settings write it."""
        return PREFIX + base64.b64encode(self.raw).decode()


@dataclass(frozen=True)
class SigningKey:
    """A key that signs; it never shows its secret, but to be written to its file."""

    _key: Ed25519PrivateKey

    @property
    def public(self) -> PublicKey:
        """What others check its signatures with."""
        return PublicKey(self._key.public_key().public_bytes_raw())

    def to_pem(self) -> bytes:
        """Return the secret as PKCS #8."""
        body = base64.b64encode(PKCS8 + self._key.private_bytes_raw()).decode()
        return "\n".join((PEM[0], body, PEM[1], "")).encode()

    def sign(self, data: bytes) -> bytes:
        """Return the signature of some bytes."""
        return self._key.sign(data)


def make_key() -> SigningKey:
    """Return a new key."""
    return SigningKey(Ed25519PrivateKey.generate())


def parse_signing_key(text: bytes, name: str) -> SigningKey:
    """Read a secret key: PKCS #8 in PEM, or such a PEM in base64 on one line, as CI secrets like it.

    Raises:
        Invalid: it is none; the error calls it `name` and shows nothing of it.
    """
    try:
        if b"-----BEGIN" not in text:
            text = base64.b64decode(text.strip(), validate=True)
        body = text.decode().strip()
        if not (body.startswith(PEM[0]) and body.endswith(PEM[1])):
            raise ValueError
        der = base64.b64decode("".join(body[len(PEM[0]) : -len(PEM[1])].split()), validate=True)
        if len(der) != len(PKCS8) + 32 or not der.startswith(PKCS8):
            raise ValueError
    except (ValueError, binascii.Error):
        raise Invalid(
            f"{name} holds no ed25519 key without a passphrase",
            code="signing.bad_key",
            hint="openssl genpkey -algorithm ed25519",
        ) from None
    return SigningKey(Ed25519PrivateKey.from_private_bytes(der[len(PKCS8) :]))


def parse_public_key(text: str) -> PublicKey:
    """Read `ed25519:` and 32 bytes in base64; words after a blank are a remark.

    Raises:
        Invalid: it is none.
    """
    word = text.split(maxsplit=1)[0] if text.split() else ""
    try:
        raw = base64.b64decode(word.removeprefix(PREFIX), validate=True)
        if not word.startswith(PREFIX) or len(raw) != 32:
            raise ValueError
    except (ValueError, binascii.Error):
        raise Invalid(
            f"{text[:80]!r} is no public key: `ed25519:` and 44 characters are",
            code="signing.bad_public_key",
            hint="`penstock key show`, on the machine that signs, prints it",
        ) from None
    return PublicKey(raw)


class Signature(msgspec.Struct, frozen=True):
    """One signature of an envelope."""

    keyid: str
    sig: str


class Envelope(msgspec.Struct, frozen=True):
    """A DSSE envelope: a payload in base64, and who signed it."""

    payload: str
    payloadType: str  # noqa: N815 - DSSE's name
    signatures: tuple[Signature, ...]


def seal(statement: Mapping[str, Any], key: SigningKey) -> str:
    """Return a statement as a signed envelope, in JSON."""
    payload = canonical_json(statement)
    signature = Signature(key.public.id, base64.b64encode(key.sign(_encode(PAYLOAD_TYPE, payload))).decode())
    envelope = Envelope(base64.b64encode(payload).decode(), PAYLOAD_TYPE, (signature,))
    return msgspec.json.encode(envelope).decode()


def parse_envelope(text: str) -> Envelope:
    """Read an envelope; nothing of it is believed yet.

    Raises:
        Corrupt: it is none.
    """
    try:
        envelope = msgspec.json.decode(text, type=Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _damaged(f"it is no envelope ({error})") from None
    if envelope.payloadType != PAYLOAD_TYPE or not envelope.signatures:
        raise _damaged("it has no signature or another payload")
    return envelope


def open_envelope(
    envelope: Envelope, keys: Mapping[str, PublicKey]
) -> tuple[dict[str, Any], PublicKey] | None:
    """Return the statement and the key of `keys`, by their ids, that signed it; None where none of them did.

    Raises:
        Corrupt: one of the keys is named and did not sign this.
    """
    payload = _decode(envelope.payload)
    for signature in envelope.signatures:
        key = keys.get(signature.keyid)
        if key is None:
            continue
        try:
            signed = _encode(envelope.payloadType, payload)
            Ed25519PublicKey.from_public_bytes(key.raw).verify(_decode(signature.sig), signed)
        except InvalidSignature:
            raise _damaged("its signature does not hold") from None
        return read_statement(envelope), key
    return None


def read_statement(envelope: Envelope) -> dict[str, Any]:
    """Return what an envelope says, whoever signed it.

    Raises:
        Corrupt: it is no JSON object.
    """
    try:
        found = msgspec.json.decode(_decode(envelope.payload))
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict):
        raise _damaged("its payload cannot be read")
    return found


def _encode(kind: str, payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding, which is what is signed."""
    return b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(payload), payload)


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise _damaged("its base64 cannot be read") from None


def _damaged(what: str) -> Corrupt:
    return Corrupt(
        f"a signed statement was changed: {what}", code="signing.damaged", hint="penstock model verify"
    )
