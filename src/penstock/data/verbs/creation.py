"""Make a directory a repository, exactly as `dvc init` does.

Source: dvc/repo/init.py (3.67).
"""

from __future__ import annotations

from pathlib import Path

from penstock.base.errors import Conflict, Invalid
from penstock.base.files import remove_path, write_atomic
from penstock.base.git import Git, find_git_root

IGNORED = "/config.local\n/tmp\n/cache\n"
DVCIGNORE = """\
# Add patterns of files dvc should ignore, which could improve
# the performance. Learn more at
# https://dvc.org/doc/user-guide/dvcignore
"""


def _reset(dvc_dir: Path) -> None:
    """Take away settings and state, and keep the cache: it may hold what exists nowhere else."""
    for path in dvc_dir.iterdir():
        if path.name == "cache":
            continue
        remove_path(path)


def init_repository(root: Path, *, no_scm: bool = False, subdir: bool = False, force: bool = False) -> None:
    """Create `.dvc` and `.dvcignore` in `root`, and stage them in git.

    Raises:
        Invalid: `root` is not the top of a git repository, and neither `no_scm` nor `subdir` was given.
        Conflict: it is a repository already, and `force` was not given. With `force` settings and state
            begin anew; unlike DVC's, the cache stays.
    """
    git_root = None if no_scm else find_git_root(root)
    if not no_scm and git_root is None:
        raise Invalid(
            f"{root} is not a git repository",
            code="data.not_a_git_repository",
            hint="git init, or penstock init --no-scm",
        )
    if git_root is not None and git_root != root and not subdir:
        raise Invalid(
            f"{root} is inside the git repository {git_root}, not its top",
            code="data.not_the_top",
            hint="penstock init --subdir",
        )
    dvc_dir = root / ".dvc"
    if dvc_dir.exists():
        if not force:
            raise Conflict(
                f"{root} is a repository already",
                code="data.already_initialised",
                hint="nothing has to be done; penstock status",
            )
        _reset(dvc_dir)
    (dvc_dir / "tmp").mkdir(parents=True, exist_ok=True)
    (dvc_dir / "tmp" / "btime").touch()
    config = "[core]\n    no_scm = True\n" if no_scm else ""
    write_atomic(dvc_dir / "config", config.encode(), durable=False)
    made = [dvc_dir / "config"]
    if git_root is not None:
        write_atomic(dvc_dir / ".gitignore", IGNORED.encode(), durable=False)
        made.append(dvc_dir / ".gitignore")
    if not (root / ".dvcignore").exists():
        write_atomic(root / ".dvcignore", DVCIGNORE.encode(), durable=False)
        made.append(root / ".dvcignore")
    if git_root is not None:
        Git(git_root).run("add", "--", *(str(path) for path in made))
