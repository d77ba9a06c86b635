"""Where the `penstock` program begins: the version is told before the command line is imported."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Print version, commit and schema when that alone is asked, which programs do often; else run the command line."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from penstock import __version__
        from penstock.base.store.build import told_build

        try:
            os.write(1, f"{told_build(__version__)}\n".encode())
        except OSError as error:
            sys.exit(f"error: standard output: {error.strerror}")
        return
    from penstock.cli import main as command_line

    command_line.main()
