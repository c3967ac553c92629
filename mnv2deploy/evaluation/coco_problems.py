"""All that keeps a model from being measured on a COCO data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from mnv2deploy.errors import InputError
from mnv2deploy.evaluation.coco_files import Annotations, is_file, picture_folders
from mnv2deploy.evaluation.dataset import Item
from mnv2deploy.evaluation.matching import Objects
from mnv2deploy.evaluation.missing import mostly_missing
from mnv2deploy.evaluation.pictures import upright_size
from mnv2deploy.progress import Progress

_SHOWN = 5


def find_problems(
    source: Path, annotations: Annotations, items: Sequence[Item], model: Mapping[int, str], progress: Progress
) -> list[str]:
    """Sentences, those first that concern most pictures.

    Args:
        source: The file of annotations.
        annotations: All of it.
        items: The pictures to be measured, which may be fewer.
        model: The model's class names by id.
        progress: Told while the pictures are checked.
    """
    if not items:
        return ["there are no pictures."]
    sizes = {picture.id: (picture.width, picture.height) for picture in annotations.pictures}
    objects = annotations.objects.at(np.isin(annotations.objects.image_ids, [item.truth for item in items]))
    found = [*_category_problems(annotations.categories, objects, model)]
    if objects.crowd.all():
        found.append("the pictures have no object to find, crowds aside.")
    found += _repeated("picture", [picture.id for picture in annotations.pictures])
    found += _repeated("annotation", objects.ids.tolist())
    found += _lost_annotations(annotations.objects, sizes)
    found += _object_problems(annotations.categories, objects, sizes)
    found += _picture_problems(source, items, sizes, progress)
    return found


def _category_problems(categories: Mapping[int, str], objects: Objects, model: Mapping[int, str]) -> Iterator[str]:
    """Ids and names have to be the model's; what has no object in these pictures need not be known to the model."""
    for class_id, name in sorted(categories.items()):
        if not _same(name, model.get(class_id, name)):
            yield f"category {class_id} is {name!r} in the data set and {model[class_id]!r} in the model."
    used = {
        class_id: categories[class_id]
        for class_id in np.unique(objects.category_ids).tolist()
        if class_id in categories
    }
    foreign = {class_id: name for class_id, name in used.items() if class_id not in model}
    if used and len(foreign) == len(used):
        yield f"the data set and the model share no category: {_listed(used)} there, {_listed(model)} here."
    elif foreign:
        yield (
            f"the model does not know {len(foreign)} of the {len(used)} categories that have objects in these "
            f"pictures: {_listed(foreign)}; measure it on a data set of its own categories."
        )


def _same(name: str, other: str) -> bool:
    return name.strip().casefold() == other.strip().casefold()


def _listed(categories: Mapping[int, str]) -> str:
    names = [f"{class_id} {name!r}" for class_id, name in sorted(categories.items())]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _repeated(what: str, ids: list[int]) -> Iterator[str]:
    for number, count in Counter(ids).items():
        if count > 1:
            yield f"{count} {what}s have the id {number}."


def _lost_annotations(objects: Objects, sizes: Mapping[int, tuple[int, int]]) -> Iterator[str]:
    lost = ~np.isin(objects.image_ids, np.fromiter(sizes, np.int64, len(sizes)))
    for number, image in zip(objects.ids[lost].tolist(), objects.image_ids[lost].tolist(), strict=True):
        yield f"annotation {number} is of picture {image}, which the data set does not list."


def _object_problems(
    categories: Mapping[int, str], objects: Objects, sizes: Mapping[int, tuple[int, int]]
) -> Iterator[str]:
    unknown = ~np.isin(objects.category_ids, np.fromiter(categories, np.int64, len(categories)))
    for number, category in zip(objects.ids[unknown].tolist(), objects.category_ids[unknown].tolist(), strict=True):
        yield f"annotation {number} is of category {category}, which the data set does not list."
    picture = np.array([sizes[image] for image in objects.image_ids.tolist()], np.float64).reshape(-1, 2)
    near, size = objects.boxes[:, :2], objects.boxes[:, 2:]
    # Boxes of COCO itself reach out of their picture by a rounding error, and train2017 has one or two without width.
    # NaN is not greater than 0.
    inside = (near < picture) & ((near + size > 0) | (size == 0))
    good = np.isfinite(objects.boxes).all(axis=1) & ((size >= 0) & inside).all(axis=1)
    for row in np.flatnonzero(~good).tolist():
        width, height = picture[row].astype(int)
        yield (
            f"annotation {objects.ids[row]} has the box {objects.boxes[row].tolist()} (left, top, width, height), "
            f"which is not one in a picture of {width} x {height} pixels."
        )
    for row in np.flatnonzero(~((objects.areas >= 0) & np.isfinite(objects.areas))).tolist():
        yield f"annotation {objects.ids[row]} has an area of {objects.areas[row]}."


def _picture_problems(
    source: Path, items: Sequence[Item], sizes: Mapping[int, tuple[int, int]], progress: Progress
) -> Iterator[str]:
    folders = ", ".join(map(str, picture_folders(source)))
    said, missing = mostly_missing([item.path for item in items], f"in one of these folders: {folders}")
    yield from said
    progress.start("Checking the pictures", total=len(items))
    for done, item in enumerate(items, start=1):
        progress.update(done)
        if item.path in missing:
            continue
        try:
            height, width = upright_size(item.path)
        except InputError as error:
            lost = not is_file(item.path)
            yield f"the picture {item.name} is in none of these folders: {folders}." if lost else str(error)
        else:
            if (width, height) != sizes[item.truth]:
                listed = " x ".join(map(str, sizes[item.truth]))
                yield f"{item.path} is {width} x {height} pixels as it is shown, and {source.name} says {listed}."
    progress.stop()
