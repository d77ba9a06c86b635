"""Load the model in a folder for a program's own use: what was logged comes back, with no endpoint between.

The rules are the serving part's and stricter by one: a pickle runs code of its own, so it is read only where
the caller asks for it. A skops file is read with the types its folder names where the folder is a registered
version's, else with scikit-learn's own classes; functions of the libraries, some of which read files, only for who lets
a pickle run, which can do all that they do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.base.errors import Invalid, PenstockError, Refused, Unavailable
from penstock.records.flavours import choose_flavour, import_flavour
from penstock.registry.package import digest_manifest, read_flavours, scan_model

LIBRARIES = ("sklearn.*", "numpy.*", "scipy.*")


@dataclass(frozen=True)
class Trust:
    """What a caller vouches for; `is_registered` where the files are a registered version's, checked."""

    is_registered: bool = False
    pickle: bool = False
    types: Sequence[str] = ()


def digest_folder(folder: Path) -> str:
    """Return the digest of a model folder: of the manifest of all its files.

    Raises:
        NotFound: it is no model folder.
    """
    return digest_manifest(scan_model(folder))


def load_folder(folder: Path, called: str, trust: Trust) -> Any:
    """Load the model in a folder whose files were checked.

    Raises:
        Invalid: none of its flavours can be loaded, or it does not load.
        Unavailable: its library is not installed.
        Refused: it is a pickle, or holds types, that the caller did not vouch for.
    """
    flavours = read_flavours(folder)
    try:
        name = choose_flavour(flavours)
    except (Invalid, Unavailable) as error:
        raise type(error)(
            f"{called} cannot be loaded: {error.message}", code=error.code, hint=error.hint
        ) from None
    options, flavour = flavours[name], import_flavour(name)
    if flavour.brings_code(folder, options) and not trust.pickle:
        raise Refused(
            f"{called} runs code of its own when it is loaded, as a pickle does",
            code="serving.pickle",
            hint="log it in a format that does not (skops), or load_model(…, allow_pickle=True) when you know who made it",
        )
    try:
        # who lets the folder's own modules run vouches for the types in them too
        is_trusted = trust.is_registered or (trust.pickle and bool(options.get("code")))
        types = [*trust.types, *(LIBRARIES if trust.pickle else ())]
        return flavour.read_with_code(folder, options, None if is_trusted else types)
    except PenstockError:
        raise
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"{called} needs {error.name}, which is not installed",
            code="serving.library_missing",
            hint=f"pip install {error.name}",
        ) from error
    except (Exception, SystemExit) as error:
        raise Invalid(
            f"{called} does not load: {type(error).__name__}: {error}",
            code="serving.model_does_not_load",
            hint="load it where it was trained, with the same package versions",
        ) from error
