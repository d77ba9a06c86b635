"""Which files are code by their name, although a stage depends on them or a gate names them."""

from __future__ import annotations

from pathlib import PurePosixPath

ENDINGS = frozenset(
    [
        ".bash",
        ".c",
        ".cc",
        ".cpp",
        ".go",
        ".h",
        ".hpp",
        ".ipynb",
        ".java",
        ".jl",
        ".js",
        ".lua",
        ".mjs",
        ".pl",
        ".py",
        ".pyi",
        ".pyx",
        ".r",
        ".rb",
        ".rs",
        ".scala",
        ".sh",
        ".sql",
        ".ts",
    ]
)


def is_code(name: str) -> bool:
    """Whether a file's name ends as code does, in whatever case.

    Example:
        >>> is_code("src/train.PY"), is_code("data/rows.csv")
        (True, False)
    """
    return PurePosixPath(name).suffix.lower() in ENDINGS
