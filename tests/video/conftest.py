"""Nothing here can run without the extra `video`."""

from __future__ import annotations

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("av") else ["*"]
