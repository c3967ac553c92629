"""A card out of a checkpoint and its owner's answers: what is said is taken, what is not said is asked for."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from mnv2deploy.catalog.cards import InputSize, load_card
from mnv2deploy.catalog.conventions import named_preprocessing
from mnv2deploy.catalog.label_files import read_labels
from mnv2deploy.catalog.network_specs import SSDLiteSpec
from mnv2deploy.contract import ClassificationDecoding, Preprocessing, SegmentationDecoding
from mnv2deploy.errors import CheckpointError, ModelError, UsageError
from mnv2deploy.export import from_checkpoint
from mnv2deploy.export.from_checkpoint import Answers, card_from_checkpoint
from mnv2deploy.weights.description import Description, of_classifier
from mnv2deploy.weights.recognition import Recognised

CLASSIFIER = load_card("mobilenet-v2").network
DETECTOR = load_card("ssdlite-coco").network
SEGMENTER = load_card("deeplabv3-voc").network
FCN = load_card("fcn-cityscapes").network
MMDETECTION = load_card("ssdlite-coco-mmdet").network
SIZE = InputSize(height=224, width=224)
ALL = Answers(labels="numbers", preprocessing="torchvision", size=SIZE)


@pytest.fixture
def proposed(tmp_path, monkeypatch):
    """The card of a checkpoint that says this of itself."""

    def make(says, answers, origin="torchvision", told=None):
        recognised = Recognised(path=tmp_path / "mine.pth", origin=origin, says=says)
        monkeypatch.setattr(from_checkpoint, "recognise", lambda *_: recognised)
        return card_from_checkpoint(tmp_path / "mine.pth", answers, told)

    return make


def said_by(proposal):
    return {fact.what: fact.said_by for fact in proposal.facts}


def test_everything_a_state_dict_does_not_say_is_asked_for_at_once(proposed):
    with pytest.raises(UsageError) as caught:
        proposed(Description(network=CLASSIFIER), Answers())
    message = str(caught.value)
    assert "is MobileNetV2 1.0 from torchvision with 1000 classes" in message
    for question in ("--size", "--preprocessing (torchvision", "--labels (imagenet, if it was trained on that"):
        assert question in message
    with pytest.raises(UsageError) as caught:
        proposed(Description(network=CLASSIFIER), Answers(labels="imagenet", size=SIZE))
    assert "--labels" not in str(caught.value)
    assert "--size" not in str(caught.value)


@pytest.mark.parametrize(
    ("network", "columns", "origin", "usual"),
    [
        (CLASSIFIER, 1000, "mmpretrain", ("224x224", "mmpretrain", "imagenet")),
        (CLASSIFIER, 1001, "tflite", ("224x224", "keras", "imagenet")),
        (SEGMENTER, 21, "tflite", ("513x513", "deeplab", "voc")),
        (FCN, 19, "mmsegmentation", ("512x512 or 512x1024", "mmsegmentation", "cityscapes")),
        (FCN, 150, "mmsegmentation", ("512x512 or 512x1024", "mmsegmentation", "ade20k")),
        (DETECTOR, 91, "frozen-graph", ("300x300", "ssdlite", "coco")),
    ],
)
def test_what_is_asked_for_comes_with_the_usual_answer(network, columns, origin, usual, proposed):
    size, preprocessing, labels = usual
    with pytest.raises(UsageError) as caught:
        proposed(Description(network=replace(network, columns=columns)), Answers(), origin)
    message = str(caught.value)
    assert f"--size (of its input, in most cases {size})" in message
    assert f"--preprocessing ({preprocessing}, if its pictures were prepared as there;" in message
    assert f"--labels ({labels}, if it was trained on that; or a file" in message
    with pytest.raises(UsageError, match=r"--labels \(a file with a name a line"):
        proposed(Description(network=replace(network, columns=7)), Answers(), origin)


def test_one_answer_is_not_asked_for_again_while_another_is_missing(proposed):
    with pytest.raises(UsageError, match=r"give --size \([^-]*\)\.$"):  # and nothing after it
        proposed(Description(network=CLASSIFIER), Answers(labels="numbers", preprocessing="torchvision"))
    with pytest.raises(UsageError, match=r"give --preprocessing \([^-]*\)\.$"):
        proposed(Description(network=CLASSIFIER), Answers(labels="numbers", size=SIZE, resize="stretch"))


def test_a_told_origin_is_yours_and_a_found_one_the_tensors(proposed):
    for told, who in (("torchvision", "you"), (None, "the names of its tensors")):
        assert said_by(proposed(Description(network=CLASSIFIER), ALL, told=told))["origin"] == who


def test_of_few_classes_all_are_answered(proposed):
    for columns, top in ((2, 2), (5, 5), (6, 5)):
        says = Description(network=replace(CLASSIFIER, columns=columns))
        assert proposed(says, ALL).card.decoding.top == top


def test_answers_make_the_card_and_are_said_to_be_yours(proposed):
    proposal = proposed(Description(network=CLASSIFIER, activation="sigmoid"), ALL)
    card = proposal.card
    assert (card.name, card.task, card.input, card.network) == ("mine", "classify", SIZE, CLASSIFIER)
    assert card.decoding == ClassificationDecoding(activation="sigmoid", top=5)
    assert (card.weights.format, card.weights.licence, card.download.sources) == ("torchvision", "unknown", ())
    assert [label.name for label in card.labels] == [str(number) for number in range(1000)]
    who = said_by(proposal)
    assert who["network"] == "their shapes"
    assert {who[what] for what in ("input", "preprocessing", "labels")} == {"you"}


def test_what_the_checkpoint_says_is_not_asked_for(proposed):
    preprocessing = load_card("mobilenet-v2").preprocessing
    names = tuple(f"kind {number}" for number in range(1000))
    says = Description(network=CLASSIFIER, input=SIZE, preprocessing=preprocessing, labels=names)
    proposal = proposed(says, Answers(), "huggingface")
    assert proposal.card.preprocessing == preprocessing
    assert [label.name for label in proposal.card.labels] == list(names)
    assert {said_by(proposal)[what] for what in ("input", "preprocessing", "labels")} == {"the checkpoint"}


def test_what_an_origin_only_does_by_custom_is_asked_for(proposed):
    preprocessing = load_card("mobilenet-v2").preprocessing
    says = Description(network=CLASSIFIER, input=SIZE, preprocessing=preprocessing, is_assumed=True)
    with pytest.raises(UsageError, match=r"give --preprocessing \(timm, if"):
        proposed(says, Answers(labels="imagenet"), "timm")


def test_a_wrong_task_is_refused(proposed):
    with pytest.raises(CheckpointError, match="it is made to classify, not to detect"):
        proposed(Description(network=CLASSIFIER), Answers(task="detect"))
    with pytest.raises(CheckpointError, match=r"FCN on MobileNetV2 1\.0: it is made to segment, not to classify"):
        proposed(Description(network=FCN), Answers(task="classify"))


def test_a_wrong_head_is_refused(proposed):
    with pytest.raises(CheckpointError, match=r"FCN on MobileNetV2 1\.0: its head is not pspnet"):
        proposed(Description(network=FCN), Answers(head="pspnet"))
    with pytest.raises(UsageError, match="does not say everything"):
        proposed(Description(network=FCN), Answers(head="fcn"))


def test_an_output_stride_is_asked_for_only_where_it_is_open(proposed):
    says = Description(network=SEGMENTER, input=InputSize(height=513, width=513), is_stride_open=True)
    answers = {"labels": "voc", "preprocessing": "deeplab"}
    with pytest.raises(UsageError, match=r"give --output-stride \(8 or 16"):
        proposed(says, Answers(**answers), "frozen-graph")
    card = proposed(says, Answers(**answers, output_stride=16), "frozen-graph").card
    assert card.network.backbone.output_stride == 16
    with pytest.raises(UsageError, match="--output-stride does not apply"):
        proposed(Description(network=SEGMENTER), Answers(**answers, output_stride=16), "frozen-graph")


def test_segmenters_are_upsampled_as_their_origin_does(proposed):
    answers = Answers(labels="cityscapes", preprocessing="mmsegmentation", size=InputSize(height=512, width=1024))
    proposal = proposed(Description(network=FCN, align_corners=False), answers, "mmsegmentation")
    official = load_card("fcn-cityscapes")
    assert proposal.card.decoding == SegmentationDecoding(align_corners=False) == official.decoding
    assert (proposal.card.preprocessing, proposal.card.labels) == (official.preprocessing, official.labels)
    assert said_by(proposal)["output stride"] == "mmsegmentation's configurations, M-V2-D8"


def test_a_detector_at_another_size_has_other_grids(proposed):
    official = load_card("ssdlite-coco")
    says = Description(network=DETECTOR, input=official.input, preprocessing=official.preprocessing)
    card = proposed(says, Answers(labels="coco"), "frozen-graph").card
    assert (card.network, card.decoding, card.labels) == (official.network, official.decoding, official.labels)
    larger = proposed(says, Answers(labels="coco", size=InputSize(height=320, width=512)), "frozen-graph").card
    assert isinstance(larger.network, SSDLiteSpec)
    assert larger.network.anchors.grids == ((20, 32), (10, 16), (5, 8), (3, 4), (2, 2), (1, 1))


def test_mmdetections_detector_is_that_of_its_card_at_its_own_size(proposed):
    official = load_card("ssdlite-coco-mmdet")
    says = Description(network=MMDETECTION, input=official.input)
    with pytest.raises(UsageError, match=r"give --preprocessing \(mmdetection, .*, --labels \(coco, if"):
        proposed(says, Answers(), "mmdetection")
    answers = Answers(labels="coco", preprocessing="mmdetection")
    proposal = proposed(says, answers, "mmdetection")
    card = proposal.card
    assert (card.network, card.decoding, card.labels) == (official.network, official.decoding, official.labels)
    assert card.preprocessing == official.preprocessing
    assert said_by(proposal)["decoding"] == said_by(proposal)["input"] == "mmdetection's ssdlite_mobilenetv2"
    with pytest.raises(UsageError, match="--size does not apply: the anchors of mmdetection's"):
        proposed(says, replace(answers, size=InputSize(height=320, width=512)), "mmdetection")


def test_a_file_of_our_own_is_its_card_at_one_size(proposed):
    official = load_card("fcn-cityscapes")
    larger = InputSize(height=1024, width=2048)
    proposal = proposed(official, Answers(size=larger), "native")
    assert (proposal.card.input, proposal.card.other_inputs) == (larger, ())
    assert said_by(proposal)["labels"] == "the file's header"
    assert said_by(proposal)["input"] == "you"


def test_the_catalogs_own_weights_need_no_answers_and_take_them(proposed):
    official = load_card("mobilenet-v2")
    proposal = proposed(official, Answers())
    assert proposal.card == official
    assert set(said_by(proposal).values()) == {"the catalog's mobilenet-v2"}
    other = proposed(official, Answers(size=InputSize(height=192, width=192)))
    assert other.card.input == InputSize(height=192, width=192)
    assert said_by(other)["input"] == "you"


def test_another_size_crops_the_same_share_and_says_so(proposed):
    says = Description(network=CLASSIFIER, input=SIZE, preprocessing=load_card("mobilenet-v2").preprocessing)
    for card_or_file in (says, load_card("mobilenet-v2")):
        for side, shorter in ((320, 366), (112, 128)):
            proposal = proposed(card_or_file, Answers(labels="numbers", size=InputSize(height=side, width=side)))
            assert proposal.card.preprocessing.shorter_side == shorter
            assert said_by(proposal)["preprocessing"].endswith(", its crop scaled with --size")
    told = proposed(says, Answers(labels="numbers", size=InputSize(height=112, width=112), preprocessing="timm"))
    assert (told.card.preprocessing.shorter_side, said_by(told)["preprocessing"]) == (128, "you")


def test_what_turns_logits_into_probabilities_is_said_or_chosen(proposed):
    def decoding(says, asked=None):
        proposal = proposed(says, Answers(labels="numbers", preprocessing="timm", size=SIZE, activation=asked))
        return proposal.card.decoding.activation, said_by(proposal)["decoding"]

    silent, sure = Description(network=CLASSIFIER), Description(network=CLASSIFIER, activation="sigmoid")
    assert decoding(silent) == ("softmax", "the usual; --activation sigmoid for independent classes")
    assert decoding(silent, "sigmoid") == ("sigmoid", "you")
    assert decoding(sure) == ("sigmoid", "the checkpoint")
    assert decoding(load_card("mobilenet-v2")) == ("softmax", "the catalog's mobilenet-v2")
    assert decoding(load_card("mobilenet-v2"), "sigmoid") == ("sigmoid", "you")
    with pytest.raises(CheckpointError, match="ends in sigmoid, so --activation softmax would answer nonsense"):
        decoding(sure, "softmax")
    with pytest.raises(UsageError, match="--activation does not apply: .* is FCN on MobileNetV2 1.0, made to segment"):
        proposed(Description(network=FCN), Answers(activation="softmax"))


def test_one_output_is_a_sigmoids(proposed):
    single = of_classifier(CLASSIFIER.backbone, 1)
    with pytest.raises(UsageError, match="with 2 classes.*a name a line: first the name for 0, then for 1;"):
        proposed(single, Answers())
    answers = {"labels": "numbers", "preprocessing": "timm", "size": SIZE}
    for asked in (None, "sigmoid"):
        proposal = proposed(single, Answers(**answers, activation=asked))
        assert (proposal.card.network.columns, proposal.card.decoding.activation) == (2, "softmax")
        assert said_by(proposal)["decoding"] == "its one output, a sigmoid's: the other class has 0"
    with pytest.raises(UsageError, match="has one output, whose softmax is always 1"):
        proposed(single, Answers(**answers, activation="softmax"))
    column = replace(CLASSIFIER, columns=1)
    with pytest.raises(ValueError, match="the softmax of one column is always 1"):
        replace(load_card("mobilenet-v2"), network=column)


def test_a_resize_that_keras_does_not_write_down_is_not_said_to_be_the_checkpoints(proposed):
    own = named_preprocessing("keras", SIZE)
    says = Description(network=CLASSIFIER, input=SIZE, preprocessing=own, scales_itself=True)
    proposal = proposed(says, Answers(labels="numbers"), "keras")
    assert said_by(proposal)["preprocessing"] == "the checkpoint; the resize is Keras's usual, see --resize"
    proposal = proposed(says, Answers(labels="numbers", interpolation="bicubic"), "keras")
    assert said_by(proposal)["preprocessing"] == "the checkpoint; the resize you"
    assert (proposal.card.preprocessing.mean, proposal.card.preprocessing.interpolation) == (own.mean, "bicubic")


@pytest.mark.parametrize("card", ["mobilenet-v2", "ssdlite-coco", "deeplabv3-voc", "fcn-ade20k"])
def test_conventions_are_those_of_the_catalogs_cards(card):
    name = {"mobilenet-v2": "torchvision", "ssdlite-coco": "ssdlite", "deeplabv3-voc": "deeplab"}.get(card)
    official = load_card(card)
    assert named_preprocessing(name or "mmsegmentation", official.input) == official.preprocessing


def test_preprocessing_may_be_a_file_and_be_changed(tmp_path, proposed):
    file = tmp_path / "mine.toml"
    file.write_text(
        'resize = "stretch"\ninterpolation = "bicubic"\ncolour = "rgb"\nmean = [0, 0, 0]\nstd = [255, 255, 255]\n'
    )
    says = Description(network=CLASSIFIER, input=SIZE)
    expected = Preprocessing(
        resize="stretch", interpolation="bicubic", colour="rgb", mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0)
    )
    assert proposed(says, Answers(labels="numbers", preprocessing=str(file))).card.preprocessing == expected
    answers = Answers(labels="numbers", preprocessing="torchvision", resize="stretch", interpolation="bicubic")
    changed = proposed(says, answers).card.preprocessing
    assert (changed.resize, changed.shorter_side, changed.interpolation) == ("stretch", None, "bicubic")
    assert changed.mean == load_card("mobilenet-v2").preprocessing.mean
    file.write_text(f"[preprocessing]\n{file.read_text()}")
    assert named_preprocessing(str(file), SIZE) == expected
    file.write_text("preprocessing = 3\n")
    with pytest.raises(ModelError, match=r"mine\.toml: "):
        named_preprocessing(str(file), SIZE)
    file.write_text('resize = "stretch"\n')
    with pytest.raises(ModelError, match=r"mine\.toml: no colour, interpolation, mean, std"):
        named_preprocessing(str(file), SIZE)
    with pytest.raises(UsageError, match="no preprocessing 'pytorch'; there are torchvision"):
        named_preprocessing("pytorch", SIZE)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("names.txt", "cat\ndog\nGroße Möwe\n"),
        ("names.txt", "\ufeffcat\r\ndog\r\nGroße Möwe\r\n\r\n"),
        ("names.toml", '2 = "Große Möwe"\n0 = "cat"\n1 = { name = "dog", colour = [1, 2, 3] }\n'),
        ("names.json", json.dumps(["cat", "dog", "Große Möwe"])),
        ("names.json", json.dumps({"1": "dog", "0": "cat", "2": "Große Möwe"})),
        ("names.json", json.dumps({"dog": 1, "cat": 0, "Große Möwe": 2})),  # Keras's class_indices
    ],
)
def test_names_are_read_from_every_file_people_keep_them_in(file, content, tmp_path):
    (tmp_path / file).write_text(content, encoding="utf-8", newline="")
    labels = read_labels(str(tmp_path / file), 3, "classify", "mine.pth")
    assert [(label.column, label.class_id, label.name) for label in labels] == [
        (0, 0, "cat"),
        (1, 1, "dog"),
        (2, 2, "Große Möwe"),
    ]
    with pytest.raises(CheckpointError, match=r"names 3 classes, but mine\.pth has 4\."):
        read_labels(str(tmp_path / file), 4, "segment", "mine.pth")


def test_a_detectors_first_column_is_background(tmp_path):
    (tmp_path / "names.txt").write_text("apple\npear\n")
    labels = read_labels(str(tmp_path / "names.txt"), 3, "detect", "mine.pb")
    assert [(label.column, label.class_id, label.name) for label in labels] == [(1, 1, "apple"), (2, 2, "pear")]
    assert read_labels("coco", 91, "detect", "mine.pb") == load_card("ssdlite-coco").labels
    assert [label.class_id for label in read_labels("numbers", 3, "detect", "mine.pb")] == [1, 2]
    with pytest.raises(CheckpointError, match=r"names 2 classes, but mine\.pb has 3 and background"):
        read_labels(str(tmp_path / "names.txt"), 4, "detect", "mine.pb")


def test_mmdetections_background_is_the_last_column_and_its_classes_have_no_gaps(tmp_path):
    file = tmp_path / "own.txt"
    file.write_text("cat\ndog\n")
    labels = read_labels(str(file), 3, "detect", "own.pth", background_last=True)
    assert [(label.column, label.class_id, label.name) for label in labels] == [(0, 0, "cat"), (1, 1, "dog")]
    card = load_card("ssdlite-coco-mmdet")
    assert read_labels("coco", 81, "detect", "own.pth", background_last=True) == card.labels
    assert [label.column for label in read_labels("numbers", 3, "detect", "own.pth", background_last=True)] == [0, 1]
    with pytest.raises(CheckpointError, match="names 2 classes, but own.pth has 3 and background"):
        read_labels(str(file), 4, "detect", "own.pth", background_last=True)


def test_imagenets_names_leave_tensorflows_background_out():
    labels = read_labels("imagenet", 1001, "classify", "mine.h5")
    assert (labels[0].column, labels[0].class_id, labels[0].name) == (1, 0, "tench")
    assert read_labels("imagenet", 1000, "classify", "mine.pth") == load_card("mobilenet-v2").labels
    assert read_labels("ade20k", 150, "segment", "mine.pth") == load_card("fcn-ade20k").labels
    with pytest.raises(CheckpointError, match="voc names 21 classes"):
        read_labels("voc", 20, "segment", "mine.pth")


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("names.txt", "", "should hold a name a line"),
        ("names.txt", "cat\n\ndog\n", "should hold a name a line"),
        ("names.txt", "cat\ncat\ndog\n", "the name 'cat' twice"),
        ("names.json", "{", "is no file of names"),
        ("names.json", "[1, 2, 3]", "should hold a name a line"),
        ("names.json", '{"a": 1.5}', "should hold a name a line"),
        ("names.toml", 'cat = "3"', "class cat should be a number"),
        ("names.txt", b"\xff\xfe\x00", "is no file of names"),
    ],
)
def test_a_file_without_names_is_refused(file, content, says, tmp_path):
    path = tmp_path / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ModelError, match=says):
        read_labels(str(path), 3, "classify", "mine.pth")
    with pytest.raises(ModelError) as caught:
        read_labels(str(path), 3, "classify", "mine.pth")
    assert not any(word in str(caught.value) for word in ("Expecting", "codec"))


def test_numbers_that_begin_with_one_are_said(proposed, tmp_path):
    (tmp_path / "kinds.json").write_text('{"cat": 1, "dog": 2}')
    two = Description(network=replace(CLASSIFIER, columns=2))
    proposal = proposed(two, replace(ALL, labels=str(tmp_path / "kinds.json")))
    assert [(label.column, label.class_id) for label in proposal.card.labels] == [(0, 1), (1, 2)]
    assert {fact.what: fact.value for fact in proposal.facts}["labels"] == "cat, dog (numbered from 1)"
    (tmp_path / "kinds.json").write_text('{"cat": 0, "dog": 1}')
    proposal = proposed(two, replace(ALL, labels=str(tmp_path / "kinds.json")))
    assert {fact.what: fact.value for fact in proposal.facts}["labels"] == "cat, dog"


def test_an_unknown_set_of_labels_lists_those_there_are():
    with pytest.raises(UsageError, match=r"no such file; the catalog's label sets are ade20k, cityscapes, coco"):
        read_labels("objects365", 3, "classify", "mine.pth")


def test_labels_by_number_follow_the_columns():
    columns = [label.column for label in read_labels("numbers", 4, "segment", "mine.pth")]
    assert columns == list(np.arange(4))
