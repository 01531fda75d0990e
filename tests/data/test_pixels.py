"""The right pixels of every mode and format, and a name for every image that cannot be read."""

import struct

import numpy as np
import pytest
import torch
from PIL import Image

from regnet.core.errors import UserError
from regnet.data import DataModule
from regnet.data.folder import ImageFolder
from regnet.data.pixels import check, read, suffixes

SIZE = 4


def grey(file):
    """Its pixels (SIZE, SIZE) in one channel."""
    return read(file, SIZE, 1)[0]


def square(values, dtype):
    return np.array(values, dtype=dtype).reshape(SIZE, SIZE)


LEVELS = np.arange(16) * 17  # 0 ... 255


def pgm(file, depth, values):
    file.write_bytes(f"P5 {SIZE} {SIZE} {depth}\n".encode() + square(values, ">u2").tobytes())


def saved(file, pixels, mode=None, **options):
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(file, **options)


@pytest.mark.parametrize(
    ("suffix", "write"),
    [
        (".png", lambda file: saved(file, square(LEVELS, np.uint8))),
        (".png", lambda file: saved(file, square(LEVELS * 257, np.uint16))),
        (".tif", lambda file: saved(file, square(LEVELS * 257, "<u2"))),
        (".tif", lambda file: saved(file, square(LEVELS * 257, ">u2"))),
        (".pgm", lambda file: pgm(file, 65535, LEVELS * 257)),
        (".pgm", lambda file: pgm(file, 4095, LEVELS * 4095 // 255)),
        (".tif", lambda file: saved(file, square(LEVELS / 255, np.float32))),
        (".pfm", lambda file: saved(file, square(LEVELS / 255, np.float32))),
        (".png", lambda file: saved(file, square(LEVELS, np.uint8), "P")),
        (".png", lambda file: saved(file, square(LEVELS, np.uint8), "LA")),
        (".png", lambda file: saved(file, square(LEVELS, np.uint8), "RGBA")),
        (".gif", lambda file: saved(file, square(LEVELS, np.uint8), "RGB")),
        (".tif", lambda file: saved(file, square(LEVELS, np.uint8), "CMYK")),
        (".tif", lambda file: saved(file, square(LEVELS, np.uint8), "YCbCr")),
    ],
)
def test_the_grey_levels_of_every_mode(tmp_path, suffix, write):
    file = tmp_path / f"a{suffix}"
    write(file)
    expected = torch.tensor(square(LEVELS, np.int32))
    assert (grey(file) - expected).abs().max() <= 1  # 12 bits do not divide into 16
    assert (read(file, SIZE, 3) - expected).abs().max() <= 1


@pytest.mark.parametrize(("bits", "white_is_zero"), [(12, False), (16, False), (16, True)])
def test_more_than_eight_bits_in_a_tiff(tmp_path, bits, white_is_zero):
    """Of 12 bits two values are packed into three bytes; Pillow gives all of these as they are."""
    values = LEVELS * (2**bits - 1) // 255
    packed = values.astype("<u2").tobytes()
    if bits == 12:
        packed = int("".join(f"{value:012b}" for value in values), 2).to_bytes(24, "big")
    tags = {256: SIZE, 257: SIZE, 258: bits, 259: 1, 262: int(not white_is_zero), 273: 8, 277: 1, 278: SIZE}
    tags[279] = len(packed)  # which begin at 8
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    (tmp_path / "a.tif").write_bytes(b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + directory)
    with Image.open(tmp_path / "a.tif") as image:
        assert image.mode.startswith("I;16")
    expected = values >> bits - 8
    assert grey(tmp_path / "a.tif").flatten().tolist() == (255 - expected if white_is_zero else expected).tolist()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
@pytest.mark.parametrize("ink", [0, 200])
def test_what_is_transparent_is_white(tmp_path, mode, ink):
    """Ink at the left, nothing at the right; whose hidden colour is the ink's, as drawing programs leave it."""
    image = Image.new("LA", (SIZE, SIZE), (ink, 0))
    image.paste((ink, 255), (0, 0, 2, SIZE))
    if mode == "P":
        image = Image.new("P", (SIZE, SIZE), 1)
        image.putpalette([ink] * 6)
        image.paste(0, (0, 0, 2, SIZE))
        image.info["transparency"] = 1
    file = tmp_path / ("a.tif" if mode == "PA" else "a.png")
    (image if mode in ("P", "PA") else image.convert(mode)).save(file)
    assert grey(file)[0].tolist() == [ink, ink, 255, 255]
    assert read(file, SIZE, 3)[2, 0].tolist() == [ink, ink, 255, 255]


def test_half_transparent_ink_is_half_as_dark(tmp_path):
    Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 128)).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png", SIZE, 3).unique().tolist() == [127]


@pytest.mark.parametrize(("mode", "key"), [("RGB", (1, 2, 3)), ("L", 7), ("1", 0)])
def test_a_colour_key_is_transparent(tmp_path, mode, key):
    Image.new(mode, (SIZE, SIZE), key).save(tmp_path / "a.png", transparency=key)
    assert read(tmp_path / "a.png", SIZE, 3).unique().tolist() == [255]


@pytest.mark.parametrize(
    ("mode", "colour", "suffix"),
    [
        ("CMYK", (0, 255, 255, 0), ".jpg"),
        ("CMYK", (0, 255, 255, 0), ".tif"),
        ("YCbCr", (76, 85, 255), ".jpg"),
        ("RGB", (255, 0, 0), ".webp"),
        ("RGB", (255, 0, 0), ".jp2"),
        ("RGB", (255, 0, 0), ".avif"),
        ("RGB", (255, 0, 0), ".tga"),
        ("RGB", (255, 0, 0), ".qoi"),
    ],
)
def test_red_is_red(tmp_path, mode, colour, suffix):
    if suffix not in suffixes():
        pytest.skip(f"this Pillow does not read {suffix}")
    file = tmp_path / f"a{suffix}"
    Image.new(mode, (SIZE, SIZE), colour).save(file)
    red, green, blue = read(file, SIZE, 3).float().mean((1, 2)).tolist()
    assert (red > 245, green < 10, blue < 10) == (True, True, True)
    assert 70 <= grey(file).float().mean() <= 80  # .299 of 255


def test_lab_is_converted(tmp_path):
    Image.fromarray(np.full((SIZE, SIZE, 3), (136, 80, 67), np.uint8), "LAB").save(tmp_path / "a.tif")
    red, green, blue = read(tmp_path / "a.tif", SIZE, 3).float().mean((1, 2)).tolist()
    assert (red > 245, green < 10, blue < 15) == (True, True, True)


def test_one_bit_is_black_and_white(tmp_path):
    Image.fromarray(square(LEVELS >= 128, bool)).save(tmp_path / "a.png")
    assert grey(tmp_path / "a.png").flatten().tolist() == [0] * 8 + [255] * 8


@pytest.mark.parametrize("suffix", [".gif", ".tif", ".png", ".webp"])
def test_the_first_frame_counts(tmp_path, suffix):
    first, *others = (Image.new("RGB", (SIZE, SIZE), (level,) * 3) for level in (200, 100, 0))
    first.save(tmp_path / f"a{suffix}", save_all=True, append_images=others)
    assert (read(tmp_path / f"a{suffix}", SIZE, 3).int() - 200).abs().max() <= 1


STORED = {  # by EXIF's orientation: how a camera keeps the upright picture
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.T,
    6: lambda upright: np.rot90(upright),  # the first row is the right side, the first column the top
    7: lambda upright: upright[::-1, ::-1].T,
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("orientation", STORED)
def test_photos_are_upright(tmp_path, orientation, depth):
    upright = square(LEVELS, np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = STORED[orientation](upright).astype(depth) * (257 if depth == np.uint16 else 1)
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    assert grey(tmp_path / "a.png").tolist() == upright.tolist()


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 2)])
def test_any_size_and_aspect(tmp_path, size):
    Image.new("RGB", size, (10, 20, 30)).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png", 5, 3).float().mean((1, 2)).tolist() == [10, 20, 30]


def truncated(file):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    file.write_bytes(file.read_bytes()[:-2000])


def huge(file):
    """A head that promises 10^10 pixels."""
    Image.new("L", (1, 1)).save(file)
    data = bytearray(file.read_bytes())
    if file.suffix == ".bmp":
        data[18:26] = (100_000).to_bytes(4, "little") * 2
    file.write_bytes(bytes(data))


UNREADABLE = [
    ("a.png", truncated, "a.png is damaged"),
    ("a.jpg", truncated, "a.jpg is damaged"),
    ("a.bmp", truncated, "a.bmp is damaged"),
    ("a.tif", truncated, "a.tif is damaged"),
    ("a.gif", lambda file: file.write_bytes(b""), "a.gif is damaged, or not to be read as one"),
    ("a.png", lambda file: file.write_text("a,b\n1,2\n"), "no image format is known to begin so"),
    ("a.jpg", lambda file: file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "no image format"),
    ("a.bmp", huge, "a.bmp has more pixels than Pillow's limit of 89,478,485; make it smaller"),
    ("a.tif", lambda f: saved(f, square(LEVELS * 70000, np.int32)), "whole numbers of 32 bits have no agreed range"),
    ("a.tif", lambda f: saved(f, square(LEVELS, np.float32)), r"real numbers outside \[0, 1\] have no agreed range"),
    ("a.tif", lambda f: saved(f, square([np.nan] * 16, np.float32)), "real numbers outside"),
]


@pytest.mark.parametrize(("name", "write", "sentence"), UNREADABLE)
@pytest.mark.parametrize("in_memory", [True, False])
def test_an_image_that_cannot_be_read_is_named_before_training(tmp_path, name, write, sentence, in_memory):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / folder / "0.png")
    write(tmp_path / "b" / name)
    with pytest.raises(UserError, match=sentence) as caught:
        ImageFolder(str(tmp_path), SIZE, in_memory=in_memory).load()
    assert str(caught.value).startswith(f"The image {tmp_path / 'b' / name} ")
    assert "\n" not in str(caught.value)


def test_just_over_the_limit_is_named_too(tmp_path, monkeypatch):
    """Where Pillow warns, as warnings are errors here."""
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 63)
    for use in (check, lambda file: read(file, SIZE, 1)):
        with pytest.raises(UserError, match=r"a\.png has more pixels than Pillow's limit of 63"):
            use(tmp_path / "a.png")


def test_a_file_that_may_not_be_opened(tmp_path, monkeypatch):
    def forbidden(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Image, "open", forbidden)
    with pytest.raises(UserError, match=r"a\.png cannot be opened: Permission denied$"):
        read(tmp_path / "a.png", SIZE, 1)


def test_any_suffix_of_a_known_format(tmp_path):
    saved(tmp_path / "a.png", square(LEVELS, np.uint8))
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert grey(tmp_path / "a.jpg").flatten().tolist() == LEVELS.tolist()


@pytest.mark.parametrize("workers", [0, 1])
def test_damage_in_the_middle_stops_the_run_with_the_name_of_the_image(tmp_path, workers):
    rng = np.random.default_rng(0)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for i in range(4):
            saved(tmp_path / folder / f"{i}.png", rng.integers(0, 255, (32, 32), dtype=np.uint8))
    data = DataModule(ImageFolder(str(tmp_path), SIZE, in_memory=False), num_workers=workers)
    data.setup()
    for file in tmp_path.rglob("*.png"):
        file.write_bytes(file.read_bytes()[:60] + bytes(900) + file.read_bytes()[-100:])
        check(file)
    with pytest.raises(UserError) as caught:
        list(data.train_dataloader())
    assert str(caught.value).startswith(f"The image {tmp_path}")
    assert "\n" not in str(caught.value)
