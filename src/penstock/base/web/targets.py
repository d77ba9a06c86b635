"""Which URLs may be posted to, as far as their text says; what their hosts are is asked in `posting`."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from penstock.base.errors import Invalid


def parse_target(url: str) -> SplitResult:
    """Return the parts of a URL.

    Raises:
        Invalid: it is no http(s) URL with a host, or names a user (`posting.bad_target`).
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise refuse_target(f"Invalid webhook URL: {url[:200]!r}") from None
    if parts.scheme not in {"http", "https"}:
        raise refuse_target(
            f"Invalid webhook URL scheme: {parts.scheme!r}. Allowed schemes are: http, https."
        )
    if not url.isprintable() or " " in url or not url.isascii():
        raise refuse_target(f"Webhook URL holds characters that must be encoded: {url[:200]!r}")
    if not parts.hostname or "@" in parts.netloc:
        raise refuse_target(f"Webhook URL must include a hostname, and no user: {parts.hostname!r}")
    return parts


def refuse_target(message: str) -> Invalid:
    """Return the error of a URL that may not be posted to."""
    return Invalid(
        message,
        code="posting.bad_target",
        hint="name a public https address; `webhooks: {allow_private: true}` in penstock.yaml allows others",
    )


def host_of(url: str) -> str:
    """Return the host and port of a URL, which are no secret."""
    return url.partition("://")[2].partition("/")[0].partition("?")[0].rpartition("@")[2]
