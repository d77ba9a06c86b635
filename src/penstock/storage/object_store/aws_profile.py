"""Keys and region from the files that AWS's own command line keeps."""

from __future__ import annotations

import configparser
from pathlib import Path


def read_aws_profile(path: Path, profile: str = "default") -> dict[str, str]:
    """Return `access_key_id`, `secret_access_key`, `session_token` and `region` of an AWS profile file.

    A missing file or profile gives an empty mapping.

    Source: https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html
    """
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return {}
    for section in (profile, f"profile {profile}"):
        if parser.has_section(section):
            found = dict(parser.items(section))
            names = {
                "aws_access_key_id": "access_key_id",
                "aws_secret_access_key": "secret_access_key",
                "aws_session_token": "session_token",
                "region": "region",
            }
            return {names[key]: value for key, value in found.items() if key in names}
    return {}
