"""What a folder of images holds: its parts, the classes of each, their files, and what is passed over."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unicodedata import category, normalize

from ..core.errors import UserError
from .pixels import is_image

PARTS = {
    "train": {"train", "training", "trn"},
    "val": {"val", "valid", "validate", "validation", "dev", "development", "eval", "evaluation"},
    "test": {"test", "testing", "tst"},
}
FILLERS = {"", "set", "data", "dataset", "image", "images", "img", "imgs", "split", "folder"}
HOUSEKEEPING = {  # of macOS, Windows, Synology; what begins with a dot is hidden as well
    *("__macosx", "icon\r", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
    *("@eadir", "#recycle", "lost+found", "__pycache__"),
}
EXPECTED = "regnet takes FOLDER/<class>/*.png, or FOLDER/train/<class>/*.png with FOLDER/val and FOLDER/test beside it"
MOST = 3  # of a kind that a sentence names


Passed = Counter[tuple[str, str]]  # how many files were passed over, by place and suffix


@dataclass(frozen=True)
class Part:
    """The images of each class, in the order of the classes, and what was passed over."""

    folder: Path
    images: dict[str, list[Path]]
    passed: Passed

    @property
    def files(self) -> list[Path]:
        return [file for files in self.images.values() for file in files]


def find_parts(root: Path) -> dict[str, Part]:
    """The whole folder as ``train``; or ``train`` and one or both of ``val`` and ``test``, where folders are called so.

    Any spelling of them is known: Training, test_set, validation, dev, seg_train beside seg_test. Hidden files and
    folders and those that systems leave behind (``.ipynb_checkpoints``, ``__MACOSX``, ``Thumbs.db``) are not seen.

    Raises:
        UserError: it cannot be told what the classes are; a class holds no image; parts differ in their classes.
    """
    folders = _named_parts(root)
    if not folders:
        return {"train": _read_part(root)}
    parts = {name: _read_part(folder) for name, folder in folders.items()}
    train = parts["train"]
    for part in parts.values():
        if other := sorted(train.images.keys() ^ part.images.keys()):
            has, lacks = (part, train) if other[0] in part.images else (train, part)
            what = "training" if lacks is train else "that part"
            raise UserError(
                f"{has.folder} holds class {other[0]!r}, of which there are no images for {what} in {lacks.folder}; "
                "all parts must hold the same classes"
            )
    return parts


def told(passed: Passed) -> str:
    """Such as ``3 .heic in cat``; the most frequent first."""
    most = [f"{count} {suffix} in {place}" for (place, suffix), count in passed.most_common(MOST)]
    rest = passed.total() - sum(count for _, count in passed.most_common(MOST))
    return ", ".join(most) + (f", {rest} more" if rest else "")


def _named_parts(root: Path) -> dict[str, Path]:
    """The folders of the parts; none where the folders of `root` are its classes."""
    folders = [child for child in _visible(root) if child.is_dir()]
    found = list(_spelled(folders))
    if not found:
        return {}
    others = [folder for folder in folders if folder not in {folder for _, folder in found}]
    filled = [folder for folder in others if any(map(is_image, _walk(folder)))]
    if len(found) == 1 and filled and _is_flat(found[0][1]):
        return {}  # a class of that name, such as CIFAR-100's trains
    names = ", ".join(folder.name for _, folder in found)
    if filled:
        raise UserError(
            f"data.path={root} holds both {names} and {filled[0].name}: if these are parts, move other images "
            "away; if classes, rename the one that is called like a part"
        )
    parts = dict(found)
    if len(parts) < len(found):
        raise UserError(f"data.path={root} holds {names}, more than one folder for the same part; keep one of them")
    if parts.keys() == {"train"}:
        raise UserError(
            f"data.path={root} holds {names} and neither a part for validation nor one for test; "
            f"give data.path={parts['train']} to have it split, or add the other parts"
        )
    if "train" not in parts:
        raise UserError(f"data.path={root} holds {names} and no part for training; {EXPECTED}")
    return {part: parts[part] for part in PARTS if part in parts}


def _spelled(folders: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Those with the name of a part: by itself, or with the same other words as one of another part."""
    stems: dict[tuple[str, ...], list[tuple[str, Path]]] = {}
    for folder in folders:
        words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", folder.name)]
        words = [word if word in FILLERS else re.sub(r"(set|data|images?)$", "", word) for word in words]
        part = next((part for part, names in PARTS.items() if names & {*words}), None)
        if part:
            stem = tuple(word for word in words if word not in PARTS[part] | FILLERS)
            stems.setdefault(stem, []).append((part, folder))
    for stem, group in stems.items():
        if not stem or len({part for part, _ in group}) > 1:
            yield from group


def _read_part(folder: Path) -> Part:
    """Raises UserError."""
    children = _visible(folder)
    loose = [child for child in children if not child.is_dir() and is_image(child)]
    found = {child: _sorted_out(child) for child in children if child.is_dir()}
    passed = Counter((f"{folder.name}, in no class", _kind(file)) for file in loose)
    for child in [child for child, (files, others) in found.items() if not files and not others]:
        del found[child]
        passed[folder.name, "empty folder"] += 1
    _check_classes(folder, list(found), loose)
    images: dict[str, list[Path]] = {}
    for child, (files, others) in found.items():
        name = normalize("NFC", child.name)
        if not files:
            raise UserError(
                f"{child} holds no image that can be read ({told(others)}); convert them to .png, or move the folder "
                "away if it is no class"
            )
        if any(category(character) in ("Cc", "Cs") for character in name):
            raise UserError(f"{folder} holds the folder {name!a}, whose name cannot be shown; rename it")
        if name in images:
            raise UserError(f"{folder} holds two folders whose names both read {name!r}; put their images into one")
        images[name] = files
        passed += others
    return Part(folder, {name: images[name] for name in sorted(images, key=_order(images))}, passed)


def _check_classes(folder: Path, classes: list[Path], loose: list[Path]) -> None:
    """That the folders in it are classes. Raises UserError."""
    if len(classes) < 2:
        inner = [child for child in _visible(classes[0]) if child.is_dir()] if classes else []
        if len(inner) > 1:
            raise UserError(
                f"{folder} holds nothing but the folder {classes[0].name}; move what is in that one level up, or put "
                "it into data.path"
            )
        if loose or not classes:
            what = f"{len(loose)} image(s)" if loose else "no images"
            raise UserError(
                f"{folder} holds {what} and {len(classes)} folder(s); put the images of each class into a folder of "
                "its own (a table of labels is not read)"
            )
        raise UserError(f"{folder} holds 1 folder(s) of images; give one for each class, at least 2")
    for child in classes:
        parts = dict(_spelled([each for each in _visible(child) if each.is_dir()]))
        if len(parts) > 1:
            names = " and ".join(path.name for path in parts.values())
            raise UserError(f"{child} holds {names}, the parts of one class; turn the folders round: {EXPECTED}")


def _order(names: Collection[str]) -> type:
    """Numbers by their value, all else as text."""
    return int if all(name.isascii() and name.isdecimal() for name in names) else str


def _sorted_out(folder: Path) -> tuple[list[Path], Passed]:
    """The images of a class, and what else its folder holds."""
    images: list[Path] = []
    passed: Passed = Counter()
    for file in _walk(folder):
        if is_image(file):
            images.append(file)
        else:
            passed[normalize("NFC", folder.name), _kind(file)] += 1
    return images, passed


def _walk(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """The files in the folder and in all below it, in the order of their names; a link to a folder above ends there."""
    here = folder.resolve()
    above |= {here, *here.parents}
    for child in _visible(folder):
        if not child.is_dir():
            yield child
        elif child.resolve() not in above:
            yield from _walk(child, above)


def _visible(folder: Path) -> list[Path]:
    try:
        children = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}") from error
    return [child for child in children if child.name[0] != "." and child.name.lower() not in HOUSEKEEPING]


def _is_flat(folder: Path) -> bool:
    return any(is_image(child) for child in _visible(folder) if child.is_file())


def _kind(file: Path) -> str:
    return file.suffix.lower() or "without a suffix"
