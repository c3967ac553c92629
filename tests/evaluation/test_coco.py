"""COCO data sets on disk: what is read, what is found wrong with them, what is written."""

import dataclasses
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mnv2deploy.contract import Label
from mnv2deploy.errors import InputError, MissingDependencyError, UsageError
from mnv2deploy.evaluation.coco import read_coco
from mnv2deploy.runtime.results import Detection, DetectionResult

CAT, DOG = Label(column=1, class_id=17, name="cat"), Label(column=2, class_id=18, name="dog")
MODEL = SimpleNamespace(labels=(CAT, DOG))


def good() -> dict:
    """Two pictures of 40 x 30 pixels with an object each, and a category nobody uses."""
    return {
        "images": [
            {"id": 9, "file_name": "b.png", "width": 40, "height": 30},
            {"id": 4, "file_name": "a.png", "width": 40, "height": 30},
        ],
        "annotations": [
            {"id": 70, "image_id": 9, "category_id": 17, "bbox": [1, 2, 10, 20.5], "area": 90.0, "iscrowd": 0},
            {"id": 71, "image_id": 4, "category_id": 18, "bbox": [0, 0, 40, 30], "area": 1000, "iscrowd": 0},
        ],
        "categories": [{"id": 17, "name": "Cat"}, {"id": 18, "name": "dog"}, {"id": 19, "name": "horse"}],
    }


def write_pictures(folder: Path, names=("a.png", "b.png"), size=(30, 40)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        assert cv2.imwrite(str(folder / name), np.zeros((*size, 3), np.uint8))


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "instances.json", good())
    write_pictures(tmp_path / "images")
    return tmp_path


def problems_of(folder: Path, content: dict, model=MODEL) -> list[str]:
    write(folder / "instances.json", content)
    return read_coco(folder).problems(model)


def test_items_come_in_the_order_of_the_file_and_their_truth_is_the_picture_id(folder):
    dataset = read_coco(folder)
    assert [(item.name, item.path, item.truth) for item in dataset.items] == [
        ("b.png", folder / "images" / "b.png", 9),
        ("a.png", folder / "images" / "a.png", 4),
    ]
    assert (dataset.format, dataset.task) == ("coco", "detect")
    assert dataset.problems(MODEL) == []


@pytest.mark.parametrize(
    ("annotations", "pictures"),
    [
        ("instances.json", "images"),
        ("instances.json", "."),
        ("instances.json", "val2017"),  # the only other folder
        ("annotations/instances_val2017.json", "val2017"),
        ("annotations/instances_val2017.json", "images/val2017"),
        ("annotations/instances_val2017.json", "images"),
        ("annotations/instances_val2017.json", "annotations"),
    ],
)
def test_pictures_are_found_where_people_put_them(tmp_path, annotations, pictures):
    write(tmp_path / annotations, good())
    write_pictures(tmp_path / pictures)
    dataset = read_coco(tmp_path)
    assert [item.path for item in dataset.items] == [tmp_path / pictures / name for name in ("b.png", "a.png")]
    assert read_coco(tmp_path / annotations).items == dataset.items
    assert dataset.problems(MODEL) == []


def test_a_file_in_the_current_folder_finds_its_pictures_too(tmp_path, monkeypatch):
    write(tmp_path / "annotations" / "instances_val2017.json", good())
    write_pictures(tmp_path / "val2017")
    for folder, name in (
        (tmp_path, "annotations/instances_val2017.json"),
        (tmp_path / "annotations", "instances_val2017.json"),
    ):
        monkeypatch.chdir(folder)
        assert read_coco(Path(name)).problems(MODEL) == []


def test_the_split_of_the_file_decides_between_pictures_of_the_same_name(tmp_path):
    write(tmp_path / "annotations" / "instances_val.json", good())
    for split in ("train", "val", "test"):
        write_pictures(tmp_path / split)
    assert {item.path.parent.name for item in read_coco(tmp_path).items} == {"val"}


def test_a_picture_is_not_taken_from_one_of_several_folders_at_random(tmp_path):
    write(tmp_path / "instances.json", good())
    for split in ("train", "test"):
        write_pictures(tmp_path / split)
    (only,) = read_coco(tmp_path).problems(MODEL)
    assert only.startswith(f"none of the 2 pictures can be found; they belong in one of these folders: {tmp_path}.")


def test_file_names_may_hold_folders(tmp_path):
    content = good()
    for image in content["images"]:
        image["file_name"] = f"val/{image['file_name']}"
    write(tmp_path / "instances.json", content)
    write_pictures(tmp_path / "images" / "val")
    assert read_coco(tmp_path).problems(MODEL) == []


def test_several_files_of_annotations_are_named_and_refused(tmp_path):
    paths = [write(tmp_path / "annotations" / f"instances_{split}.json", good()) for split in ("train", "val")]
    with pytest.raises(InputError) as error:
        read_coco(tmp_path)
    assert all(str(path) in str(error.value) for path in paths)


def test_a_folder_without_annotations_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds neither instances.json nor"):
        read_coco(tmp_path)
    with pytest.raises(InputError, match=r"nowhere cannot be read: No such file or directory"):
        read_coco(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "{", '{"images": [1, 2', "[" * 100_000, "\xff\xfe"])
def test_what_is_not_json_is_refused(tmp_path, text):
    (tmp_path / "instances.json").write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=r"instances.json is not JSON"):
        read_coco(tmp_path)


def _without(table, key):
    def change(content):
        del content[table][1][key]

    return change


def _with(table, key, value):
    def change(content):
        content[table][1][key] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("annotations"), "annotations should be a list of objects"),
        (lambda content: content["images"].append(3), "images should be a list of objects"),
        (_without("images", "file_name"), "images[1] has no file_name"),
        (_without("images", "width"), "images[1] has no width"),
        (_without("annotations", "bbox"), "annotations[1] has no bbox"),
        (_without("annotations", "category_id"), "annotations[1] has no category_id"),
        (_without("categories", "name"), "categories[1] has no name"),
        (_with("images", "id", "4"), "images[1].id should be a whole number, not '4'"),
        (_with("images", "id", 2**70), "images[1].id should be a whole number, not 1180591620717411303424"),
        (_with("images", "file_name", ""), "images[1].file_name should be a file's name, not ''"),
        (_with("images", "file_name", "a\0.png"), "images[1].file_name should be a file's name"),
        (_with("images", "file_name", "\ud800.png"), "surrogates not allowed"),
        (_with("annotations", "bbox", [1, 2, 3]), "annotations[1].bbox should be four numbers, not [1, 2, 3]"),
        (_with("annotations", "bbox", [1, 2, 3, True]), "annotations[1].bbox should be four numbers"),
        (_with("annotations", "bbox", [1, 2, 3, 10**400]), "too large"),
        (_with("annotations", "area", None), "annotations[1].area should be a number, not None"),
        (_with("annotations", "iscrowd", 2), "annotations[1].iscrowd should be 0 or 1, not 2"),
        (_with("categories", "id", 17), "two categories have the same id"),
    ],
)
def test_a_file_of_another_form_is_refused_with_its_name_and_the_place(folder, change, message):
    content = good()
    change(content)
    path = write(folder / "instances.json", content)
    with pytest.raises(InputError) as error:
        read_coco(folder)
    assert str(path) in str(error.value)
    assert message in str(error.value)


def test_area_is_that_of_the_box_and_nothing_is_a_crowd_where_the_file_does_not_say(folder):
    content = good()
    for one in content["annotations"]:
        del one["area"], one["iscrowd"]
    write(folder / "instances.json", content)
    objects = read_coco(folder).annotations.objects
    assert objects.areas.tolist() == [205, 1200]
    assert objects.crowd.tolist() == [False, False]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            _with("annotations", "image_id", 5),
            "annotation 71 is of picture 5, which the data set does not list.",
        ),
        (
            _with("annotations", "category_id", 20),
            "annotation 71 is of category 20, which the data set does not list.",
        ),
        (
            _with("annotations", "category_id", 19),
            "the model does not know 1 of the 2 categories that have objects in these pictures: 19 'horse'; "
            "measure it on a data set of its own categories.",
        ),
        (_with("categories", "name", "cow"), "category 18 is 'cow' in the data set and 'dog' in the model."),
        (_with("annotations", "id", 70), "2 annotations have the id 70."),
        (_with("annotations", "area", -1), "annotation 71 has an area of -1.0."),
        (_with("annotations", "area", float("nan")), "annotation 71 has an area of nan."),
        (_with("annotations", "area", float("inf")), "annotation 71 has an area of inf."),
        (
            _with("images", "height", 31),
            "{folder}/images/a.png is 40 x 30 pixels as it is shown, and instances.json says 40 x 31.",
        ),
        (
            _with("images", "file_name", "c.png"),
            "the picture c.png is in none of these folders: {folder}/images, {folder}.",
        ),
        (
            _with("images", "file_name", 300 * "x"),
            f"the picture {300 * 'x'} is in none of these folders: {{folder}}/images, {{folder}}.",
        ),
        *(
            (
                _with("annotations", "bbox", box),
                f"annotation 71 has the box {[float(side) for side in box]} (left, top, width, height), which is not "
                "one in a picture of 40 x 30 pixels.",
            )
            for box in (
                [1, 1, -0.5, 5],
                [1, 1, 5, -2],
                [1, 1, float("inf"), 5],
                [float("nan"), 1, 5, 5],
                [40, 1, 5, 5],
                [1, -9, 5, 9],
            )
        ),
    ],
)
def test_every_trouble_is_a_sentence(folder, change, sentence):
    content = good()
    change(content)
    assert problems_of(folder, content) == [sentence.format(folder=folder)]


def test_all_troubles_are_listed_at_once(folder):
    content = good()
    content["images"].append(content["images"][0])
    content["annotations"][0]["bbox"] = [0, 0, -1, 0]
    (folder / "images" / "a.png").write_bytes(b"no picture")
    found = problems_of(folder, content)
    assert found[0] == "2 pictures have the id 9."
    assert found[1].startswith("annotation 70 has the box")
    assert found[2].startswith(f"{folder}/images/a.png is not a picture in a format")
    assert len(found) == 3


def test_boxes_may_reach_out_of_the_picture_by_a_rounding_error(folder):
    content = good()
    content["annotations"][1]["bbox"] = [-0.01, -0.01, 40.03, 30.02]
    assert problems_of(folder, content) == []


def test_a_model_of_one_class_is_refused_on_a_set_of_many_in_one_sentence(folder):
    assert problems_of(folder, good(), SimpleNamespace(labels=(CAT,))) == [
        "the model does not know 1 of the 2 categories that have objects in these pictures: 18 'dog'; "
        "measure it on a data set of its own categories."
    ]


def test_a_model_of_many_classes_is_measured_on_a_set_of_one(folder):
    content = good()
    content["annotations"].pop()
    content["categories"] = content["categories"][:1]
    assert problems_of(folder, content) == []


def test_a_set_that_shares_no_category_with_the_model_is_refused(folder):
    model = SimpleNamespace(labels=tuple(Label(column=n, class_id=n, name=f"sign {n}") for n in range(7)))
    assert problems_of(folder, good(), model) == [
        "the data set and the model share no category: 17 'Cat', 18 'dog' there, 0 'sign 0', 1 'sign 1', 2 'sign 2', "
        "3 'sign 3', 4 'sign 4' and 2 more here."
    ]


def test_an_empty_set_and_one_without_objects_are_refused(folder):
    content = good()
    content["annotations"] = [{**content["annotations"][0], "iscrowd": 1}]
    assert problems_of(folder, content) == ["the pictures have no object to find, crowds aside."]
    assert problems_of(folder, {**good(), "images": [], "annotations": []}) == ["there are no pictures."]


def test_boxes_without_width_are_coco_s_own(folder):
    content = good()
    content["annotations"][0]["bbox"] = [0, 3, 0, 5]
    assert problems_of(folder, content) == []


def test_only_the_pictures_to_be_measured_are_looked_at(folder):
    content = good()
    content["annotations"][1]["bbox"] = [0, 0, -1, 0]
    (folder / "images" / "a.png").unlink()
    assert len(problems_of(folder, content)) == 2
    dataset = read_coco(folder)
    assert dataclasses.replace(dataset, items=dataset.items[:1]).problems(MODEL) == []


def test_the_size_is_that_of_the_picture_turned_upright(folder):
    """The JPEG is stored as 40 x 30 pixels, and its EXIF says that it is to be shown as 30 x 40."""
    _, jpeg = cv2.imencode(".jpg", np.zeros((30, 40, 3), np.uint8))
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    segment = b"Exif\0\0" + tiff
    exif = b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment
    (folder / "images" / "a.png").write_bytes(jpeg[:2].tobytes() + exif + jpeg[2:].tobytes())
    sentence = f"{folder}/images/a.png is 30 x 40 pixels as it is shown, and instances.json says 40 x 30."
    assert problems_of(folder, good()) == [sentence]
    content = good()
    content["images"][1] |= {"width": 30, "height": 40}
    content["annotations"][1]["bbox"] = [0, 0, 30, 40]
    assert problems_of(folder, content) == []


def test_progress_is_told_of_every_picture_checked(folder):
    calls = []

    class Watcher:
        def start(self, description, total):
            calls.append((description, total))

        def update(self, done):
            calls.append(done)

        def stop(self):
            calls.append("stop")

    read_coco(folder, Watcher()).problems(MODEL)
    assert calls == [("Checking the pictures", 2), 1, 2, "stop"]


RESULT = DetectionResult(
    width=40,
    height=30,
    detections=(
        Detection("cat", 17, float(np.float32(0.9)), (1.00049, 2.0, 11.25, 22.12345)),
        Detection("dog", 18, float(np.float32(1e-3)), (0.0, 0.0, 40.0, 30.0)),
    ),
)


def test_predictions_are_in_the_results_format_to_a_thousandth_of_a_pixel(folder):
    dataset = read_coco(folder)
    nothing = DetectionResult(width=40, height=30, detections=())
    records = [dataset.record(dataset.items[0], RESULT), dataset.record(dataset.items[1], nothing)]
    dataset.write_predictions(records, folder / "predictions.json")
    written = json.loads((folder / "predictions.json").read_bytes())
    assert written == [
        {"image_id": 9, "category_id": 17, "bbox": [1.0, 2.0, 10.25, 20.123], "score": pytest.approx(0.9)},
        {"image_id": 9, "category_id": 18, "bbox": [0.0, 0.0, 40.0, 30.0], "score": pytest.approx(1e-3)},
    ]
    assert [np.float32(one["score"]) for one in written] == [np.float32(0.9), np.float32(1e-3)]
    assert records[0].boxes.tolist() == [one["bbox"] for one in written]


def test_scores_that_differ_differ_in_the_file(folder):
    dataset = read_coco(folder)
    scores = np.float32(0.125) - np.arange(50, 0, -1, dtype=np.float32) * np.spacing(np.float32(0.124))
    assert len(set(scores.tolist())) == 50
    found = tuple(Detection("cat", 17, float(score), (0.0, 0.0, 9.0, 9.0)) for score in scores)
    dataset.write_predictions(
        [dataset.record(dataset.items[0], DetectionResult(width=40, height=30, detections=found))], folder / "p.json"
    )
    written = [one["score"] for one in json.loads((folder / "p.json").read_bytes())]
    assert written == sorted(set(written))


def test_the_same_answers_make_the_same_file_and_no_answers_an_empty_list(folder):
    dataset = read_coco(folder)
    for name in ("one.json", "two.json"):
        dataset.write_predictions([dataset.record(item, RESULT) for item in dataset.items], folder / name)
    assert (folder / "one.json").read_bytes() == (folder / "two.json").read_bytes()
    dataset.write_predictions([], folder / "none.json")
    assert json.loads((folder / "none.json").read_bytes()) == []
    with pytest.raises(UsageError, match="cannot be written"):
        dataset.write_predictions([], folder / "missing" / "p.json")


def test_a_record_is_small(folder):
    dataset = read_coco(folder)
    record = dataset.record(dataset.items[0], dataclasses.replace(RESULT, detections=RESULT.detections * 50))
    assert record.boxes.nbytes + record.scores.nbytes + record.category_ids.nbytes == 4000


def test_the_missing_extra_is_named_before_anything_is_run(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'mnv2deploy\[eval\]'"):
        read_coco(folder)
