"""Options of servers that say who may call, by which names, and how it is kept from others' eyes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from penstock.cli.places import GivenPath

if TYPE_CHECKING:
    from penstock.cli.output import Session
    from penstock.http.listen import Tls

F = TypeVar("F", bound=Callable[..., Any])
_FILE = GivenPath(exists=True, dir_okay=False)


def tls_options(command: F) -> F:
    """Add the options of TLS and of proxies."""
    for option in (
        click.option(
            "--trusted-proxies",
            default="",
            help="Addresses or networks, with commas, whose X-Forwarded-For and X-Forwarded-Proto are believed.",
        ),
        click.option(
            "--tls-client-ca",
            type=_FILE,
            help="Ask clients for a certificate that this one (PEM) has signed.",
        ),
        click.option("--tls-key", type=_FILE, help="The key (PEM, without a passphrase) of --tls-cert."),
        click.option("--tls-cert", type=_FILE, help="Speak TLS with this certificate and its chain (PEM)."),
    ):
        command = option(command)
    return command


def parse_tls(session: Session, cert: str | None, key: str | None, client_ca: str | None) -> Tls | None:
    """Return what TLS needs, None for no TLS; a certificate that does not hold, or not for long, is told.

    Raises:
        click.UsageError: one file is named and not the other.
        Invalid: the files cannot be used.
    """
    from penstock.http.listen import Tls, check_tls

    if cert is None and key is None and client_ca is None:
        return None
    if cert is None or key is None:
        raise click.UsageError("TLS needs both --tls-cert and --tls-key")
    tls = Tls(cert=cert, key=key, client_ca=client_ca)
    check_tls(tls)
    import msgspec

    from penstock.http.validity import find_doubts, find_ends

    for doubt in find_doubts(tls):
        session.note(f"warning: {doubt}")
    return msgspec.structs.replace(tls, ends=find_ends(tls))


def check_openness(host: str, what: str, *, auth: bool, insecure: bool) -> None:
    """Check that what others can reach asks who they are, unless it is told not to.

    Raises:
        click.UsageError: it does not.
    """
    from penstock.http.hosts import is_loopback

    if not is_loopback(host) and not auth and not insecure:
        raise click.UsageError(
            f"{host} can be reached by others, who could {what}; ask for credentials with --auth, or say --insecure"
        )


def parse_proxies(text: str) -> tuple[str, ...]:
    """Return the addresses and networks of a list with commas; `*` alone stands for all.

    Raises:
        click.UsageError: one is neither.
    """
    import ipaddress

    names = split_names(text)
    for name in names if names != ("*",) else ():
        try:
            ipaddress.ip_network(name)
        except ValueError as error:
            raise click.UsageError(
                f"--trusted-proxies: {error}; name addresses or networks, such as 10.0.0.7,10.1.0.0/16"
            ) from None
    return names


def split_names(text: str) -> tuple[str, ...]:
    """Return the names of a list with commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
