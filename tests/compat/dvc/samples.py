"""Data sets with everything that has gone wrong before."""

from __future__ import annotations

from pathlib import Path


def plain_directory(folder: Path) -> None:
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "a-b").mkdir()
    (folder / "empty").mkdir()
    for name in ("B", "a.txt", "sub.txt", "sub/deep/z", "a-b/x"):
        (folder / name).write_text(name)
    (folder / "crlf.txt").write_bytes(b"one\r\ntwo\r\n")
    (folder / "zero").touch()
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "same").write_text("B")


ODD_NAMES = [
    '😀"q".txt',
    "it's",
    "new\nline",
    "back\\slash",
    "tab\there",
    "x" * 255,
    "ünïcode",
    " leading",
    "trailing ",
    "#hash",
    "!bang",
    "we[i]rd?*",
    "-dash",
    "a: b",
    "%41",
    "{brace}",
    "&amp;",
    "true",
    "1e5",
    "0123",
]


def odd_directory(folder: Path) -> None:
    """Write files with odd names; names that are not UTF-8 are left out, since DVC fails on them."""
    folder.mkdir(parents=True)
    for name in ODD_NAMES:
        (folder / name).write_text(name)
