"""How a command that runs other programs is ended by signals: with all that it began, as by Ctrl-C."""

from __future__ import annotations

import signal


def end_as_interrupted() -> None:
    """Let SIGTERM, and SIGHUP of a terminal that is gone, end the program as Ctrl-C does; under `nohup` SIGHUP is nothing."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.default_int_handler)
