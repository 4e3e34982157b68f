"""Exported folders to look at and to damage."""

from __future__ import annotations

from pathlib import Path

import exported_folder
import pytest


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole one; not to be written to."""
    folder = tmp_path_factory.mktemp("exported") / "tiny"
    exported_folder.save_exported(folder)
    return folder


@pytest.fixture
def damaged(exported: Path, tmp_path: Path) -> Path:
    """One to damage."""
    return exported_folder.copy(exported, tmp_path / "tiny")
