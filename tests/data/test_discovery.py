"""What a folder of images is taken for."""

import os
import shutil

import pytest

from regnet.core.errors import UserError
from regnet.data import DataModule
from regnet.data.discovery import find_parts
from regnet.data.folder import ImageFolder
from tests.helpers.folders import grid, write


def sizes(root):
    return {name: [len(files) for files in part.images.values()] for name, part in find_parts(root).items()}


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("train", "val", "test"),
        ("Training", "Validation", "Testing"),
        ("TRAIN", "valid", "TEST"),
        ("training_set", "dev_set", "test_set"),
        ("train2017", "val2017", "test2017"),
        ("TrainImages", "EvalImages", "TestImages"),
        ("seg_train", "seg_val", "seg_test"),
        ("trainset", "dev", "testset"),
        ("training-data", "evaluation", "testing data"),
    ],
)
def test_the_parts_by_any_usual_name(tmp_path, train, val, test):
    write(tmp_path, *grid(train, 3), *grid(test, 1))
    assert sizes(tmp_path) == {"train": [3, 3], "test": [1, 1]}
    write(tmp_path, *grid(val, 2))
    assert sizes(tmp_path) == {"train": [3, 3], "val": [2, 2], "test": [1, 1]}
    shutil.rmtree(tmp_path / test)
    assert sizes(tmp_path) == {"train": [3, 3], "val": [2, 2]}


@pytest.mark.parametrize(
    "names",
    [("train", "bus", "car"), ("invalid", "valid"), ("test tube", "train station"), ("pretraining", "validated")],
)
def test_classes_that_are_called_like_parts(tmp_path, names):
    write(tmp_path, *(f"{name}/0.png" for name in names))
    assert list(find_parts(tmp_path)["train"].images) == sorted(names)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (grid("train"), r"train and neither .* give data\.path=.*train to have it split"),
        (grid("test"), "holds test and no part for training"),
        (grid("val") + grid("test"), "holds test, val and no part for training"),
        (grid("D"), "holds nothing but the folder D; move what is in that one level up, or put it into data.path"),
        (grid("D/train") + grid("D/test"), "holds nothing but the folder D"),
        (grid("seg_train/seg_train") + grid("seg_test/seg_test"), "seg_train holds nothing but the folder seg_train"),
        ([*grid("train"), "bus/0.png"], "holds both train and bus"),
        ([*grid("train"), *grid("test"), "unlabeled/0.png"], "holds both test, train and unlabeled"),
        (["train/0.png", "test/0.png"], r"train holds 1 image\(s\) and 0 folder\(s\); put the images of each class"),
        (["0.png", "1.png", "labels.csv"], r"holds 2 image\(s\) and 0 folder\(s\); .*a table of labels is not read"),
        ([".hidden/0.png"], r"holds no images and 0 folder\(s\)"),
        (grid("cat", classes=("train", "test")) + grid("dog", classes=("train", "test")), "parts of one class"),
        (grid("train") + grid("Training") + grid("test"), "more than one folder for the same part"),
        (grid("val") + grid("train", classes=("cat", "eel")), "class 'dog', of which there are no images for training"),
        (grid("train", classes=("a", "b", "c")) + grid("val", classes=("a", "b")), "train holds class 'c'.* in .*val"),
        (["cat/0.png", "dog/0.heic", "dog/1.HEIC"], r"dog holds no image that can be read \(2 \.heic in dog\)"),
        (["cat/0.png", "dog/0.png", "labels/0.xml"], r"labels holds no image.*1 \.xml in labels.*move the folder away"),
        (["e\u0301/0.png", "\u00e9/1.png", "a/2.png"], "two folders whose names both read"),
    ],
)
def test_what_cannot_be_told_is_one_sentence(tmp_path, files, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        find_parts(write(tmp_path, *files))
    assert "\n" not in str(caught.value)


def test_hidden_files_and_those_of_systems_are_not_seen(tmp_path):
    hidden = ["cat/.ipynb_checkpoints/0.png", "cat/in/.cache/0.png", "__MACOSX/cat/._0.png", "dog/@eaDir/0.png/t.jpg"]
    write(tmp_path, *grid("."), *hidden, ".git/0.png", "dog/Thumbs.db", "dog/._0.png", "dog/#recycle/0.png")
    (part,) = find_parts(tmp_path).values()
    seen = [str(file.relative_to(tmp_path)) for file in part.files]
    assert seen == ["cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png"]
    assert not part.passed


def test_what_is_passed_over_is_counted(tmp_path):
    write(tmp_path, *grid("."), "cat/a.heic", "cat/in/b.HEIC", "dog/readme.txt", "loose.png", "empty/", "labels.csv")
    (part,) = find_parts(tmp_path).values()
    place = tmp_path.name
    assert part.passed == {
        ("cat", ".heic"): 2,
        ("dog", ".txt"): 1,
        (f"{place}, in no class", ".png"): 1,
        (place, "empty folder"): 1,
    }
    notes = ImageFolder(str(tmp_path), 4).load().notes
    assert len(notes) == 1
    assert "passed over 2 .heic in cat, " in notes[0]


def test_every_suffix_that_pillow_reads_and_none_by_the_content(tmp_path):
    names = ["a.PNG", "b.jfif", "c.jp2", "d.webp", "e.gif", "f.bmp", "g.tif", "h.ppm", "i.jpeg", "without"]
    write(tmp_path, *(f"cat/{name}" for name in names), "dog/0.png")
    (tmp_path / "dog" / "notes").write_text("no image")
    part = find_parts(tmp_path)["train"]
    assert [file.name for file in part.images["cat"]] == names
    assert part.passed == {("dog", "without a suffix"): 1}


def test_classes_are_numbers_by_value_and_texts_in_one_spelling(tmp_path):
    write(tmp_path / "numbers", *(f"{i}/0.png" for i in (10, 9, 2, 100)))
    assert list(find_parts(tmp_path / "numbers")["train"].images) == ["2", "9", "10", "100"]
    names = ["${x}", "-dash", "a b", "e\u0301"]
    write(tmp_path / "texts", *(f"{name}/0.png" for name in names))
    assert list(find_parts(tmp_path / "texts")["train"].images) == ["${x}", "-dash", "a b", "\u00e9"]
    write(tmp_path / "both", *grid("train", classes=("e\u0301", "a")), *grid("test", classes=("\u00e9", "a")))
    assert sizes(tmp_path / "both") == {"train": [2, 2], "test": [2, 2]}


@pytest.mark.parametrize("name", [b"caf\xe9", b"a\x1b[31mb", b"a\nb"])
def test_a_class_whose_name_cannot_be_shown(tmp_path, name):
    write(tmp_path, *grid("."), *grid(".", classes=(os.fsdecode(name),)))
    with pytest.raises(UserError, match="whose name cannot be shown; rename it") as caught:
        find_parts(tmp_path)
    assert str(caught.value).isprintable()


def test_links_are_followed_but_not_round(tmp_path):
    write(tmp_path / "far", "0.png", "1.png")
    write(tmp_path / "D", "cat/0.png", "cat/in/1.png")
    (tmp_path / "D" / "cat" / "in" / "up").symlink_to(tmp_path / "D")
    (tmp_path / "D" / "dog").symlink_to(tmp_path / "far")
    (part,) = find_parts(tmp_path / "D").values()
    assert [len(files) for files in part.images.values()] == [2, 2]
    (tmp_path / "far" / "round").symlink_to(tmp_path / "D" / "cat")
    (tmp_path / "D" / "cat" / "far").symlink_to(tmp_path / "far")
    (part,) = find_parts(tmp_path / "D").values()
    assert [len(files) for files in part.images.values()] == [4, 4]
    (tmp_path / "D" / "dog" / "broken.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(UserError, match=r"broken\.png cannot be opened: No such file"):
        ImageFolder(str(tmp_path / "D"), 4).load()


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    write(tmp_path, *grid("."))

    def forbidden(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.iterdir", forbidden)
    with pytest.raises(UserError, match=f"^{tmp_path} cannot be read: Permission denied$"):
        find_parts(tmp_path)


def module(root, **settings):
    data = DataModule(ImageFolder(str(root), 6), **settings)
    data.setup()
    return data


def pictures(samples):
    return {x.numpy().tobytes() for x in samples.x}


@pytest.mark.parametrize("val", [False, True])
@pytest.mark.parametrize("test", [False, True])
def test_parts_that_are_given_are_used_whole_and_the_others_split_off(tmp_path, val, test):
    write(tmp_path, *grid("train" if val or test else ".", 20))
    write(tmp_path, *(grid("val", 3) if val else ()), *(grid("test", 5) if test else ()))
    data = module(tmp_path, val_fraction=0.25, test_fraction=0.1)
    expected = {"test": 10 if test else 4, "val": 6 if val else 10 if test else 9}
    expected["train"] = 40 - (0 if test else 4) - (0 if val else expected["val"])
    parts = {name: pictures(getattr(data, name)) for name in expected}
    assert {name: len(part) for name, part in parts.items()} == expected
    assert len(set.union(*parts.values())) == sum(expected.values())
    assert pictures(data.source.load().all()) == set.union(*parts.values())
    if val:
        assert parts["val"] == pictures(ImageFolder(str(tmp_path / "val"), 6).load().samples)


def test_the_own_validation_part_is_that_of_every_variant(tmp_path):
    write(tmp_path, *grid("train", 10), *grid("val", 3), *grid("test", 2))
    data = module(tmp_path)
    other = data.variant(train_size=8, label_noise=0.25, seed=3)
    alone = module(tmp_path, train_size=8, label_noise=0.25, seed=3)
    for name in ("train", "val", "test", "probe"):
        assert getattr(other, name).x.equal(getattr(alone, name).x)
        assert getattr(other, name).y.equal(getattr(alone, name).y)


def test_the_same_image_in_two_places_is_told(tmp_path):
    write(tmp_path, *grid("train", 3), *grid("test", 2))
    shutil.copy(tmp_path / "train/cat/0.png", tmp_path / "train/dog/copy.png")
    shutil.copy(tmp_path / "train/cat/1.png", tmp_path / "test/cat/copy.png")
    shutil.copy(tmp_path / "train/dog/2.png", tmp_path / "test/dog/copy.png")
    shutil.copy(tmp_path / "train/dog/1.png", tmp_path / "train/dog/again.png")
    parts, classes, within = ImageFolder(str(tmp_path), 4).load().notes
    assert "2 images occur in more than one part, byte for byte, such as train/cat/1.png and test/cat/copy.png" in parts
    assert "1 images occur in more than one class" in classes
    assert "train/cat/0.png and train/dog/copy.png" in classes
    assert "1 images occur more than once in their class" in within
    assert ImageFolder(str(write(tmp_path / "other", *grid("."))), 4).load().notes == ()


def test_files_of_one_size_are_no_duplicates(tmp_path):
    write(tmp_path, "a/0.bmp", "a/1.bmp", "b/2.bmp")
    assert len({file.stat().st_size for file in tmp_path.rglob("*.bmp")}) == 1
    assert ImageFolder(str(tmp_path), 4).load().notes == ()
