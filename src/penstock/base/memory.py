"""What the C library does with memory that is given back."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_freed_memory(limit_bytes: int = 32 << 20, mapped_bytes: int = 4 << 20) -> None:
    """Keep up to `limit_bytes` that were freed for the next request, in place of returning them to the kernel.

    What streams comes in pieces, and for each of them glibc would ask for fresh pages, which the kernel clears
    one by one: an upload of 1 GiB to a server takes a third longer, a download of it uses up to five times as much
    of the kernel's time. Pieces from `mapped_bytes` on are mapped and given back as before. Nothing happens with
    another C library.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_M_TRIM_THRESHOLD, limit_bytes)
        set_option(_M_MMAP_THRESHOLD, mapped_bytes)
