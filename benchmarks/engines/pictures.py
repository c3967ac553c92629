"""The pictures everybody answers."""

from pathlib import Path

import cv2

from mnv2deploy.catalog.photos import load_photos
from mnv2deploy.errors import UsageError
from mnv2deploy.weights.fetch import fetch

COUNT = 8
FOLDERS = {"classify": "imagenet/calib/images", "detect": "coco/val/images", "segment": "voc/val/images"}


def pictures_for(task: str, data: Path | None, scratch: Path) -> tuple[list[Path], str]:
    """JPEG files of ordinary size, and what they are.

    Args:
        task: ``classify``, ``detect`` or ``segment``.
        data: A folder of data sets as ``MNV2DEPLOY_DATA`` names; None takes the sample photos.
        scratch: Where JPEGs of those that are PNGs go.
    """
    if data is not None:
        paths = sorted(path for path in (data / FOLDERS[task]).glob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
        if not paths:
            raise UsageError(f"{data / FOLDERS[task]} holds no JPEGs; give --data another folder, or none.")
        return paths[:COUNT], f"the first {COUNT} of {FOLDERS[task]}"
    photos = []
    for name, path in fetch(load_photos("sample-photos")[0]).files.items():
        if path.suffix != ".jpg":
            jpeg = scratch / f"{Path(name).stem}.jpg"
            cv2.imwrite(str(jpeg), cv2.imread(str(path)), [cv2.IMWRITE_JPEG_QUALITY, 90])
            path = jpeg
        photos.append(path)
    return photos, f"the catalog's {len(photos)} sample photos as JPEG"
