"""Keys are made once and safely, come from the environment where it gives one, and are trusted by whom one names."""

from __future__ import annotations

import base64
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from penstock.base.errors import Conflict, Invalid, NotFound, PenstockError, Refused
from penstock.base.settings import parse_settings
from penstock.base.signing import (
    make_key,
    open_envelope,
    parse_envelope,
    parse_public_key,
    parse_signing_key,
    seal,
)
from penstock.project.keys import KeyRing
from penstock.project.places import KeySources
from penstock.project.settings import ProjectSettings


def ring(folder: Path, **variables: str) -> KeyRing:
    return KeyRing(folder / "keys", KeySources.of(variables))


def test_a_key_is_made_at_first_use_for_its_owner_alone_and_stays(tmp_path: Path) -> None:
    assert ring(tmp_path).trusted == {}
    assert not (tmp_path / "keys").exists()
    keys = ring(tmp_path)
    made = keys.signing_key().public
    assert set(keys.trusted) == {made.id}
    assert {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "keys").glob("*.pem")} == {
        "signing.pem": 0o600
    }
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    again = ring(tmp_path)
    assert (again.signing_key().public, set(again.trusted)) == (made, {made.id})


def test_processes_that_begin_at_once_make_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = {key.public.id for key in pool.map(lambda _: ring(tmp_path).signing_key(), range(16))}
    assert len(made) == 1
    assert set(ring(tmp_path).trusted) == made


def test_a_key_that_others_can_read_signs_nothing_and_its_verdicts_hold(tmp_path: Path) -> None:
    public = ring(tmp_path).signing_key().public
    (tmp_path / "keys" / "signing.pem").chmod(0o640)
    with pytest.raises(Refused, match="can be read by others"):
        ring(tmp_path).signing_key()
    assert set(ring(tmp_path).trusted) == {public.id}


def test_the_environment_gives_a_key_as_text_in_base64_or_as_a_file(tmp_path: Path) -> None:
    key = make_key()
    file = tmp_path / "ci.pem"
    file.write_bytes(key.to_pem())
    file.chmod(0o600)
    for variables in (
        {"PENSTOCK_SIGNING_KEY": key.to_pem().decode()},
        {"PENSTOCK_SIGNING_KEY": base64.b64encode(key.to_pem()).decode()},
        {"PENSTOCK_SIGNING_KEY_FILE": str(file)},
    ):
        keys = ring(tmp_path, **variables)
        assert keys.signing_key().public == key.public
        assert set(keys.trusted) == {key.public.id}
        with pytest.raises(Conflict):
            keys.rotate()
    assert not (tmp_path / "keys").exists()
    wrong: list[tuple[dict[str, str], type[PenstockError]]] = [
        ({"PENSTOCK_SIGNING_KEY": "secret words"}, Invalid),
        ({"PENSTOCK_SIGNING_KEY": key.to_pem().decode()[:60]}, Invalid),
        ({"PENSTOCK_SIGNING_KEY_FILE": str(tmp_path / "none")}, NotFound),
    ]
    for variables, cause in wrong:
        with pytest.raises(cause) as caught:
            ring(tmp_path, **variables).signing_key()
        assert "secret words" not in str(caught.value)
        assert "BEGIN" not in str(caught.value)


def test_a_new_key_signs_and_the_former_ones_statements_hold_until_its_public_key_goes(
    tmp_path: Path,
) -> None:
    keys = ring(tmp_path)
    former, made = keys.rotate()
    assert former != made
    assert keys.signing_key().public == made
    assert set(keys.trusted) == {former.id, made.id}
    (tmp_path / "keys" / f"{former.id[:16]}.pub").unlink()
    assert set(ring(tmp_path).trusted) == {made.id}
    assert (tmp_path / "keys" / "signing.pem").stat().st_mode & 0o777 == 0o600


def test_keys_are_trusted_by_settings_environment_and_command(tmp_path: Path) -> None:
    one, two, three = (make_key().public for _ in range(3))
    keys = KeyRing(
        tmp_path / "keys", KeySources.of({"PENSTOCK_TRUSTED_KEYS": f"{two.text},"}), [f"{one.text} CI of us"]
    )
    keys.trust(f"{three.text}  the old server")
    assert set(keys.trusted) == {one.id, two.id, three.id}
    with pytest.raises(Invalid, match="no public key"):
        keys.trust("ssh-ed25519 AAAA")
    parsed = parse_settings(f"project: p\ntrusted_keys: ['{one.text} CI']\n", ProjectSettings, "p.yaml")
    assert parse_public_key(parsed.trusted_keys[0]) == one
    with pytest.raises(Invalid, match=r"p.yaml:1: 'ed25519:short' in `trusted_keys` is no public key"):
        parse_settings("project: p\ntrusted_keys: ['ed25519:short']\n", ProjectSettings, "p.yaml")


def test_openssl_reads_our_keys_and_we_read_its(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine.pem", tmp_path / "theirs.pem"
    mine.write_bytes(make_key().to_pem())
    shown = subprocess.run(
        ["openssl", "pkey", "-in", mine, "-noout", "-text"], capture_output=True, check=True, text=True
    )
    assert "ED25519" in shown.stdout
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", theirs], check=True)
    key = parse_signing_key(theirs.read_bytes(), "theirs")
    envelope = parse_envelope(seal({"a": 1}, key))
    opened = open_envelope(envelope, {key.public.id: key.public})
    assert opened is not None
    assert opened[0] == {"a": 1}
    assert open_envelope(envelope, {}) is None
    data, signature, public = tmp_path / "data", tmp_path / "sig", tmp_path / "pub.pem"
    payload = base64.b64decode(envelope.payload)
    data.write_bytes(b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(payload), payload))
    signature.write_bytes(base64.b64decode(envelope.signatures[0].sig))
    subprocess.run(["openssl", "pkey", "-in", theirs, "-pubout", "-out", public], check=True)
    verify = [
        "openssl",
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        public,
        "-rawin",
        "-in",
        data,
        "-sigfile",
        signature,
    ]
    assert subprocess.run(verify, capture_output=True, check=False).returncode == 0
