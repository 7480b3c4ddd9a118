"""Small rendered videos."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

# Nothing here can run without the extra `video`.
collect_ignore_glob = [] if importlib.util.find_spec("av") else ["*"]


@pytest.fixture(scope="session")
def rendered_videos() -> ModuleType:
    """The module ``rendered_videos``, which renders videos of known content."""
    path = Path(__file__).with_name("rendered_videos.py")
    location = importlib.util.spec_from_file_location("rendered_videos", path)
    assert location is not None and location.loader is not None
    module = importlib.util.module_from_spec(location)
    sys.modules[location.name] = module
    location.loader.exec_module(module)
    return module
