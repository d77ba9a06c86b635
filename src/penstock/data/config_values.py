"""Which options DVC knows and which values it takes: a wrong one would stop every `dvc` command in the repository.

Source: dvc/config_schema.py (3.67).
"""

from __future__ import annotations

import difflib

from penstock.base.errors import Invalid
from penstock.base.links import LINK_KINDS
from penstock.data.config import REMOTE

KNOWN = {
    "core": "analytics autostage check_update checksum_jobs experiments hardlink_lock interactive machine "
    "no_scm remote site_cache_dir",
    "cache": "azure dir gs hdfs local protected s3 shared slow_link_warning ssh type verify webhdfs",
    "state": "dir row_cleanup_quota row_limit",
    "index": "dir",
    "plots": "auto_open html_template out_dir",
    "exp": "auto_push code data git_remote live metrics models params plots",
    "parsing": "bool list",
    "hydra": "config_dir config_module config_name enabled plugins_path",
    "studio": "offline repo_url token url",
    "feature": "machine data_index_cache push_exp_to_git_remote",
}
REMOTE_KEYS = frozenset(  # dvc/config_schema.py, REMOTE_SCHEMAS (3.67): of all kinds of remote together
    [
        "access_key_id",
        "account_key",
        "account_name",
        "acl",
        "agent_path",
        "allow_agent",
        "allow_anonymous_login",
        "ask_passphrase",
        "ask_password",
        "auth",
        "bearer_token_command",
        "cache_regions",
        "cert_path",
        "checksum_jobs",
        "client_id",
        "client_secret",
        "configpath",
        "connect_timeout",
        "connection_string",
        "connection_timeout",
        "credentialpath",
        "custom_auth_header",
        "data_proxy_target",
        "endpointurl",
        "exclude_environment_credential",
        "exclude_managed_identity_credential",
        "exclude_shared_token_cache_credential",
        "exclude_visual_studio_code_credential",
        "gdrive_acknowledge_abuse",
        "gdrive_client_id",
        "gdrive_client_secret",
        "gdrive_service_account_json_file_path",
        "gdrive_service_account_user_email",
        "gdrive_trash_only",
        "gdrive_use_service_account",
        "gdrive_user_credentials_file",
        "grant_full_control",
        "grant_read",
        "grant_read_acp",
        "grant_write_acp",
        "gss_auth",
        "jobs",
        "kerb_ticket",
        "kerberos",
        "kerberos_principal",
        "key_path",
        "keyfile",
        "listobjects",
        "max_sessions",
        "method",
        "no_traverse",
        "oss_endpoint",
        "oss_key_id",
        "oss_key_secret",
        "passphrase",
        "password",
        "port",
        "profile",
        "projectname",
        "protected",
        "proxy_to",
        "read_timeout",
        "region",
        "replication",
        "sas_token",
        "secret_access_key",
        "session_token",
        "shared",
        "slow_link_warning",
        "sse",
        "sse_customer_algorithm",
        "sse_customer_key",
        "sse_kms_key_id",
        "ssl_verify",
        "tenant_id",
        "timeout",
        "token",
        "type",
        "url",
        "use_https",
        "use_ssl",
        "user",
        "verify",
        "version_aware",
        "worktree",
    ]
)
BOOLEANS = frozenset(
    {f"core.{key}" for key in ("analytics", "autostage", "check_update", "hardlink_lock", "no_scm")}
    | {"core.interactive", "cache.protected", "cache.slow_link_warning", "exp.auto_push", "hydra.enabled"}
)
REMOTE_BOOLEANS = frozenset(
    [
        "allow_agent",
        "allow_anonymous_login",
        "ask_passphrase",
        "ask_password",
        "exclude_environment_credential",
        "exclude_managed_identity_credential",
        "exclude_shared_token_cache_credential",
        "exclude_visual_studio_code_credential",
        "gdrive_acknowledge_abuse",
        "gdrive_trash_only",
        "gdrive_use_service_account",
        "gss_auth",
        "kerberos",
        "listobjects",
        "no_traverse",
        "protected",
        "slow_link_warning",
        "use_https",
        "use_ssl",
        "verify",
        "version_aware",
        "worktree",
    ]
)
COUNTS = frozenset({"jobs", "checksum_jobs"})  # whole numbers from 1
NUMBERS = frozenset({"connection_timeout", "max_sessions", "port", "timeout"})
SECONDS = frozenset({"connect_timeout", "read_timeout"})
SCHEMES = [
    "azure",
    "gdrive",
    "gs",
    "hdfs",
    "http",
    "https",
    "oss",
    "remote",
    "s3",
    "ssh",
    "webdav",
    "webdavs",
    "webhdfs",
]


def check_value(section: str, key: str, value: str) -> None:
    """Refuse what DVC would call an error in this file: an unknown section or key, or a value of another kind.

    Raises:
        Invalid: as said.
    """
    name = f"{section}.{key}"
    if REMOTE.match(section):
        if key not in REMOTE_KEYS:
            near = difflib.get_close_matches(key, sorted(REMOTE_KEYS), 3)
            raise Invalid(
                f"{key} is not an option of a remote",
                code="config.unknown",
                hint=f"near it: {', '.join(near)}"
                if near
                else "penstock remote modify NAME url URL, for one",
                key=key,
            )
        if key == "url":
            _check_url(value)
        _check_kind(key, value, is_boolean=key in REMOTE_BOOLEANS)
        return
    if '"' in section:
        return
    known = KNOWN.get(section, "").split()
    if key not in known:
        raise Invalid(
            f"{name} is not an option of DVC",
            code="config.unknown",
            hint=f"known: {', '.join(known)}" if known else f"sections: {', '.join(KNOWN)}",
            key=name,
        )
    if name == "cache.type":
        unknown = [word for word in value.split(",") if word.strip() not in LINK_KINDS]
        _refuse_unless(not unknown, name, f"some of {', '.join(LINK_KINDS)}", value)
    elif name == "cache.shared":
        _refuse_unless(value.lower() == "group", name, "group", value)
    _check_kind(name if section == "cache" else key, value, is_boolean=name in BOOLEANS, shown=name)


def _check_kind(key: str, value: str, *, is_boolean: bool, shown: str = "") -> None:
    shown = shown or key
    if is_boolean:
        _refuse_unless(value.lower() in {"true", "false"}, shown, "true or false", value)
    elif key in COUNTS:
        _refuse_unless(value.isdecimal() and int(value) > 0, shown, "a whole number from 1", value)
    elif key in NUMBERS:
        _refuse_unless(value.removeprefix("-").isdecimal(), shown, "a whole number", value)
    elif key in SECONDS:
        _refuse_unless(value.replace(".", "", 1).isdecimal(), shown, "a number of seconds", value)


def _check_url(value: str) -> None:
    scheme, separator, rest = value.partition("://")
    if not separator or not rest.partition("/")[0] or scheme in SCHEMES:
        return  # without a host it is a directory, `file:///…` too
    raise Invalid(
        f"no remote can have a {scheme}:// URL",
        code="config.invalid",
        hint=f"use a path or one of {', '.join(f'{known}://' for known in SCHEMES)}",
    )


def _refuse_unless(is_right: bool, name: str, expected: str, value: str) -> None:
    if not is_right:
        raise Invalid(f"{name} must be {expected}, not {value!r}", code="config.invalid", key=name)
