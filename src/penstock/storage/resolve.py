"""From a URL and DVC's remote options to a backend.

The option names are DVC's (`endpointurl`, `access_key_id`, `profile`, …), because that is what stands in
`.dvc/config`; this module turns them into each implementation's own. Heavy adapters are imported only
when a URL asks for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from penstock.base.errors import Invalid
from penstock.storage.backend import Backend
from penstock.storage.local import LocalBackend
from penstock.storage.memory import MemoryBackend

SCHEMES = ("s3", "gs", "azure", "http", "https", "file", "memory")
_TRUE = {"true", "1", "yes", "on"}


def open_backend(url: str, options: Mapping[str, str] | None = None) -> Backend:
    """Open the backend at `url` (`/path`, `file://`, `s3://bucket/prefix`, `gs://`, `azure://`, `https://`).

    Nothing is contacted yet. `options` are a DVC remote's keys.

    Raises:
        Invalid: the scheme is unknown or an option is wrong.
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
            url=url,
        )
    return _open_object_store(scheme, url, options)


def _open_object_store(scheme: str, url: str, options: Mapping[str, str]) -> Backend:
    from penstock.storage import objectstore as adapter

    place, _, path = url.partition("://")[2].partition("/")
    prefix = path.strip("/")
    jobs = _number(options, "jobs", 0)
    if scheme == "s3":
        backend = adapter.open_s3(place, prefix, adapter.Options(*_s3(options)), url)
    elif scheme == "gs":
        config = {"service_account": options["credentialpath"]} if "credentialpath" in options else {}
        backend = adapter.open_gcs(place, prefix, adapter.Options(config, {}), url)
    elif scheme == "azure":
        names = {"account_name": "account_name", "account_key": "account_key", "sas_token": "sas_key"}
        config = {names[key]: value for key, value in options.items() if key in names}
        backend = adapter.open_azure(place, prefix, adapter.Options(config, {}), url)
    else:
        backend = adapter.open_http(url, adapter.Options({}, {"allow_http": True}))
    if jobs:
        backend.jobs = min(jobs, adapter.MAX_JOBS)
    return backend


def _s3(options: Mapping[str, str]) -> tuple[dict[str, object], dict[str, object]]:
    from penstock.storage.objectstore import read_aws_profile

    config: dict[str, object] = {}
    client: dict[str, object] = {}
    named = {"profile", "configpath", "credentialpath"} & options.keys()
    if named:
        profile = options.get("profile", "default")
        for name, default in (("configpath", "~/.aws/config"), ("credentialpath", "~/.aws/credentials")):
            config.update(read_aws_profile(Path(options.get(name, default)).expanduser(), profile))
    names = {
        "access_key_id": "access_key_id",
        "secret_access_key": "secret_access_key",
        "session_token": "session_token",
        "region": "region",
        "endpointurl": "endpoint",
    }
    config.update({names[key]: value for key, value in options.items() if key in names})
    if options.get("allow_anonymous_login", "").lower() in _TRUE:
        config["skip_signature"] = True
    endpoint = str(config.get("endpoint", ""))
    if endpoint.startswith("http://"):
        client["allow_http"] = True
    if options.get("ssl_verify", "true").lower() == "false":
        client["allow_invalid_certificates"] = True
    for key, name in (("connect_timeout", "connect_timeout"), ("read_timeout", "timeout")):
        if key in options:
            client[name] = f"{_number(options, key, 60)}s"
    return config, client


def _number(options: Mapping[str, str], key: str, default: int) -> int:
    text = options.get(key)
    if text is None:
        return default
    try:
        return int(text)
    except ValueError:
        raise Invalid(
            f"remote option {key} must be a whole number, not {text!r}",
            code="storage.bad_options",
            option=key,
        ) from None
