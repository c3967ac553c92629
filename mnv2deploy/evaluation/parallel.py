"""Work on several pictures at once, in order and in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

# Calls waiting or done and not yet taken, a thread: enough that none is idle while one call takes long.
_AHEAD = 3


def ordered_map(function: Callable[[T], R], arguments: Iterable[T], threads: int) -> Iterator[R]:
    """Calls a function in several threads; its answers come in the order of the arguments.

    An argument is taken only when there is a thread for it soon, so neither arguments nor answers pile up.

    Args:
        function: Called from all threads at once. What it raises is raised here, and the rest is not begun.
        arguments: As many as you like.
        threads: How many calls at a time.
    """
    pending: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for argument in arguments:
                pending.append(pool.submit(function, argument))
                if len(pending) == threads * _AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
