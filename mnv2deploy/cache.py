"""Where this program keeps what it downloaded and built."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """The folder named by ``MNV2DEPLOY_CACHE``, or the platform's cache folder for this program."""
    if chosen := os.environ.get("MNV2DEPLOY_CACHE"):
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("mnv2deploy", appauthor=False)
