"""Where DVC keeps what is a machine's or a user's rather than a repository's.

Its variables and those of the XDG specification name the places; docs/decisions/0007 says why they are read here.

Source: dvc/dirs.py (3.67), platformdirs.unix, https://specifications.freedesktop.org/basedir-spec
"""

from __future__ import annotations

import os
from pathlib import Path


def system_config() -> Path:
    """Return the configuration of this machine; the file need not exist."""
    folders = os.environ.get("XDG_CONFIG_DIRS", "").strip().split(os.pathsep)
    return Path(os.environ.get("DVC_SYSTEM_CONFIG_DIR") or Path(folders[0] or "/etc/xdg", "dvc"), "config")


def global_config() -> Path:
    """Return the configuration of this user; the file need not exist."""
    folder = os.environ.get("XDG_CONFIG_HOME", "").strip() or Path.home() / ".config"
    return Path(os.environ.get("DVC_GLOBAL_CONFIG_DIR") or Path(folder, "dvc"), "config")


def site_cache(configured: str | None) -> str:
    """Return the directory with DVC's state of each repository; `configured` is the option `core.site_cache_dir`."""
    return os.environ.get("DVC_SITE_CACHE_DIR") or configured or "/var/tmp/dvc"
