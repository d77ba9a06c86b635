"""What AWS's own command line keeps in its files and variables: keys, region and where S3 is asked.

Source: https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html and
https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html, in botocore's order.
"""

from __future__ import annotations

import configparser
from collections.abc import Iterable, Mapping
from pathlib import Path

from penstock.base.errors import Invalid
from penstock.storage.object_store.variables import expand

_NAMES = {
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
    "region": "region",
}
_NO_PROFILES = ("services ", "sso-session ")


def find_profile(options: Mapping[str, str], variables: Mapping[str, str]) -> str | None:
    """Return the name of the profile that the remote or the environment asks for."""
    return options.get("profile") or variables.get("AWS_PROFILE") or variables.get("AWS_DEFAULT_PROFILE")


def find_files(options: Mapping[str, str], variables: Mapping[str, str]) -> tuple[Path | None, Path | None]:
    """Return the files of configuration and of credentials; None is one below a home that is not known."""
    config = options.get("configpath") or variables.get("AWS_CONFIG_FILE") or "~/.aws/config"
    credentials = (
        options.get("credentialpath") or variables.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    )
    return expand(config), expand(credentials)


def read_aws_profile(path: Path | None, profile: str = "default") -> dict[str, str]:
    """Return `access_key_id`, `secret_access_key`, `session_token` and `region` of an AWS profile file.

    A missing file or profile gives an empty mapping.
    """
    section = _read_section(_read(path), profile)
    return {name: section[key] for key, name in _NAMES.items() if key in section}


def explain_lack(files: Iterable[Path | None], profile: str, is_asked_for: bool) -> str:
    """Return why a profile gave no keys; nothing is said of a default one that nobody wrote."""
    profiles: set[str] = set()
    for path in files:
        names = _read(path).sections()
        profiles.update(name.removeprefix("profile ") for name in names if not name.startswith(_NO_PROFILES))
    if profile in profiles:
        return f"profile {profile} has no keys; role_arn, sso and credential_process are not read here"
    if not is_asked_for:
        return ""
    return f"there is no profile {profile}, only {', '.join(sorted(profiles)) or 'none at all'}"


_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")  # the last is obstore's own


def find_endpoint(variables: Mapping[str, str], config: Path | None, profile: str) -> str | None:
    """Return the URL that S3 is asked at, or None for AWS's own.

    Raises:
        Invalid: the profile names a section of services that is not in its file.
    """
    parser = _read(config)
    section = _read_section(parser, profile)
    ignore = variables.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") or section.get(
        "ignore_configured_endpoint_urls"
    )
    if (ignore or "").lower() == "true":
        return None
    for name in _ENDPOINTS:
        if found := variables.get(name):
            return found
    if services := section.get("services"):
        if not parser.has_section(f"services {services}"):
            raise Invalid(
                f"profile {profile} of {config} names services {services}, which the file does not have",
                code="storage.bad_options",
                hint=f"add a section [services {services}], or take the line out",
            )
        nested = dict(parser.items(f"services {services}")).get("s3", "").splitlines()
        pairs = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in nested)}
        if found := pairs.get("endpoint_url"):
            return found
    return section.get("endpoint_url") or None


def has_endpoint(variables: Mapping[str, str]) -> bool:
    """Say whether obstore would follow a variable, be it empty or to be ignored."""
    return any(name in variables for name in _ENDPOINTS)


def _read(path: Path | None) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    try:
        parser.read(path or (), encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return configparser.RawConfigParser()
    return parser


def _read_section(parser: configparser.RawConfigParser, profile: str) -> dict[str, str]:
    for name in (profile, f"profile {profile}"):
        if parser.has_section(name):
            return dict(parser.items(name))
    return {}
