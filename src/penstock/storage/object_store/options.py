"""From the keys of a DVC remote to the settings of an object store's client.

One function for each kind of store. Keys that only DVC's own clients understand (`acl`, `grant_*`,
`exclude_*_credential`, …) are left out; what is not given is looked for in the environment by obstore itself.

Source: dvc/config_schema.py (3.67), dvc_s3, dvc_azure and dvc_http's `__init__.py`.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from penstock.base.errors import Invalid
from penstock.storage.object_store.aws_profile import (
    explain_lack,
    find_endpoint,
    find_files,
    find_profile,
    has_endpoint,
    read_aws_profile,
)
from penstock.storage.object_store.backend import Options
from penstock.storage.object_store.variables import expand, read_variables

VIRTUAL_HOSTS = "AWS_VIRTUAL_HOSTED_STYLE_REQUEST"
CONNECTION = "AZURE_STORAGE_CONNECTION_STRING"
AZURE_ENDPOINTS = ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
AZURE_KEYS = {"account_name", "account_key", "sas_token", "tenant_id", "client_id", "client_secret"}
CONNECT_S = 20
SILENT_S = 60  # DVC's; how long a store may say nothing
TRUE = {"true", "1", "yes", "on"}
EMULATOR_ACCOUNT = "devstoreaccount1"  # the published account and key of Azure's emulators
EMULATOR_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
EMULATOR_ENDPOINT = f"http://127.0.0.1:10000/{EMULATOR_ACCOUNT}"


def s3_options(options: Mapping[str, str], variables: Mapping[str, str] | None = None) -> Options:
    """Read the keys of an `s3://` remote; what they do not say is looked for where AWS's own clients look."""
    variables = read_variables() if variables is None else variables
    config: dict[str, Any] = {}
    files = find_files(options, variables)
    is_named = bool({"profile", "configpath", "credentialpath"} & options.keys())
    asked = find_profile(options, variables)
    profile = asked or "default"
    has_key = "access_key_id" in options or bool(variables.get("AWS_ACCESS_KEY_ID"))
    lack = ""
    if is_named or not (has_key or is_set(options, "allow_anonymous_login")):
        for path in files:
            config.update(read_aws_profile(path, profile))
        if not (has_key or "access_key_id" in config):
            lack = explain_lack(files, profile, is_asked_for=asked is not None)
    config.update(
        _renamed(
            options,
            access_key_id="access_key_id",
            secret_access_key="secret_access_key",
            session_token="session_token",
            sse="server_side_encryption",
            sse_kms_key_id="sse_kms_key_id",
        )
    )
    if "sse_customer_key" in options:
        config["server_side_encryption"] = "sse-c"
        config["sse_customer_key_base64"] = options["sse_customer_key"]
    if is_set(options, "allow_anonymous_login"):
        config["skip_signature"] = True
    region = options.get("region") or variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION")
    region = (
        region or read_aws_profile(files[0], profile).get("region") or config.get("region") or "us-east-1"
    )
    config["region"] = region
    found = None if options.get("endpointurl") else find_endpoint(variables, files[0], profile)
    endpoint = options.get("endpointurl") or found or ""
    if not endpoint and has_endpoint(variables):
        endpoint = f"https://s3.{region}.amazonaws.com"
    if endpoint and not is_set(options, "use_ssl", True):
        endpoint = "http://" + endpoint.partition("://")[2]
    if endpoint:
        # By this name it wins over the variables, which obstore reads too.
        config["aws_endpoint_url_s3"] = endpoint
    hosts = variables.get(VIRTUAL_HOSTS)
    # With it obstore takes the bucket to be in the endpoint already, which only the environment can mean.
    if (endpoint and not (found and hosts)) or hosts == "":
        config["virtual_hosted_style_request"] = False
    return Options(config, _client(options, endpoint), lack)


def gcs_options(options: Mapping[str, str], variables: Mapping[str, str] | None = None) -> Options:
    """Read the keys of a `gs://` remote; `projectname` is needed only to make buckets, which is not done.

    `STORAGE_EMULATOR_HOST` is where Google's own clients ask an emulator, without credentials.
    """
    variables = read_variables() if variables is None else variables
    config: dict[str, Any] = _renamed(options, credentialpath="service_account", endpointurl="base_url")
    emulator = variables.get("STORAGE_EMULATOR_HOST", "")
    if emulator and "base_url" not in config:
        config["base_url"] = emulator if "://" in emulator else f"http://{emulator}"
        if "service_account" not in config:
            config["skip_signature"] = True
    if "service_account" in config:
        path = expand(config["service_account"])
        if path is None or not path.is_file():
            raise Invalid(
                f"the remote's credentialpath {path or config['service_account']} is no file",
                code="storage.bad_options",
                hint="penstock remote modify --local NAME credentialpath FILE",
            )
        config["service_account"] = str(path)
    if is_set(options, "allow_anonymous_login"):
        config["skip_signature"] = True
    return Options(
        config, _client(options, str(config.get("base_url") or variables.get("GOOGLE_BASE_URL", "")))
    )


def azure_options(options: Mapping[str, str], variables: Mapping[str, str] | None = None) -> Options:
    """Read the keys of an `azure://` remote; what a connection string says yields to single keys.

    Without keys `AZURE_STORAGE_CONNECTION_STRING` counts, as for Azure's own clients.
    """
    variables = read_variables() if variables is None else variables
    config: dict[str, Any] = {}
    is_anonymous = is_set(options, "allow_anonymous_login")
    text, source = options.get("connection_string"), "the remote's connection_string"
    if text is None and not is_anonymous and not AZURE_KEYS & options.keys():
        text, source = variables.get(CONNECTION, "").strip() or None, f"the variable {CONNECTION}"
    if text is not None:
        config = parse_connection_string(text, source)
    config.update(
        _renamed(
            options,
            account_name="account_name",
            account_key="account_key",
            sas_token="sas_key",
            tenant_id="tenant_id",
            client_id="client_id",
            client_secret="client_secret",
        )
    )
    if is_anonymous:
        config["skip_signature"] = True
    if "account_key" in config:
        place = "the remote's account_key" if "account_key" in options else f"the AccountKey of {source}"
        try:
            base64.b64decode(config["account_key"], validate=True)
        except ValueError:
            raise Invalid(
                f"{place} is not base64, as Azure's keys are",
                code="storage.bad_options",
                hint="copy it from the account's access keys",
            ) from None
    endpoint = next((variables[name] for name in AZURE_ENDPOINTS if variables.get(name)), "")
    account = config.get("account_name") or variables.get("AZURE_STORAGE_ACCOUNT_NAME")
    if account and "endpoint" not in config and any(variables.get(name) == "" for name in AZURE_ENDPOINTS):
        # Obstore would follow the empty one.
        config["endpoint"] = endpoint or f"https://{account}.blob.core.windows.net"
    return Options(config, _client(options, str(config.get("endpoint", endpoint))))


def parse_connection_string(text: str, source: str = "the remote's connection_string") -> dict[str, Any]:
    """Return an Azure connection string as settings: account, key or signature, endpoint.

    Raises:
        Invalid: it has another form; `source`, where it stands, is named, and its text is not repeated.

    Source: https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string
    """
    pairs = [part.partition("=") for part in text.split(";") if part.strip()]
    found = {name.strip().lower(): value for name, equals, value in pairs if equals}
    if len(found) != len(pairs) or not found:
        raise Invalid(
            f"{source} is not a list of NAME=VALUE with semicolons between",
            code="storage.bad_options",
            hint="copy it from the account's access keys",
        )
    if found.get("usedevelopmentstorage", "").lower() == "true":
        endpoint = found.get("developmentstorageproxyuri", EMULATOR_ENDPOINT)
        return {"account_name": EMULATOR_ACCOUNT, "account_key": EMULATOR_KEY, "endpoint": endpoint}
    config = _renamed(
        found,
        accountname="account_name",
        accountkey="account_key",
        sharedaccesssignature="sas_key",
        blobendpoint="endpoint",
    )
    if "endpoint" not in config and "account_name" in config:
        protocol, suffix = found.get("defaultendpointsprotocol", "https"), found.get("endpointsuffix")
        if suffix:
            config["endpoint"] = f"{protocol}://{config['account_name']}.blob.{suffix}"
    if "endpoint" in config and "account_name" not in config:
        place = urlsplit(config["endpoint"])
        host = (place.hostname or "").partition(".blob.")
        config["account_name"] = host[0] if host[1] else place.path.strip("/")
    return config


def http_options(url: str, options: Mapping[str, str]) -> Options:
    """Read the keys of an `http://` or `https://` remote, and a user and password in the URL.

    Raises:
        Invalid: what the method of `auth` needs is missing, or the method is unknown.
    """
    client = _client(options, url)
    method = options.get("auth", "").lower()
    place = urlsplit(url)
    user, password = options.get("user"), options.get("password")
    if not method and place.username is not None:
        method, user, password = "basic", unquote(place.username), unquote(place.password or "")
    if method == "basic":
        if user is None or password is None:
            raise _incomplete("basic", "user", "password")
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        client["default_headers"] = {"authorization": f"Basic {token}"}
    elif method == "custom":
        header = options.get("custom_auth_header")
        if header is None or password is None:
            raise _incomplete("custom", "custom_auth_header", "password")
        client["default_headers"] = {header.lower(): password}
    elif method:
        raise Invalid(
            f"auth {method!r} of an HTTP remote is not supported",
            code="storage.bad_options",
            hint="use basic or custom",
        )
    return Options({}, client)


def _incomplete(method: str, *keys: str) -> Invalid:
    return Invalid(
        f"auth {method} of an HTTP remote needs {' and '.join(keys)}",
        code="storage.bad_options",
        hint=f"penstock remote modify --local NAME {shlex.quote(keys[-1])} VALUE",
    )


def _client(options: Mapping[str, str], endpoint: str) -> dict[str, Any]:
    client: dict[str, Any] = {}
    if endpoint.startswith("http://"):
        client["allow_http"] = True
    verify = options.get("ssl_verify", "true")
    if verify.lower() in {"false", "no", "off", "0"}:
        client["allow_invalid_certificates"] = True
    elif verify.lower() not in TRUE:
        try:
            client["root_certificate"] = (expand(verify) or Path(verify)).read_bytes()
        except OSError as error:
            raise Invalid(
                f"the remote's ssl_verify names {verify}, which cannot be read: {error.strerror}",
                code="storage.bad_options",
                hint="penstock remote modify NAME ssl_verify FILE",
            ) from error
    # obstore's own bound of 30 s for a whole request would cut large objects on slow lines.
    connect_s = number(options, "connect_timeout", number(options, "connection_timeout", CONNECT_S))
    silent_s = number(options, "read_timeout", number(options, "timeout", SILENT_S))
    client.update(connect_timeout=f"{connect_s}s", read_timeout=f"{silent_s}s", timeout="24h")
    return client


def is_set(options: Mapping[str, str], key: str, default: bool = False) -> bool:
    """Return a boolean option."""
    text = options.get(key)
    return default if text is None else text.lower() in TRUE


def number(options: Mapping[str, str], key: str, default: int) -> int:
    """Return a whole number of seconds or jobs.

    Raises:
        Invalid: it is not one.
    """
    text = options.get(key)
    if text is None:
        return default
    try:
        return int(float(text))
    except ValueError:
        raise Invalid(
            f"remote option {key} must be a whole number, not {text!r}",
            code="storage.bad_options",
            option=key,
        ) from None


def _renamed(options: Mapping[str, str], **names: str) -> dict[str, Any]:
    return {name: options[key] for key, name in names.items() if key in options}
