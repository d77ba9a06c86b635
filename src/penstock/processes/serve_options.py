"""How a serve process runs."""

from __future__ import annotations

from pathlib import Path

import msgspec

from penstock.flows.production.live.room import MAX_BYTES
from penstock.http.listen import Tls
from penstock.serving.engine.options import EngineOptions


class ServeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a serve process runs. `port` 0 takes a free one; `poll_s` is how soon a deployment is seen.

    `flush_s` is how often monitoring data are written at least; a policy may ask for more often. Until then
    they take `recorder_max_bytes` at most. `timeout_s` is how long a request is worked on where its endpoint and
    its caller do not say less. In `shared_folder` the processes on one port tell each other what was unloaded and
    what they answered. At `payloads_url` they keep the requests and answers that policies sample; None keeps none. What
    cannot be written by the end waits in `home` for the next process; None keeps none either.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    poll_s: float = 0.2
    beat_s: float = 1.0
    flush_s: float = 1.0
    recorder_max_bytes: int = MAX_BYTES
    drain_s: int = 30
    timeout_s: float = 30.0
    engine: EngineOptions = EngineOptions()
    tls: Tls | None = None
    proxies: tuple[str, ...] = ()
    shared_folder: str | None = None
    payloads_url: str | None = None
    home: Path | None = None
