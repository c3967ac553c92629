"""Pictures that are not where they should be, said in one sentence when it is most of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnv2deploy.evaluation.coco_files import is_file


def mostly_missing(files: Sequence[Path], belong: str, what: str = "pictures") -> tuple[list[str], set[Path]]:
    """A folder that is not there is one problem, not one for each of its pictures.

    Args:
        files: Where each is looked for.
        belong: Where they should be, for people.
        what: The files are.

    Returns:
        A sentence, and the missing files, if more than half and more than one are; else nothing.
    """
    missing = [path for path in files if not is_file(path)]
    if len(missing) < 2 or 2 * len(missing) <= len(files):
        return [], set()
    count = "none" if len(missing) == len(files) else f"only {len(files) - len(missing)}"
    said = f"{count} of the {len(files)} {what} can be found; they belong {belong}. Missing is {missing[0]}"
    return [f"{said}, for one."], set(missing)
