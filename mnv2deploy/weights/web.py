"""HTTP downloads through pooch: timeouts, a few retries, and reasons of a few words."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mnv2deploy.errors import DownloadError
from mnv2deploy.progress import Progress

if TYPE_CHECKING:
    import requests

TIMEOUT = 30.0
"""Seconds without a byte after which a server is given up."""
RETRIES = 2
PAUSE = 1.0
"""Seconds before the first retry; twice as many before the second."""
_CHUNK = 1 << 16


def download(url: str, path: Path, progress: Progress, *, total: int, limit: int | None = None) -> None:
    """Downloads one web address to ``path``.

    Args:
        url: ``http://`` or ``https://``; redirects are followed.
        path: Written in place, so a temporary name.
        progress: Sees the bytes arrive.
        total: Bytes expected, for the bar.
        limit: Bytes after which to stop; None where the true size is unknown.

    Raises:
        DownloadError: after the retries, why it did not work.
    """
    import requests

    for attempt in range(RETRIES + 1):
        progress.start(url, total)
        try:
            with path.open("wb") as stream:
                _get(url, _Sink(stream, limit, progress))
            return
        except requests.RequestException as error:
            if attempt == RETRIES or not _passing(error):
                raise DownloadError(_http_reason(error)) from error
        time.sleep(PAUSE * 2**attempt)


def _get(url: str, sink: _Sink) -> None:
    import pooch

    responses: list[requests.Response] = []

    def remember(response: requests.Response, **_: object) -> None:
        responses.append(response)

    # Without compression in transit the bytes on the wire are the file's own, and so is their number.
    headers = {"Accept-Encoding": "identity"}
    get = pooch.HTTPDownloader(chunk_size=_CHUNK, timeout=TIMEOUT, headers=headers, hooks={"response": remember})
    try:
        get(url, sink, None)
    finally:  # pooch leaves the connection open when it fails
        for response in responses:
            response.close()


class _Sink:
    """Where pooch writes: counts, shows and limits."""

    def __init__(self, stream: BinaryIO, limit: int | None, progress: Progress) -> None:
        self._stream, self._limit, self._progress, self._count = stream, limit, progress, 0

    def write(self, chunk: bytes) -> None:
        self._count += len(chunk)
        if self._limit is not None and self._count > self._limit:
            raise DownloadError(f"sends more than the {self._limit} bytes the card declares")
        self._stream.write(chunk)
        self._progress.update(self._count)

    def flush(self) -> None:
        """Asked for after each chunk; closing the file is soon enough."""


def _passing(error: requests.RequestException) -> bool:
    """Whether trying again may help."""
    status = error.response.status_code if error.response is not None else None
    return status is None or status in (408, 425, 429) or status >= 500


def _http_reason(error: requests.RequestException) -> str:
    import requests
    import urllib3

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"{error.response.status_code} {error.response.reason}".strip()
    # A stall in the middle of the body reaches us as a ConnectionError around urllib3's timeout.
    if isinstance(error, requests.Timeout) or any(
        isinstance(arg, urllib3.exceptions.TimeoutError) for arg in error.args
    ):
        return "timed out"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate was not accepted"
    if isinstance(error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError):
        return "the transfer broke off"
    if isinstance(error, requests.ConnectionError):
        return "could not connect"
    return f"failed with {type(error).__name__}"
