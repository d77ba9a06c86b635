"""Whether certificates hold now, and for how long still."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from penstock.http.listen import Tls

SOON = timedelta(days=14)


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
