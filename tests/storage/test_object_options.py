"""From DVC's keys to a client's settings, and what is said of wrong ones."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote

import pytest

from penstock.base.errors import Invalid, NotFound
from penstock.storage.object_store.options import (
    EMULATOR_KEY,
    azure_options,
    gcs_options,
    http_options,
    parse_connection_string,
    s3_options,
)
from penstock.storage.resolve import open_backend, split_url, without_password
from servers.web import run_web

KEY = "c2VjcmV0LXNlY3JldA=="


def test_a_connection_string_is_read_in_its_forms() -> None:
    found = parse_connection_string(
        f"DefaultEndpointsProtocol=https;AccountName=acc;AccountKey={KEY};EndpointSuffix=core.windows.net"
    )
    assert found == {
        "account_name": "acc",
        "account_key": KEY,
        "endpoint": "https://acc.blob.core.windows.net",
    }
    found = parse_connection_string(
        "BlobEndpoint=https://acc.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=a%3D"
    )
    assert found["account_name"] == "acc" and found["sas_key"] == "sv=1&sig=a%3D"
    found = parse_connection_string("UseDevelopmentStorage=true")
    assert found["account_key"] == EMULATOR_KEY and found["endpoint"].startswith("http://127.0.0.1:10000/")


@pytest.mark.parametrize("text", ["", "top-secret", "AccountKey", ";;"])
def test_a_broken_connection_string_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        azure_options({"connection_string": text})
    assert "top-secret" not in str(caught.value)


def test_single_keys_win_over_a_connection_string() -> None:
    found = azure_options({"connection_string": f"AccountName=a;AccountKey={KEY}", "account_name": "b"})
    assert found.config["account_name"] == "b" and found.config["account_key"] == KEY


def test_an_account_key_that_is_none_is_refused_and_not_shown() -> None:
    with pytest.raises(Invalid, match="base64") as caught:
        azure_options({"account_name": "a", "account_key": "not base64!"})
    assert "not base64!" not in str(caught.value)


def test_a_web_server_needs_what_its_method_needs() -> None:
    url = "https://example.org/data"
    found = http_options(url, {"auth": "basic", "user": "me", "password": "pw"})
    assert found.client["default_headers"] == {"authorization": "Basic bWU6cHc="}
    found = http_options(url, {"auth": "custom", "custom_auth_header": "X-Token", "password": "pw"})
    assert found.client["default_headers"] == {"x-token": "pw"}
    for options in (
        {"auth": "basic", "user": "me"},
        {"auth": "custom", "password": "pw"},
        {"auth": "digest"},
    ):
        with pytest.raises(Invalid) as caught:
            http_options(url, options)
        assert "pw" not in str(caught.value)


def test_certificates_are_read_and_a_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("PEM")
    assert s3_options({"ssl_verify": str(tmp_path / "ca.pem")}).client["root_certificate"] == b"PEM"
    assert s3_options({"ssl_verify": "false"}).client["allow_invalid_certificates"] is True
    with pytest.raises(Invalid, match=r"none\.pem"):
        s3_options({"ssl_verify": str(tmp_path / "none.pem")})


def test_timeouts_bound_silence_not_the_whole_transfer() -> None:
    found = s3_options({"read_timeout": "7", "connect_timeout": "3"}).client
    assert (found["read_timeout"], found["connect_timeout"], found["timeout"]) == ("7s", "3s", "24h")


def test_google_credentials_are_looked_for_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"none\.json"):
        gcs_options({"credentialpath": str(tmp_path / "none.json")})
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(Invalid, match="gs://bucket"):
        open_backend("gs://bucket/data", {"credentialpath": str(tmp_path / "broken.json")})


def test_a_google_url_asks_for_bucket_and_key(tmp_path: Path) -> None:
    """No Google here: a static server stands for its XML interface, which reads are plain GETs of."""
    account = {
        "gcs_base_url": "",
        "disable_oauth": True,
        "client_email": "",
        "private_key": "",
        "private_key_id": "",
    }
    with run_web(tmp_path / "web") as web:
        (web.root / "bucket" / "data").mkdir(parents=True)
        (web.root / "bucket" / "data" / "k").write_bytes(b"hello")
        account["gcs_base_url"] = web.address
        (tmp_path / "account.json").write_text(json.dumps(account))
        for options in (
            {"endpointurl": web.address, "allow_anonymous_login": "true", "projectname": "p"},
            {"endpointurl": web.address, "credentialpath": str(tmp_path / "account.json")},
        ):
            backend = open_backend("gs://bucket/data", options)
            assert backend.get("k") == b"hello"
            with pytest.raises(NotFound):
                backend.get("other")
            backend.close()
        assert {unquote(path.partition("?")[0]) for _, path, _ in web.seen} == {
            "/bucket/data/k",
            "/bucket/data/other",
        }


def test_a_url_is_split_into_place_and_file() -> None:
    assert split_url("s3://bucket/a/b.csv") == ("s3://bucket/a", "b.csv")
    assert split_url("https://h/a%20b/c%20d.csv") == ("https://h/a%20b", "c d.csv")
    assert split_url("https://h/a/b.csv?x=/1") == ("https://h/a/b.csv?x=/1", "b.csv")
    for url in ("s3://bucket", "https://h/", "https://h"):
        with pytest.raises(Invalid):
            split_url(url)


def test_a_url_with_a_query_is_one_object(tmp_path: Path) -> None:
    with run_web(tmp_path / "web") as web:
        (web.root / "f.csv").write_bytes(b"1")
        place, name = split_url(f"{web.address}/f.csv?token=1")
        backend = open_backend(place)
        assert backend.get(name) == b"1"
        with pytest.raises(NotFound):
            backend.get("other")
        backend.close()
        assert web.seen[0][1] == "/f.csv?token=1"


def test_passwords_are_taken_out_of_urls() -> None:
    assert without_password("ssh://me:pw@host:22/x") == "ssh://me:***@host:22/x"
    assert without_password("ssh://me@host:22/x@y:z") == "ssh://me@host:22/x@y:z"
    assert without_password("/a:b@c") == "/a:b@c"
