"""Whether certificates hold now, and for how long still."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from penstock.http.listen import Tls

SOON = timedelta(days=14)
ANSWER_S = 2.0
"""So long a server may take to begin to speak TLS."""


def find_doubts(tls: Tls, now: datetime | None = None) -> list[str]:
    """Return in words which certificates of these files do not hold, or not for long; a server speaks TLS with them all the same."""
    at = now or datetime.now(UTC)
    told = []
    for path in (tls.cert, tls.client_ca):
        try:
            found = [] if path is None else x509.load_pem_x509_certificates(Path(path).read_bytes())
        except ValueError as error:
            told.append(f"until when {path} holds cannot be read: {error}")
            continue
        told += [f"{path}: {words}" for one in found if (words := _doubt(one, at))]
    return told


def find_ends(tls: Tls) -> dict[str, float]:
    """Return when the first certificate of each file ends, in seconds since the epoch; nothing of what cannot be read."""
    found: dict[str, float] = {}
    for name, path in (("tls-cert", tls.cert), ("tls-client-ca", tls.client_ca)):
        with suppress(ValueError):
            read = [] if path is None else x509.load_pem_x509_certificates(Path(path).read_bytes())
            found |= {name: min(one.not_valid_after_utc for one in read).timestamp()} if read else {}
    return found


def find_doubts_at(host: str, port: int) -> str:
    """Return in words that the certificate of a server does not hold, or not for long; empty of one that speaks no TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = (
        False,
        ssl.CERT_NONE,
    )  # whoever it is: only its dates are read
    try:
        with (
            socket.create_connection((host, port), timeout=ANSWER_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as spoken,
        ):
            data = spoken.getpeercert(binary_form=True)
            return _doubt(x509.load_der_x509_certificate(data), datetime.now(UTC)) if data else ""
    except (OSError, ValueError):
        return ""


def _doubt(one: x509.Certificate, at: datetime) -> str:
    begin, end = one.not_valid_before_utc, one.not_valid_after_utc
    name = one.subject.rfc4514_string() or "without a name"
    if at > end:
        return f"the certificate {name} has expired on {end:%Y-%m-%d %H:%M} UTC: clients refuse it"
    if at < begin:
        return (
            f"the certificate {name} holds from {begin:%Y-%m-%d %H:%M} UTC only: clients refuse it until then"
        )
    if end - at < SOON:
        return (
            f"the certificate {name} expires on {end:%Y-%m-%d %H:%M} UTC, in {(end - at).days} days: renew it"
        )
    return ""
