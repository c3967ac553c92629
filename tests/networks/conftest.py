from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

# The reader of the reference outputs stands beside them, not in the package.
sys.path.insert(0, str(Path(__file__).parent.parent / "reference"))


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny convolutions on more threads than idle cores wait for each other, up to two hundred times as long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
