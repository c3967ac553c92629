"""Running a model over a labelled set: all processors, bounded memory, the same records however many threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnv2deploy.errors import InputError, UsageError
from mnv2deploy.evaluation.dataset import Dataset, Item
from mnv2deploy.evaluation.parallel import ordered_map
from mnv2deploy.progress import SILENT, Progress
from mnv2deploy.runtime import images
from mnv2deploy.runtime.images import Image
from mnv2deploy.runtime.pipeline import open_pipeline
from mnv2deploy.runtime.preprocessing import prepare
from mnv2deploy.runtime.session import Session

Keep = Callable[[Item, Any], None]


@dataclass(frozen=True, slots=True)
class Failure:
    """A picture that could not be measured."""

    file: str
    error: str


def answer_all(
    session: Session,
    dataset: Dataset,
    *,
    threads: int,
    batch: int = 1,
    keep: Keep | None = None,
    progress: Progress = SILENT,
) -> list[Any | Failure]:
    """Answers every picture and keeps a record of each answer.

    Each thread takes a picture from its file to its record, in a session without threads of its own: decoding and
    counting are spread over the processors too, and none waits for another. For what that gains, and why batches do
    not, see docs/evaluation.md.

    Args:
        session: Opened with one thread.
        dataset: Without problems.
        threads: Pictures, or batches of them, at a time.
        batch: Pictures in one run of the session.
        keep: Given every answer, from several threads at once, while it is whole.
        progress: Told how many pictures are done.

    Returns:
        One for each of ``dataset.items``, in their order.

    Raises:
        UsageError: the graph does not take batches of that size.
    """
    worker = _Worker(session, dataset, keep)
    if session.fixed_batch is not None and not batch == session.fixed_batch == 1:
        raise UsageError(f"--batch {batch}: the graph of {session.name} takes {session.fixed_batch} in each run.")
    groups = (dataset.items[start : start + batch] for start in range(0, len(dataset.items), batch))
    records: list[Any | Failure] = []
    progress.start(f"Measuring {session.name}", total=len(dataset.items))
    for answers in ordered_map(worker, groups, threads):
        records += answers
        progress.update(len(records))
    progress.stop()
    return records


class _Worker:
    """Answers a few pictures in one run."""

    def __init__(self, session: Session, dataset: Dataset, keep: Keep | None) -> None:
        self._session = session
        self._dataset = dataset
        self._keep = keep
        self._pipeline: Any = open_pipeline(session, **dataset.pipeline_options())

    def __call__(self, items: Sequence[Item]) -> list[Any | Failure]:
        pictures = [_read(item) for item in items]
        results = self._results([picture for picture in pictures if not isinstance(picture, Failure)])
        return [
            picture if isinstance(picture, Failure) else self._record(item, next(results))
            for item, picture in zip(items, pictures, strict=True)
        ]

    def _results(self, pictures: Sequence[Image]) -> Iterator[Any]:
        if not pictures:
            return
        contract = self._session.contract
        tensors = [prepare(picture, contract.input, contract.preprocessing) for picture in pictures]
        outputs = self._session.run(tensors[0] if len(tensors) == 1 else np.concatenate(tensors))
        for index, picture in enumerate(pictures):
            height, width = picture.shape[:2]
            yield self._pipeline.decode(*(output[index] for output in outputs), height=height, width=width)

    def _record(self, item: Item, result: Any) -> Any | Failure:
        try:
            record = self._dataset.record(item, result)
        except InputError as error:
            return Failure(str(item.path), str(error))
        if self._keep is not None:
            self._keep(item, result)
        return record


def _read(item: Item) -> Image | Failure:
    try:
        return images.read(item.path)
    except InputError as error:
        return Failure(str(item.path), str(error))
