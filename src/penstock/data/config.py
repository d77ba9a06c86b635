"""DVC's configuration: `.dvc/config` and its three other levels, merged and edited.

Later levels win: system, global, repository (`.dvc/config`), local (`.dvc/config.local`). Keys are
lower-cased; a relative `url` or `cache.dir` means relative to the file that holds it. Penstock's own
settings are not here: unknown keys in these files are DVC's errors.

Source: dvc/config.py and dvc/config_schema.py (3.67).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from penstock.base.errors import Invalid
from penstock.base.files import write_atomic

LEVELS = ("system", "global", "repo", "local")
Sections = dict[str, dict[str, str]]
_HEADER = re.compile(r"""\[(?:'([\w ".-]+)'|([\w.-]+))\]\Z""")
_PLAIN = re.compile(r"""([\w.-]+) *= *([^'"#,\s](?:[^'"#,]*[^'"#,\s])?)?\Z""")
REMOTE = re.compile(r'remote "(.+)"\Z')
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
_NAME = re.compile(r"(?:(remote|db)\.)?([^.]+)\.([^.]+)\Z")


@dataclass(frozen=True)
class Config:
    """The merged sections; a remote's section is called `remote "name"`."""

    sections: Mapping[str, Mapping[str, str]]

    def get(self, section: str, key: str) -> str | None:
        """Return a value, or None where no level sets it."""
        return self.sections.get(section, {}).get(key)

    def is_set(self, section: str, key: str, default: bool = False) -> bool:
        """Return a boolean value.

        Raises:
            Invalid: it is neither true nor false.
        """
        text = self.get(section, key)
        if text is None:
            return default
        if text.lower() in {"true", "yes", "on", "1"}:
            return True
        if text.lower() in {"false", "no", "off", "0"}:
            return False
        raise Invalid(
            f"{section}.{key} must be true or false, not {text!r}",
            code="config.invalid",
            key=f"{section}.{key}",
        )

    def remotes(self) -> dict[str, Mapping[str, str]]:
        """Return every remote's keys by name."""
        found = {}
        for section, values in self.sections.items():
            match = REMOTE.match(section)
            if match:
                found[match[1]] = values
        return found


def level_paths(dvc_dir: Path) -> dict[str, Path]:
    """Return where each level's file is; it need not exist."""
    return {
        "system": Path("/etc/xdg/dvc/config"),
        "global": Path.home() / ".config" / "dvc" / "config",
        "repo": dvc_dir / "config",
        "local": dvc_dir / "config.local",
    }


def load_config(dvc_dir: Path) -> Config:
    """Merge the four levels of the repository whose `.dvc` is given.

    Raises:
        Invalid: a file cannot be parsed.
    """
    merged: Sections = {}
    for path in level_paths(dvc_dir).values():
        for section, values in read_resolved(path).items():
            merged.setdefault(section, {}).update(values)
    return Config(merged)


def split_name(name: str) -> tuple[str, str]:
    """Return the section and key that `core.remote` or `remote.NAME.url` means.

    Raises:
        Invalid: it has another form.
    """
    match = _NAME.match(name)
    if match is None:
        raise Invalid(
            f"{name!r} names no option",
            code="config.bad_name",
            hint="write section.option, or remote.NAME.option",
        )
    kind, section, key = match.groups()
    return (f'{kind} "{section.lower()}"' if kind else section.lower()), key.lower()


def check_value(section: str, key: str, value: str) -> None:
    """Refuse what DVC would call an error in this file: an unknown section or key, a bad boolean.

    Raises:
        Invalid: as said.
    """
    if REMOTE.match(section) and key not in REMOTE_KEYS:
        import difflib

        near = difflib.get_close_matches(key, sorted(REMOTE_KEYS), 3)
        raise Invalid(
            f"{key} is not an option of a remote",
            code="config.unknown",
            hint=f"near it: {', '.join(near)}" if near else "penstock remote modify NAME url URL, for one",
            key=key,
        )
    if '"' in section:
        return
    known = KNOWN.get(section, "").split()
    if key not in known:
        raise Invalid(
            f"{section}.{key} is not an option of DVC",
            code="config.unknown",
            hint=f"known: {', '.join(known)}" if known else f"sections: {', '.join(KNOWN)}",
            key=f"{section}.{key}",
        )
    if f"{section}.{key}" in BOOLEANS:
        Config({section: {key: value}}).is_set(section, key)


def is_path_option(section: str, key: str) -> bool:
    """Say whether a relative value of the option counts from the file that holds it."""
    return (section == "cache" and key == "dir") or (REMOTE.match(section) is not None and key == "url")


def read_resolved(path: Path) -> Sections:
    """Read one level with its relative paths made absolute."""
    return {
        section: {key: _resolve(section, key, value, path.parent) for key, value in values.items()}
        for section, values in read_level(path).items()
    }


def _resolve(section: str, key: str, value: str, base: Path) -> str:
    if is_path_option(section, key) and "://" not in value and not value.startswith("/"):
        return os.path.normpath(base / Path(value).expanduser())
    return value


def read_level(path: Path) -> Sections:
    """Read one file's sections as they are written; a missing file is empty.

    Raises:
        Invalid: it cannot be parsed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} cannot be read: {error}", code="config.unreadable", file=str(path)) from None
    simple = _parse_simple(text)
    return _parse_any(path) if simple is None else simple


def _parse_simple(text: str) -> Sections | None:
    """Parse what DVC itself writes; None when the text has anything else (10 ms less than configobj)."""
    sections: Sections = {}
    current: dict[str, str] | None = None
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        header = _HEADER.match(line)
        if header:
            name = (header[1] or header[2]).lower()
            if name in sections:
                return None
            current = sections[name] = {}
            continue
        pair = _PLAIN.match(line)
        if pair is None or current is None:
            return None
        current[pair[1].lower()] = pair[2] or ""
    return sections


def _parse_any(path: Path) -> Sections:
    document = _open_document(path)
    found: Sections = {}
    for section in document.sections:
        body = document[section]
        found[str(section).lower()] = {
            str(key).lower(): ",".join(value) if isinstance(value, list) else str(value)
            for key, value in body.items()
            if not isinstance(value, dict)
        }
    return found


def _open_document(path: Path):  # type: ignore[no-untyped-def]
    import configobj

    try:
        document = configobj.ConfigObj(
            str(path), encoding="utf-8", interpolation=False, indent_type="    ", list_values=True
        )
    except (configobj.ConfigObjError, UnicodeDecodeError) as error:
        raise Invalid(
            f"{path} is not a valid config: {error}", code="config.invalid", file=str(path)
        ) from None
    if not any(line.strip() for line in document.initial_comment):
        document.initial_comment = []
    return document


def set_value(path: Path, section: str, key: str, value: str | None) -> None:
    """Set a value in one level's file, or remove it (and its section, once empty) with None.

    Comments and the order of the file are kept.
    """
    document = _open_document(path)
    if value is None:
        if section in document:
            document[section].pop(key, None)
            if not document[section]:
                del document[section]
    else:
        document.setdefault(section, {})[key] = value
    _save(path, document)


def _order(sections: list[str]) -> None:
    """Put named sections (remotes) last, as DVC does."""
    sections.sort(key=lambda name: '"' in name)


def remove_section(path: Path, section: str) -> bool:
    """Remove a whole section; say whether it was there."""
    document = _open_document(path)
    if section not in document:
        return False
    del document[section]
    _save(path, document)
    return True


def rename_section(path: Path, old: str, new: str) -> bool:
    """Rename a section in place; say whether it was there."""
    document = _open_document(path)
    if old not in document:
        return False
    body = document[old].dict()
    del document[old]
    document[new] = body
    _save(path, document)
    return True


def _save(path: Path, document) -> None:  # type: ignore[no-untyped-def]
    _order(document.sections)
    lines = document.write() if document.filename is None else _lines(document)
    text = "".join(f"{line}\n" for line in lines) or "\n"  # DVC leaves an empty line where all is gone
    write_atomic(path, text.encode(), durable=False)


def _lines(document) -> list[str]:  # type: ignore[no-untyped-def]
    document.filename = None
    return [line.decode() if isinstance(line, bytes) else line for line in document.write()]
