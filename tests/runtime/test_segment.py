"""A class for every pixel: against the original graph's mask, torch's upsampling, and a cat's outline."""

import dataclasses
from pathlib import Path

import inputs as reference_inputs
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import mnv2deploy
from mnv2deploy.contract import Label
from mnv2deploy.errors import ModelError, UsageError
from mnv2deploy.runtime import images
from mnv2deploy.runtime.preprocessing import prepare
from mnv2deploy.runtime.segment import Segmenter
from mnv2deploy.runtime.session import Session

REFERENCE = Path(__file__).parent.parent / "reference" / "deeplabv3_voc.npz"
CAT = 8


@pytest.fixture(scope="module")
def artifact(artifacts):
    return artifacts["deeplabv3-voc"]


@pytest.fixture(scope="module")
def segment(artifact):
    return mnv2deploy.load(artifact)


@pytest.fixture(scope="module")
def chelsea(segment, photos):
    return segment(photos["chelsea.png"])


def segmenter(artifact, labels):
    """With other labels than VOC's: (column, class id)."""
    session = Session(artifact)
    own = tuple(Label(column=column, class_id=class_id, name=f"class {class_id}") for column, class_id in labels)
    session.contract = dataclasses.replace(session.contract, labels=own)
    return Segmenter(session)


def test_chelsea_is_a_cat_on_a_third_of_her_picture(chelsea):
    assert (chelsea.width, chelsea.height, chelsea.mask.shape) == (451, 300, (300, 451))
    (cat,) = (one for one in chelsea.segments if one.class_id == CAT)
    assert cat.label == "cat"
    assert cat.colour == (64, 0, 0)
    assert cat.share > 0.3
    # Her nose is on her face, and she fills no corner.
    assert chelsea.mask[150, 230] == CAT
    assert not chelsea.mask[::299, ::450].any()


def test_segments_are_the_masks_classes_largest_first(chelsea):
    counts = np.bincount(chelsea.mask.ravel(), minlength=21)
    assert {one.class_id: one.pixels for one in chelsea.segments} == {
        class_id: count for class_id, count in enumerate(counts.tolist()) if count
    }
    pixels = [one.pixels for one in chelsea.segments]
    assert pixels == sorted(pixels, reverse=True)
    assert sum(pixels) == 300 * 451
    assert sum(one.share for one in chelsea.segments) == pytest.approx(1, abs=1e-12)
    assert all(one.share == one.pixels / (300 * 451) for one in chelsea.segments)


def test_mask_is_the_original_graphs(segment, photos):
    """513 pixels wide, the picture is not resized: file in, mask out, against TensorFlow.js."""
    _, _, pictures = reference_inputs.load_segmentation(REFERENCE)
    reference = pictures["motorcycle"]
    picture = reference_inputs.segmentation_input("motorcycle", images.read(photos["motorcycle_left.png"]))
    assert reference_inputs.input_sha256(picture) == str(reference["input_sha256"])
    assert picture.shape == (500, 513, 3)
    wrong = np.argwhere(segment(picture).mask != reference["mask"][:500])
    close = {tuple(place) for place in reference["close"].tolist()}
    assert len(wrong) <= 2
    assert {tuple(place) for place in wrong.tolist()} <= close
    assert (reference["mask"][:500] > 0).mean() > 0.1  # the comparison says something


@pytest.mark.parametrize("photo", ["chelsea.png", "coffee.png"])
def test_mask_is_the_argmax_of_two_interpolations(segment, photos, photo):
    """To the input's 513 with corners aligned, the padding cut off, then to the picture: by torch, in float64."""
    picture = images.read(photos[photo])
    height, width = picture.shape[:2]
    contract = segment.contract
    (logits,) = segment.session.run(prepare(picture, contract.input, contract.preprocessing))
    full = F.interpolate(torch.from_numpy(logits).double(), (513, 513), mode="bilinear", align_corners=True)
    rows, columns = round(height * 513 / width), 513
    full = F.interpolate(full[:, :, :rows, :columns], (height, width), mode="bilinear", align_corners=False)[0]
    best, second = full.topk(2, dim=0).values
    mask = segment(picture).mask
    sure = (best - second > 1e-4).numpy()
    assert sure.mean() > 0.999
    np.testing.assert_array_equal(mask[sure], full.argmax(dim=0).numpy()[sure])
    assert len(np.unique(mask)) > 1


def test_class_ids_are_the_data_sets_not_the_columns(artifact, photos, chelsea):
    found = segmenter(artifact, [(column, column * 7 + 3) for column in range(21)])(photos["chelsea.png"])
    np.testing.assert_array_equal(found.mask, chelsea.mask.astype(int) * 7 + 3)
    assert found.mask.dtype == np.uint8
    assert [(one.class_id, one.pixels) for one in found.segments] == [
        (one.class_id * 7 + 3, one.pixels) for one in chelsea.segments
    ]


def test_order_of_the_labels_is_no_matter(artifact, photos, chelsea):
    found = segmenter(artifact, [(column, column) for column in reversed(range(21))])(photos["chelsea.png"])
    np.testing.assert_array_equal(found.mask, chelsea.mask)


def test_class_ids_beyond_a_byte_make_a_wider_mask(artifact, photos, chelsea):
    found = segmenter(artifact, [(column, column + 1000) for column in range(21)])(photos["chelsea.png"])
    assert found.mask.dtype == np.uint16
    np.testing.assert_array_equal(found.mask, chelsea.mask.astype(np.uint16) + 1000)


@pytest.mark.parametrize("missing", [{CAT}, {0}, {20}, {0, CAT, 20}])
def test_columns_without_a_label_are_never_answered(artifact, missing):
    """The best of the others is, wherever the nameless one leads: in the middle, before the first, after the last."""
    logits = np.random.default_rng(0).normal(size=(21, 65, 65)).astype(np.float32)
    known = [column for column in range(21) if column not in missing]
    result = segmenter(artifact, [(column, column + 100) for column in known]).decode(logits, 513, 513)
    logits[sorted(missing)] = -1e9
    expected = segmenter(artifact, [(column, column + 100) for column in range(21)]).decode(logits, 513, 513)
    np.testing.assert_array_equal(result.mask, expected.mask)
    assert set(np.unique(result.mask)) == {column + 100 for column in known}
    assert result.segments == expected.segments
    assert sum(one.share for one in result.segments) == pytest.approx(1)


def test_label_without_a_column_is_refused(artifact):
    with pytest.raises(ModelError, match="answers 21 columns, its contract has a label for column 21"):
        segmenter(artifact, [(0, 0), (21, 21)]).decode(np.zeros((21, 65, 65), np.float32), 10, 10)


def test_the_lowest_of_equal_columns_wins(artifact):
    result = segmenter(artifact, [(3, 3), (5, 5)]).decode(np.ones((21, 65, 65), np.float32), 20, 10)
    assert (result.mask == 3).all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2000, 3), (3, 2000), (513, 513), (1026, 700)])
def test_mask_has_the_pictures_size(segment, height, width):
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    result = segment(picture)
    assert (result.height, result.width) == result.mask.shape == (height, width)
    assert result.mask.max() <= 20
    assert sum(one.pixels for one in result.segments) == height * width


def test_enlarged_picture_has_the_enlarged_mask(segment, photos):
    """Repeated pixels: the outline stays where it was, but for the interpolation between them."""
    picture = images.read(photos["chelsea.png"])
    once, larger = segment(picture), segment(picture.repeat(2, axis=0).repeat(2, axis=1))
    assert (larger.mask == once.mask.repeat(2, axis=0).repeat(2, axis=1)).mean() > 0.99


def test_a_path_and_its_pixels_give_the_same_answer(segment, photos, chelsea):
    for picture in (str(photos["chelsea.png"]), images.read(photos["chelsea.png"])):
        found = segment(picture)
        np.testing.assert_array_equal(found.mask, chelsea.mask)
        assert found.segments == chelsea.segments


@pytest.mark.parametrize("other", ["ssdlite-coco", "mobilenet-v2"])
def test_artifact_of_another_task_is_refused(artifacts, other):
    with pytest.raises(ModelError, match=f"{other}.onnx is a model to (detect|classify) with"):
        Segmenter(Session(artifacts[other]))


@pytest.mark.parametrize("option", ["score", "iou", "max_detections", "classes", "top"])
def test_options_of_other_tasks_are_refused_by_name(artifact, option):
    with pytest.raises(UsageError, match=f"a model to segment with, which has no option {option}"):
        mnv2deploy.load(artifact, **{option: None})


def test_json_has_the_documented_fields(chelsea):
    document = chelsea.to_json()
    assert list(document) == ["width", "height", "segments"]
    assert (document["width"], document["height"]) == (451, 300)
    assert [list(one) for one in document["segments"]] == [["label", "class_id", "pixels", "share"]] * len(
        chelsea.segments
    )
