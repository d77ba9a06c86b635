"""Load the model in a folder for a program's own use: what was logged comes back, with no endpoint between.

The rules are the serving part's and stricter by one: a pickle runs code of its own, so it is read only where
the caller asks for it. A skops file is read with the types its folder names where the folder is a registered
version's, and with none beside skops's own where nobody registered it.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.base.errors import Invalid, PenstockError, Refused, Unavailable
from penstock.registry.package import digest_manifest, read_flavours, scan_model
from penstock.serving.loaders import READERS


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
    flavour = next((known for known in READERS if known in flavours), None)
    if flavour is None:
        raise Invalid(
            f"{called} has the flavours {', '.join(sorted(flavours))}; Penstock loads {', '.join(READERS)}",
            code="serving.flavour_unknown",
            hint="Client().download_model(…) writes its verified files; mlflow.pyfunc.load_model reads them",
        )
    options = flavours[flavour]
    module = importlib.import_module(READERS[flavour])
    if module.is_pickle(options) and not trust.pickle:
        raise Refused(
            f"{called} is a pickle, which runs code of its own when it is loaded",
            code="serving.pickle",
            hint="log it again as skops, or load_model(…, allow_pickle=True) when you know who made it",
        )
    try:
        return module.read_estimator(folder, options, None if trust.is_registered else trust.types)
    except PenstockError:
        raise
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"{called} needs {error.name}, which is not installed",
            code="serving.library_missing",
            hint=f"pip install {error.name}",
        ) from error
    except Exception as error:
        raise Invalid(
            f"{called} does not load: {type(error).__name__}: {error}",
            code="serving.model_does_not_load",
            hint="load it where it was trained, with the same package versions",
        ) from error
