"""What AWS's own command line keeps in its files and variables: keys, region and where S3 is asked.

Source: https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html and
https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html, in botocore's order.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path

from penstock.base.errors import Invalid

_NAMES = {
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
    "region": "region",
}


def find_profile(variables: Mapping[str, str]) -> str:
    """Return the name of the profile that the environment asks for."""
    return variables.get("AWS_PROFILE") or variables.get("AWS_DEFAULT_PROFILE") or "default"


def find_files(variables: Mapping[str, str]) -> tuple[Path, Path]:
    """Return the files of configuration and of credentials."""
    config = variables.get("AWS_CONFIG_FILE") or "~/.aws/config"
    credentials = variables.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    return Path(config).expanduser(), Path(credentials).expanduser()


def read_aws_profile(path: Path, profile: str = "default") -> dict[str, str]:
    """Return `access_key_id`, `secret_access_key`, `session_token` and `region` of an AWS profile file.

    A missing file or profile gives an empty mapping.
    """
    section = _read_section(_read(path), profile)
    return {name: section[key] for key, name in _NAMES.items() if key in section}


_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")  # the last is obstore's own


def find_endpoint(variables: Mapping[str, str], config: Path, profile: str, region: str) -> str | None:
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
        is_needed = any(variables.get(name) for name in _ENDPOINTS)  # obstore would follow them all the same
        return f"https://s3.{region}.amazonaws.com" if is_needed else None
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


def _read(path: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return configparser.RawConfigParser()
    return parser


def _read_section(parser: configparser.RawConfigParser, profile: str) -> dict[str, str]:
    for name in (profile, f"profile {profile}"):
        if parser.has_section(name):
            return dict(parser.items(name))
    return {}
