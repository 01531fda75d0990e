import numpy as np
import pytest
import torch
from PIL import Image

from regnet.core.errors import UserError
from regnet.data import folder
from regnet.data.folder import ImageFolder


def picture(path, colour=(200, 100, 50), size=(12, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def photos(tmp_path):
    for i in range(3):
        picture(tmp_path / "cat" / f"{i}.png", (40 * i, 0, 255))
        picture(tmp_path / "dog" / "inner" / f"{i}.JPG", (0, 40 * i, 0))
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    picture(tmp_path / ".thumbnails" / "0.png")
    picture(tmp_path / "cat" / "._0.png")
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_a_folder_for_each_class(photos):
    data = ImageFolder(str(photos), size=6).load()
    assert data.classes == ("cat", "dog")
    assert data.test is None
    assert data.samples.y.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.samples.x.shape == (6, 3, 6, 6)
    assert data.samples.x.dtype == torch.uint8
    assert data.samples.x[2, :, 3, 3].tolist() == [80, 0, 255]


@pytest.mark.parametrize("channels", [1, 3])
def test_decoded_now_or_later_gives_the_same_pixels(photos, channels):
    at_once, later = (ImageFolder(str(photos), 5, channels, keep).load().samples for keep in (True, False))
    assert (at_once.lazy, later.lazy) == (False, True)
    assert at_once.x.equal(torch.stack([later.x[i] for i in range(len(later))]))
    assert at_once.tensor is at_once.x
    with pytest.raises(TypeError, match="lazy images"):
        _ = later.tensor
    index = torch.tensor([4, 1])
    assert at_once.subset(index).x.equal(torch.stack([later.subset(index)[i][0] for i in range(2)]))
    assert at_once.y.equal(later.y)


@pytest.mark.parametrize("keep", [(True, True), (True, False), (False, False)])
def test_samples_are_put_together(photos, keep):
    one, other = (ImageFolder(str(photos), 5, in_memory=in_memory).load().samples for in_memory in keep)
    both = one + other.subset(torch.tensor([5, 0]))
    assert both.lazy == (not all(keep))
    assert both.y.tolist() == [0, 0, 0, 1, 1, 1, 1, 0]
    for i, j in enumerate([0, 1, 2, 3, 4, 5, 5, 0]):
        assert both.x[i].equal(one.x[j])


def test_free_memory_decides(photos, monkeypatch):
    monkeypatch.setattr(folder, "_free_memory", lambda: 4 * 6 * 3 * 6 * 6)
    assert not ImageFolder(str(photos), size=6).load().samples.lazy
    assert ImageFolder(str(photos), size=7).load().samples.lazy


def test_the_centre_is_kept(tmp_path):
    pixels = np.zeros((4, 12), dtype=np.uint8)
    pixels[:, 4:8] = 255
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "0.png")
    assert (ImageFolder(str(tmp_path), 4, channels=1).load().samples.x == 255).all()


def test_sixteen_bits_are_scaled(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((4, 4), 0x8000, dtype=np.uint16)).save(tmp_path / name / "0.png")
    assert (ImageFolder(str(tmp_path), 4, channels=1).load().samples.x == 0x80).all()


def test_train_and_test_folders(tmp_path):
    for part, n in (("train", 2), ("test", 1)):
        for name in ("cat", "dog"):
            for i in range(n):
                picture(tmp_path / part / name / f"{i}.png")
    data = ImageFolder(str(tmp_path), 4).load()
    assert (data.classes, len(data.samples), len(data.test)) == (("cat", "dog"), 4, 2)
    picture(tmp_path / "test" / "eel" / "0.png")
    with pytest.raises(UserError, match="test holds class 'eel', of which there are no images for training"):
        ImageFolder(str(tmp_path), 4).load()


def test_a_test_folder_without_images(tmp_path):
    picture(tmp_path / "train" / "cat" / "0.png")
    picture(tmp_path / "train" / "dog" / "0.png")
    (tmp_path / "test").mkdir()
    with pytest.raises(UserError, match="test holds no images"):
        ImageFolder(str(tmp_path), 4).load()


def test_one_class_is_not_enough(tmp_path):
    picture(tmp_path / "cat" / "0.png")
    with pytest.raises(UserError, match=r"holds 1 folder\(s\) of images; give one for each class, at least 2"):
        ImageFolder(str(tmp_path), 4).load()


def test_no_such_folder(tmp_path):
    with pytest.raises(UserError, match=r"^data\.path=.*none is not a folder"):
        ImageFolder(str(tmp_path / "none"), 4).load()


@pytest.mark.parametrize("settings", [{"size": 0}, {"size": 4, "channels": 2}])
def test_size_and_channels_that_cannot_be(photos, settings):
    with pytest.raises(UserError, match=r"^data\.size=., data\.channels=. must be"):
        ImageFolder(str(photos), **settings).load()


@pytest.mark.parametrize("content", [b"", b"no image at all", None])
def test_a_damaged_image_is_named(photos, content):
    file = photos / "dog" / "inner" / "1.JPG"
    picture(file, size=(64, 64))
    file.write_bytes(file.read_bytes()[:-100] if content is None else content)
    with pytest.raises(UserError, match=r"1\.JPG is damaged"):
        ImageFolder(str(photos), 4).load()
