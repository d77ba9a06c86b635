"""Links from one file to another: reflink, hard link, symbolic link, copy.

One function per kind, each creating `target` (which must not exist), and a probe that says which kinds a
pair of directories supports. It does not decide which to use; that is `penstock.data.verbs.checkout`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Literal, get_args

from penstock.base.staging import staging_name

LinkKind = Literal["reflink", "hardlink", "symlink", "copy"]
LINK_KINDS: tuple[LinkKind, ...] = get_args(LinkKind)
FICLONE = 0x40049409  # linux/fs.h


def reflink(source: str, target: str) -> None:
    """Make `target` share `source`'s blocks until one of them is written.

    Raises:
        OSError: the file system cannot (nothing is left behind), or `target` exists.
    """
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with open(source, "rb", buffering=0) as file:
            fcntl.ioctl(descriptor, FICLONE, file.fileno())
    except BaseException:
        os.unlink(target)
        raise
    finally:
        os.close(descriptor)


def link(kind: LinkKind, source: str, target: str) -> None:
    """Create `target` from `source` by the given kind; symbolic links are absolute.

    Raises:
        OSError: it cannot be made this way, or `target` exists.
    """
    if kind == "reflink":
        reflink(source, target)
    elif kind == "hardlink":
        os.link(source, target)
    elif kind == "symlink":
        os.symlink(os.path.abspath(source), target)
    else:
        import shutil

        with open(target, "xb") as out, open(source, "rb") as file:
            shutil.copyfileobj(file, out, 1 << 20)


def choose_link(kinds: Iterable[LinkKind], source_dir: str, target_dir: str) -> LinkKind:
    """Return the first kind that works from `source_dir` to `target_dir`, by trying with an empty file.

    Both directories must exist. `copy` is the answer when none of the kinds works. What a kill leaves in `source_dir`
    is removed as any temporary file there is.
    """
    probe = os.path.join(source_dir, staging_name())
    target = os.path.join(target_dir, f".{os.urandom(8).hex()}.probe")
    for kind in kinds:
        if kind == "copy":
            break
        try:
            with open(probe, "xb") as file:
                file.write(b"x")
            link(kind, probe, target)
        except OSError:
            continue
        else:
            return kind
        finally:
            for path in (probe, target):
                with suppress(OSError):
                    os.unlink(path)
    return "copy"
