"""What variables and profiles of the clouds say wrongly, or leave empty, and what of a remote's own wins over them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cli.conftest import make_desk
from penstock.base.errors import Invalid, PenstockError
from penstock.storage.object_store.options import azure_options, gcs_options, s3_options
from penstock.storage.resolve import open_backend
from servers.azure import AzureServer
from servers.s3 import S3Server
from servers.web import run_web

KEY = "c2VjcmV0LXNlY3JldA=="
STRING = "AZURE_STORAGE_CONNECTION_STRING"
GOOD = {STRING: f"AccountName=env;AccountKey={KEY}"}
VIRTUAL = "AWS_VIRTUAL_HOSTED_STYLE_REQUEST"
ROLE = "[profile a]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = b\n[services s]\n[sso-session t]\n"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_"))]:
        monkeypatch.delenv(name)


@pytest.mark.slow
def test_an_empty_connection_string_counts_as_none(
    azure_server: AzureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = azure_server.make_container()
    pairs = dict(
        pair.split("=", 1) for pair in azure_server.options()["connection_string"].split(";") if pair
    )
    monkeypatch.setenv(STRING, "")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", pairs["AccountName"])
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", pairs["AccountKey"])
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", pairs["BlobEndpoint"])
    backend = open_backend(f"azure://{container}/fl")
    backend.put("k", b"hello")
    assert backend.get("k") == b"hello"
    backend.close()


@pytest.mark.parametrize("text", ["top-secret", "AccountName=a;AccountKey=top-secret!"])
def test_a_bad_connection_string_is_blamed_on_who_said_it(text: str) -> None:
    with pytest.raises(Invalid, match=f"the variable {STRING}") as caught:
        azure_options({}, {STRING: text})
    assert "remote" not in str(caught.value) and "top-secret" not in str(caught.value)
    with pytest.raises(Invalid, match="the remote's connection_string"):
        azure_options({"connection_string": text}, GOOD)


@pytest.mark.parametrize(
    "own", [{"allow_anonymous_login": "true"}, {"client_id": "i", "client_secret": "s"}, {"client_id": "i"}]
)
def test_what_an_azure_remote_says_itself_wins(own: dict[str, str]) -> None:
    config = azure_options(own, GOOD).config
    assert not {"account_name", "account_key"} & config.keys()
    assert azure_options({"allow_anonymous_login": "false"}, GOOD).config["account_key"] == KEY


def test_an_empty_endpoint_of_azure_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", "")
    open_backend("azure://c/p", {"account_name": "a", "account_key": KEY}).close()
    config = azure_options({"account_name": "a"}, {"AZURE_STORAGE_ENDPOINT": ""}).config
    assert config["endpoint"] == "https://a.blob.core.windows.net"


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"])
def test_an_empty_endpoint_of_s3_is_not_asked(name: str) -> None:
    config = s3_options({"region": "eu-west-1"}, {name: ""}).config
    assert config["aws_endpoint_url_s3"] == "https://s3.eu-west-1.amazonaws.com"
    other = "AWS_ENDPOINT" if name != "AWS_ENDPOINT" else "AWS_ENDPOINT_URL"
    found = s3_options({}, {name: "", other: "http://env.test:4"}).config
    assert found["aws_endpoint_url_s3"] == "http://env.test:4"


@pytest.mark.slow
def test_a_file_is_asked_for_an_endpoint_and_keys_that_variables_leave_empty(
    tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(f"[default]\nendpoint_url = {s3_server.endpoint}\n")
    (tmp_path / "credentials").write_text(
        f"[default]\naws_access_key_id = {s3_server.access_key}\naws_secret_access_key = {s3_server.secret_key}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", VIRTUAL):
        monkeypatch.setenv(name, "")
    backend = open_backend(f"s3://{s3_server.make_bucket()}/fl")
    backend.put("k", b"hello")
    assert backend.get("k") == b"hello"
    backend.close()


@pytest.mark.parametrize("is_virtual", [True, False])
def test_a_bucket_in_the_hosts_name_is_believed_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_virtual: bool
) -> None:
    """A static server stands for S3's, of which an anonymous read is a plain GET."""
    monkeypatch.setenv(VIRTUAL, "true" if is_virtual else "")
    with run_web(tmp_path / "web") as web:
        monkeypatch.setenv("AWS_ENDPOINT_URL", web.address)
        folder = web.root / ("" if is_virtual else "bucket") / "data"
        folder.mkdir(parents=True)
        (folder / "k").write_bytes(b"hello")
        backend = open_backend("s3://bucket/data", {"allow_anonymous_login": "true"})
        assert backend.get("k") == b"hello"
        backend.close()


def test_a_remotes_own_endpoint_and_amazons_have_no_bucket_in_them() -> None:
    for own, variables in (
        ({"endpointurl": "https://own.test"}, {VIRTUAL: "true", "AWS_ENDPOINT_URL": "https://b.env.test"}),
        ({}, {VIRTUAL: "true", "AWS_ENDPOINT_URL": ""}),
        ({}, {VIRTUAL: ""}),
    ):
        assert s3_options(own, variables).config["virtual_hosted_style_request"] is False
    assert "virtual_hosted_style_request" not in s3_options({}, {VIRTUAL: "true"}).config


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"AWS_PROFILE": "a"},
            "profile a has no keys; role_arn, sso and credential_process are not read here",
        ),
        ({"AWS_PROFILE": "z"}, "there is no profile z, only a, c"),
        ({}, ""),
    ],
)
def test_a_profile_that_gives_no_keys_is_named(tmp_path: Path, variables: dict[str, str], said: str) -> None:
    (tmp_path / "config").write_text(ROLE)
    (tmp_path / "credentials").write_text("[c]\naws_access_key_id = k\naws_secret_access_key = s\n")
    desk = make_desk(tmp_path / "repo", tmp_path / "home")
    desk.run("remote", "add", "-d", "r", "s3://bucket/x")
    desk.put({"f": "1"})
    desk.run("add", "f")
    desk.variables = {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        **variables,
    }
    error = desk.error("push")
    assert "no credentials were found for s3://bucket/x" + (f": {said}" if said else "") in error
    assert ("profile" in error.partition("~/.aws")[0]) is bool(said)


def test_a_profile_is_only_named_where_keys_are_lacking(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(ROLE + "[default]\nregion = eu-west-1\n")
    files = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"}
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    assert s3_options({}, {**files, **keys, "AWS_PROFILE": "a"}).lack == ""
    assert (
        s3_options({"access_key_id": "k", "secret_access_key": "s"}, {**files, "AWS_PROFILE": "z"}).lack == ""
    )
    assert s3_options({"allow_anonymous_login": "true"}, {**files, "AWS_PROFILE": "z"}).lack == ""
    assert "profile default has no keys" in s3_options({}, files).lack
    assert "no profile z, only a, default" in s3_options({"profile": "z"}, files).lack


def test_without_a_home_there_are_no_files() -> None:
    nobody = "~nobody-of-this-name/x"
    variables = {"AWS_CONFIG_FILE": nobody, "AWS_SHARED_CREDENTIALS_FILE": nobody}
    own = {"access_key_id": "k", "secret_access_key": "s"}
    assert s3_options(own, variables).config["access_key_id"] == "k"
    assert "access_key_id" not in s3_options({}, variables).config
    for make in (
        lambda: gcs_options({"credentialpath": nobody}),
        lambda: s3_options({"ssl_verify": nobody}, variables),
    ):
        with pytest.raises(PenstockError, match=nobody):
            make()
