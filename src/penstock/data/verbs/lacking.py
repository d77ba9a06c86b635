"""What stands in the place of content that the cache lacks: taken away, so that nobody takes it for that content."""

from __future__ import annotations

import os

from penstock.base.errors import NotFound
from penstock.base.files import remove_path
from penstock.data.formats.output import Output
from penstock.data.repository import DataRepository
from penstock.data.verbs.checkout import plan_checkout
from penstock.data.verbs.keeping import find_odd, keep, keep_unsaved


def clear_lacking(repo: DataRepository, output: Output) -> list[str]:
    """Remove what is at the paths of an output whose content the cache lacks, and return these paths.

    Work that exists nowhere else is kept under `.dvc/tmp/penstock-kept`, as a forced checkout does.
    """
    try:
        plan = plan_checkout(repo, output)
    except NotFound:  # not even the list of its files is there
        names = [""]
    else:
        names = [""] if plan.replace_all else sorted(plan.write)
    for name in names:
        path = output.path / name
        if os.path.lexists(path):
            keep_unsaved(repo, path)
            if not name:
                keep(repo, tuple(find_odd(path)))
            remove_path(path)
    return [repo.relative(output.path / name) for name in names]
