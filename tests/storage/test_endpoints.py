"""Where S3, Azure and Google are asked, and that plain HTTP is taken from variables and files as from a remote."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from cli.conftest import make_desk
from penstock.base.errors import Invalid
from penstock.storage.object_store.options import gcs_options, s3_options
from penstock.storage.resolve import open_backend
from servers.azure import AzureServer
from servers.s3 import S3Server
from servers.web import run_web

SERVICES = "[default]\nservices = here\n{more}\n[services here]\ns3 =\n  endpoint_url = http://s3.test:1\n"
PLAIN = "[default]\nendpoint_url = http://plain.test:2\n[profile other]\nendpoint_url = http://other.test:3\n"
CASES: list[tuple[dict[str, str], str]] = [
    ({}, PLAIN),
    ({"AWS_PROFILE": "other"}, PLAIN),
    ({"AWS_ENDPOINT_URL": "http://env.test:4"}, PLAIN),
    ({"AWS_ENDPOINT_URL": "http://env.test:4", "AWS_ENDPOINT_URL_S3": "http://env-s3.test:5"}, PLAIN),
    ({}, SERVICES.format(more="endpoint_url = http://plain.test:2")),
    ({}, SERVICES.format(more="") + "[unused]\n"),
    ({"AWS_ENDPOINT_URL": "http://env.test:4"}, SERVICES.format(more="")),
    ({"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "AWS_ENDPOINT_URL": "http://env.test:4"}, PLAIN),
    ({}, "[default]\nendpoint_url = http://plain.test:2\nignore_configured_endpoint_urls = true\n"),
    ({}, ""),
]
ASK = """
import json, os, sys
import botocore.session
for name in [name for name in os.environ if name.startswith("AWS_")]: del os.environ[name]
found = []
for variables in json.load(sys.stdin):
    os.environ.update(variables)
    found.append(botocore.session.Session().create_client("s3", region_name="eu-west-1").meta.endpoint_url)
    for name in variables: del os.environ[name]
print(json.dumps(found))
"""


def test_s3_is_asked_where_amazons_own_client_asks_it(tmp_path: Path) -> None:
    python = os.environ.get("PENSTOCK_MLFLOW_PYTHON")
    if not python:
        pytest.skip("PENSTOCK_MLFLOW_PYTHON names no Python with botocore; `make test` sets it")
    asked = []
    for number, (variables, text) in enumerate(CASES):
        (tmp_path / f"config{number}").write_text(text)
        keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "eu-west-1"}
        asked.append({**keys, **variables, "AWS_CONFIG_FILE": str(tmp_path / f"config{number}")})
    done = subprocess.run(
        [python, "-c", ASK], input=json.dumps(asked), capture_output=True, text=True, check=True
    )
    for variables, theirs in zip(asked, json.loads(done.stdout), strict=True):
        ours = s3_options({}, variables)
        endpoint = ours.config.get("aws_endpoint_url_s3", "https://s3.eu-west-1.amazonaws.com")
        assert endpoint == theirs, variables
        assert ours.client.get("allow_http", False) is theirs.startswith("http://")


def test_a_remotes_own_endpoint_wins_and_services_that_are_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[default]\nservices = gone\n")
    variables = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_DEFAULT_REGION": "eu-west-1"}
    found = s3_options(
        {"endpointurl": "https://own.test"}, {**variables, "AWS_ENDPOINT_URL_S3": "http://x.test"}
    )
    assert found.config["aws_endpoint_url_s3"] == "https://own.test"
    assert "allow_http" not in found.client
    with pytest.raises(Invalid, match="services gone"):
        s3_options({}, variables)


def test_keys_of_the_environment_win_over_those_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = filed\naws_secret_access_key = s\n")
    variables = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), "AWS_CONFIG_FILE": "/nowhere"}
    assert s3_options({}, variables).config["access_key_id"] == "filed"
    assert "access_key_id" not in s3_options({}, {**variables, "AWS_ACCESS_KEY_ID": "k"}).config


@pytest.mark.slow
@pytest.mark.parametrize("place", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "file"])
def test_artifacts_lie_on_a_server_of_s3_over_plain_http(
    tmp_path: Path, s3_server: S3Server, place: str
) -> None:
    desk = make_desk(tmp_path / "repo", tmp_path / "home")
    desk.variables = {
        "PENSTOCK_ARTIFACTS": f"s3://{s3_server.make_bucket()}/fl",
        "AWS_ACCESS_KEY_ID": s3_server.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_server.secret_key,
    }
    if place == "file":
        (tmp_path / "config").write_text(f"[default]\nendpoint_url = {s3_server.endpoint}\n")
        desk.variables["AWS_CONFIG_FILE"] = str(tmp_path / "config")
    else:
        desk.variables[place] = s3_server.endpoint
    checks = {check["part"]: check for check in desk.json("doctor")["checks"]}
    assert checks["artifacts"]["state"] == "ok", checks["artifacts"]


@pytest.mark.slow
def test_the_connection_string_of_the_environment_reaches_azures_emulator(
    azure_server: AzureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = azure_server.make_container()
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azure_server.options()["connection_string"])
    backend = open_backend(f"azure://{container}/fl")
    backend.put("k", b"hello")
    assert backend.get("k") == b"hello"
    backend.close()


def test_googles_emulator_is_asked_over_plain_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_web(tmp_path / "web") as web:
        (web.root / "bucket" / "data").mkdir(parents=True)
        (web.root / "bucket" / "data" / "k").write_bytes(b"hello")
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", web.address)
        backend = open_backend("gs://bucket/data")
        assert backend.get("k") == b"hello"
        backend.close()
    assert (
        gcs_options({}, {"STORAGE_EMULATOR_HOST": "emulator:4443"}).config["base_url"]
        == "http://emulator:4443"
    )
