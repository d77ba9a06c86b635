"""What a serve process tells callers names no folder of its host."""

from __future__ import annotations

from penstock.http.errors import without_folders


def test_files_are_named_without_their_folders_and_addresses_stay() -> None:
    for told, left in (
        ("/srv/p/models/ab/MLmodel cannot be used", "MLmodel cannot be used"),
        ("No such file: '/a/b/m.pkl'", "No such file: 'm.pkl'"),
        ("the model in /a/b/c is not the registered one", "the model in c is not the registered one"),
        ("s3://b/k/f and https://x/y/z and m/3", "s3://b/k/f and https://x/y/z and m/3"),
    ):
        assert without_folders(told) == left
