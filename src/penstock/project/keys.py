"""Whose signatures count here, and the key that this machine signs with.

Nothing is read from the store, since who can write the store must not make himself trusted: trusted are the keys of
penstock.yaml (`trusted_keys:`, in git and reviewed), of `PENSTOCK_TRUSTED_KEYS`, and those in `.penstock/keys`, of
which one is this machine's own.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from penstock.base.errors import Conflict, Invalid, NotFound, Refused
from penstock.base.files import write_atomic
from penstock.base.signing import PublicKey, SigningKey, make_key, parse_public_key, parse_signing_key
from penstock.project.places import KeySources

OWN = "signing"


class KeyRing:
    """The keys of a project on this machine."""

    def __init__(self, folder: Path, sources: KeySources, named: Sequence[str] = ()) -> None:
        self._folder, self._sources, self._named = folder, sources, tuple(named)

    @cached_property
    def trusted(self) -> dict[str, PublicKey]:
        """The keys whose signatures count, by their ids.

        Raises:
            Invalid: one cannot be read.
        """
        texts = [*self._named, *self._sources.trusted]
        texts += [path.read_text(encoding="utf-8") for path in sorted(self._folder.glob("*.pub"))]
        keys = [parse_public_key(text) for text in texts]
        given = self._given()
        if given is not None:
            keys.append(given.public)
        return {key.id: key for key in keys}

    def signing_key(self) -> SigningKey:
        """Return the key to sign with: that of the environment, else this machine's, which is made at first use.

        Raises:
            Invalid: it is no key.
            NotFound: the file that the environment names is not there.
            Refused: others may read its file.
        """
        found = self.find_signing_key()
        if found is None:
            self._make(self._own)
        key = found or _read_key(self._own)
        if self._given() is not None:
            return key
        public = self._folder / f"{OWN}.pub"
        if not public.exists():
            write_atomic(public, f"{key.public.text}\n".encode())
            self.__dict__.pop("trusted", None)
        return key

    def find_signing_key(self) -> SigningKey | None:
        """Return the key to sign with, or None where this machine has none yet.

        Raises:
            Invalid, NotFound, Refused: as `signing_key`.
        """
        given = self._given()
        return given if given is not None or not self._own.exists() else _read_key(self._own)

    @property
    def _own(self) -> Path:
        return self._folder / f"{OWN}.pem"

    def rotate(self) -> tuple[PublicKey, PublicKey]:
        """Make a new key to sign with and return the former, whose verdicts go on to hold here, and the new one.

        Raises:
            Conflict: the environment gives the key.
        """
        if self._given() is not None:
            raise Conflict(
                "the environment gives the key to sign with",
                code="signing.key_given",
                hint="change PENSTOCK_SIGNING_KEY where it is set; keep the former's public key in `trusted_keys:`",
            )
        former = self.signing_key().public
        self.trust(former.text)
        made = make_key()
        write_atomic(self._folder / f"{OWN}.pub", f"{made.public.text}\n".encode())
        write_atomic(self._folder / f"{OWN}.pem", made.to_pem(), mode=0o600)
        self.__dict__.pop("trusted", None)
        return former, made.public

    def trust(self, text: str) -> PublicKey:
        """Let a key's signatures count on this machine.

        Raises:
            Invalid: it is no public key.
        """
        key = parse_public_key(text)
        self._prepare()
        write_atomic(self._folder / f"{key.id[:16]}.pub", f"{' '.join(text.split())}\n".encode())
        self.__dict__.pop("trusted", None)
        return key

    def _given(self) -> SigningKey | None:
        if self._sources.secret is not None:
            return parse_signing_key(self._sources.secret.encode(), "PENSTOCK_SIGNING_KEY")
        if self._sources.secret_file is None:
            return None
        path = Path(self._sources.secret_file)
        if not path.is_file():
            raise NotFound(
                f"PENSTOCK_SIGNING_KEY_FILE names {path}, which is not there",
                code="signing.no_key_file",
                hint="openssl genpkey -algorithm ed25519",
            )
        return _read_key(path)

    def _make(self, path: Path) -> None:
        """Write a new key; when another process did so meanwhile, that one stays."""
        self._prepare()
        made = make_key()
        temporary = self._folder / f".{os.urandom(8).hex()}.tmp"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(made.to_pem())
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()

    def _prepare(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _read_key(path: Path) -> SigningKey:
    try:
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise Refused(
                f"the key in {path} can be read by others",
                code="signing.open_key",
                hint=f"chmod 600 {shlex.quote(str(path))}; make a new key if somebody may have read it: penstock key rotate",
            )
        text = path.read_bytes()
    except OSError as error:
        raise Invalid(
            f"the key in {path} cannot be read: {error.strerror}",
            code="signing.bad_key",
            hint=f"ls -l {path}",
        ) from None
    return parse_signing_key(text, str(path))
