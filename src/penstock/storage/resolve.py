"""From a URL and DVC's remote options to a backend.

The option names are DVC's (`endpointurl`, `access_key_id`, `profile`, …), because that is what stands in
`.dvc/config`. Heavy adapters are imported only when a URL asks for them, and an optional one that is not
installed is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from penstock.base.errors import Invalid, Unavailable
from penstock.storage.backend import Backend
from penstock.storage.local import LocalBackend
from penstock.storage.memory import MemoryBackend

SCHEMES = ("s3", "gs", "azure", "ssh", "http", "https", "file", "memory")
_TRUE = {"true", "1", "yes", "on"}


def open_backend(url: str, options: Mapping[str, str] | None = None) -> Backend:
    """Open the backend at `url`: `/path`, `file://`, `s3://bucket/prefix`, `gs://`, `azure://`, `ssh://`, `https://`.

    Nothing is contacted yet. `options` are a DVC remote's keys.

    Raises:
        Invalid: the scheme is unknown or an option is wrong.
        Unavailable: the URL's adapter is not installed.
    """
    options = options or {}
    scheme, separator, _ = url.partition("://")
    if not separator:
        return LocalBackend(Path(url))
    if scheme == "file":
        return LocalBackend(Path("/" + url.removeprefix("file://").partition("/")[2]))
    if scheme == "memory":
        return MemoryBackend(url)
    if scheme not in SCHEMES:
        raise Invalid(
            f"no storage for {scheme}:// URLs",
            code="storage.unknown_scheme",
            hint=f"use a path or one of {', '.join(f'{name}://' for name in SCHEMES)}",
            url=without_password(url),
        )
    return _open_ssh(url, options) if scheme == "ssh" else _open_object_store(scheme, url, options)


def without_password(url: str) -> str:
    """Return a URL as it may be shown: a password in it becomes `***`.

    Example:
        >>> without_password("https://me:secret@example.org/data")
        'https://me:***@example.org/data'
    """
    head, separator, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    credentials, at, host = place.rpartition("@")
    user, colon, _ = credentials.partition(":")
    return f"{head}{separator}{user}:***{at}{host}{slash}{path}" if separator and colon else url


def shown_url(url: str) -> str:
    """Return a URL for messages: no password, no token in the user's place, no query of a web server (signatures).

    Example:
        >>> shown_url("https://ghp_token@example.org/data.csv?X-Signature=abc")
        'https://***@example.org/data.csv?…'
    """
    shown = without_password(url)
    scheme, separator, rest = shown.partition("://")
    if not separator or scheme not in {"http", "https"}:
        return shown
    place, slash, path = rest.partition("/")
    user, at, host = place.rpartition("@")
    head, query, _ = path.partition("?")
    return f"{scheme}://{user if ':' in user else '***' if at else ''}{at}{host}{slash}{head}{query and '?…'}"


def split_url(url: str) -> tuple[str, str]:
    """Return the place to open and the key in it that a file's URL means.

    Raises:
        Invalid: the URL names no file.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        rest = url
    if scheme in {"http", "https"}:
        parts = urlsplit(url)
        name = unquote(parts.path.rpartition("/")[2])
        place = url if parts.query else url.partition("#")[0].rpartition("/")[0]
    else:
        place, _, name = url.rstrip("/").rpartition("/")
    if not name or "/" not in rest:
        raise Invalid(
            f"{shown_url(url)} names no file",
            code="storage.bad_url",
            hint="add the file's path to the URL",
        )
    return place, name


def _open_object_store(scheme: str, url: str, options: Mapping[str, str]) -> Backend:
    from penstock.storage.object_store import backend as adapter
    from penstock.storage.object_store import options as store_options

    place, _, path = url.partition("://")[2].partition("/")
    prefix = path.strip("/")
    jobs = _number(options, "jobs")
    shown = shown_url(url)
    backend: adapter.ObjectStoreBackend
    if scheme == "s3":
        backend = adapter.open_s3(place, prefix, store_options.s3_options(options), shown)
    elif scheme == "gs":
        backend = adapter.open_gcs(place, prefix, store_options.gcs_options(options), shown)
    elif scheme == "azure":
        backend = adapter.open_azure(place, prefix, store_options.azure_options(options), shown)
    else:
        from penstock.storage.object_store.webserver import HttpBackend

        settings = store_options.http_options(url, options)
        bare = f"{scheme}://{place.rpartition('@')[2]}/{path}"  # the settings have who asks
        store = adapter.open_http(bare, settings, shown)
        backend = HttpBackend(store, shown)
    if jobs:
        backend.jobs = min(jobs, adapter.MAX_JOBS)
    return backend


def _open_ssh(url: str, options: Mapping[str, str]) -> Backend:
    try:
        from penstock.storage.sftp.backend import JOBS, SshBackend
        from penstock.storage.sftp.connection import CHANNELS, SshTarget
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"ssh:// needs a package that is not installed: {error.name}",
            code="storage.not_installed",
            hint="pip install 'penstock[ssh]'",
        ) from None
    try:
        place = urlsplit(url)
        port = place.port
    except ValueError:
        place, port = urlsplit(""), None
    if not place.hostname:
        raise Invalid(
            f"{without_password(url)} is not an SSH URL",
            code="storage.bad_url",
            hint="ssh://user@host:port/path",
        )
    password = options.get("password") or (unquote(place.password) if place.password else None)
    target = SshTarget(
        without_password(url),
        place.hostname,
        port=_number(options, "port") or port,
        user=options.get("user") or (unquote(place.username) if place.username else None),
        password=password,
        keyfile=options.get("keyfile"),
        passphrase=options.get("passphrase"),
        timeout_s=float(_number(options, "timeout") or 60),
        has_agent=options.get("allow_agent", "true").lower() in _TRUE,
        has_gss=options.get("gss_auth", "false").lower() in _TRUE,
        max_sessions=_number(options, "max_sessions") or CHANNELS,
    )
    return SshBackend(target, place.path, _number(options, "jobs") or JOBS)


def _number(options: Mapping[str, str], key: str) -> int:
    text = options.get(key, "0")
    try:
        return int(text)
    except ValueError:
        raise Invalid(
            f"remote option {key} must be a whole number, not {text!r}",
            code="storage.bad_options",
            option=key,
        ) from None
