"""Signatures of model folders in OpenSSF's format (OMS), by the library `model-signing`: the extra `signing`.

Its keys are elliptic ones in PEM files (P-256, P-384, P-521), as `openssl ecparam -name prime256v1 -genkey -noout` makes
them; ed25519 it does not know. Everything happens on this machine.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from penstock.base.errors import Corrupt, Invalid, Unavailable


def sign_folder(folder: Path, signature: Path, private_key: Path) -> None:
    """Write the signature of every file of a folder.

    Raises:
        Unavailable: the library is not installed.
        Invalid: the key cannot be used.
    """
    signing = _import("signing")
    try:
        config = signing.Config().use_elliptic_key_signer(private_key=private_key)
        config.sign(folder, signature)
    except (OSError, ValueError, TypeError) as error:
        raise Invalid(
            f"{private_key} cannot sign a model: {error}",
            code="signing.bad_model_key",
            hint="openssl ecparam -name prime256v1 -genkey -noout -out model-key.pem",
        ) from None


def verify_folder(folder: Path, signature: Path, public_key: Path) -> None:
    """Check that a folder holds exactly the files that were signed.

    Raises:
        Unavailable: the library is not installed.
        Corrupt: a file is another, one is missing or too many, or another key signed.
    """
    verifying = _import("verifying")
    try:
        config = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
        config.verify(folder, signature)
    except Exception as error:  # noqa: BLE001 - the library raises many kinds, also on text that is no signature
        raise Corrupt(
            f"the model's signature does not hold: {error}",
            code="signing.damaged_model",
            hint="penstock model verify",
        ) from None


def _import(part: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import model_signing.signing
            import model_signing.verifying
    except ImportError as error:
        raise Unavailable(
            f"OpenSSF's model signatures need {error.name}, which is not installed",
            code="signing.not_installed",
            hint="pip install 'penstock[signing]'",
        ) from None
    return {"signing": model_signing.signing, "verifying": model_signing.verifying}[part]
