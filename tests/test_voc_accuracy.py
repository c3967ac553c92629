"""It sees where things end: mean intersection over union on labelled pictures, counted by hand."""

import numpy as np
from PIL import Image

import mnv2deploy

IGNORED = 255


def test_mean_iou_on_voc_val_is_the_reference_networks(data, artifacts):
    folder = data / "voc" / "val"
    segment = mnv2deploy.load(artifacts["deeplabv3-voc"])
    # Row: what a pixel is. Column: what it was taken for.
    confusion = np.zeros((21, 21), np.int64)
    masks = sorted((folder / "masks").glob("*.png"))
    assert len(masks) == 100
    for path in masks:
        with Image.open(path) as opened:
            truth = np.asarray(opened)
        found = segment(folder / "images" / f"{path.stem}.jpg").mask
        assert found.shape == truth.shape
        counted = truth != IGNORED
        assert truth[counted].max() <= 20
        pairs = truth[counted].astype(np.int64) * 21 + found[counted]
        confusion += np.bincount(pairs, minlength=21 * 21).reshape(21, 21)
    both = np.diag(confusion)
    is_present = confusion.sum(axis=1) > 0
    assert is_present.sum() >= 20
    iou = both[is_present] / (confusion.sum(axis=0) + confusion.sum(axis=1) - both)[is_present]
    # The reference network reaches 0.600 on these pictures.
    assert iou.mean() >= 0.596
