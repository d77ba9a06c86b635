"""Whether the store can be written, as far as that is known from here: what is not written is not told."""

from __future__ import annotations

import os
import shutil

from penstock.project.project import Project

NO_ROOM_BYTES = 1 << 20


def why_unwritable(project: Project) -> str:
    """Say why an embedded store cannot be written; empty where it can, and where it is a server's."""
    file = project.places.store_file
    if file is None or not file.exists():
        return ""
    free = shutil.disk_usage(file.parent).free
    if free < NO_ROOM_BYTES:
        return f"the store cannot be written: {free >> 10} KB are free on its disk"
    if not os.access(file, os.W_OK) or not os.access(file.parent, os.W_OK):
        return "the store cannot be written by this user"
    return ""
