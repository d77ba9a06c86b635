"""What penstock.yaml may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.base.errors import Invalid
from penstock.project.settings import load_project_settings


@pytest.mark.parametrize("image", ["bad image;rm", "Upper", "'a:'", '""'])
def test_an_image_of_ci_that_is_none_is_refused(tmp_path: Path, image: str) -> None:
    (tmp_path / "penstock.yaml").write_text(f"project: p\nci: {{image: {image}}}\n")
    with pytest.raises(Invalid, match=r"image is a container image as \[HOST"):
        load_project_settings(tmp_path)


def test_an_image_of_ci_is_taken_as_people_write_it(tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text("project: p\nci: {image: 'localhost:5000/a/b:1'}\n")
    assert load_project_settings(tmp_path).ci.image == "localhost:5000/a/b:1"
