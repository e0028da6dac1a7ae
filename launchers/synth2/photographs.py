"""Photographs and their captions on disk, read one after the other.

The captions of a JSON file are in memory, images never are: each is read where it is asked
for. A tar is read from its beginning to its end.

Three forms are known. Karpathy's JSON: `{"images": [{"filename", "split", "sentences":
[{"raw"}]}]}`, or with `file` and a list `captions` of texts. COCO's `captions_*.json`:
`{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}`. WebDataset:
tars of KEY.jpg with KEY.txt, or with KEY.json that has `caption` or `captions`.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from tolman.agents.synth2.metrics import split_caption

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
FORMS = (
    "Karpathy's JSON, COCO's captions_*.json, a folder with one of them, or a WebDataset "
    "tar"
)


class Photograph(NamedTuple):
    """Attributes:
    name: where it is, for messages: a file, or a tar and the key in it.
    image: the file's bytes, not decoded.
    captions: one or more.
    """

    name: str
    image: bytes
    captions: tuple[str, ...]


def open_photographs(
    path: Path, images: Path | None = None, splits: Sequence[str] = ()
) -> Iterable[Photograph]:
    """What lies at a path, to be gone through any number of times.

    Args:
      path: a JSON file, a tar, or a folder that holds one JSON file or some tars.
      images: the folder of a JSON file's images; None for `images` beside it, or its own.
      splits: those of Karpathy's JSON to be read, such as "train" and "restval"; () for
        all.

    Raises:
      ValueError: if there is nothing of the kind, or it is of none of the `FORMS`.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder. Give {FORMS}.")
    found = [path]
    if path.is_dir():
        found = sorted(path.glob("*.tar")) or sorted(path.glob("*.json"))
    is_tar = bool(found) and all(one.suffix == ".tar" for one in found)
    if is_tar and (splits or images):
        raise ValueError(
            f"{path}: a tar has its images in it and no splits. Leave them out."
        )
    if is_tar:
        return TarPhotographs(tuple(found))
    if len(found) != 1 or found[0].suffix != ".json":
        names = ", ".join(one.name for one in found[:5]) or "no .json and no .tar"
        raise ValueError(f"{path}: has {names}. Give {FORMS}.")
    return JsonPhotographs(*_read_json(found[0], images, splits))


@dataclass(frozen=True)
class JsonPhotographs:
    """Images of a folder, with the captions of a JSON file.

    Attributes:
      folder: of the images.
      rows: of each photograph its file in the folder, and its captions.
    """

    folder: Path
    rows: tuple[tuple[str, tuple[str, ...]], ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Photograph]:
        for name, captions in self.rows:
            try:
                content = (self.folder / name).read_bytes()
            except OSError as error:
                raise ValueError(
                    f"{self.folder / name}: cannot be read ({error.strerror}). Give the "
                    "images' folder, or take the file out of the JSON."
                ) from None
            yield Photograph(str(self.folder / name), content, captions)


@dataclass(frozen=True)
class TarPhotographs:
    """Photographs of WebDataset tars, in the tars' order.

    Attributes:
      paths: of the tars.
    """

    paths: tuple[Path, ...]

    def __iter__(self) -> Iterator[Photograph]:
        for path in self.paths:
            yield from _read_tar(path)


def _read_json(
    path: Path, images: Path | None, splits: Sequence[str]
) -> tuple[Path, tuple[tuple[str, tuple[str, ...]], ...]]:
    """The folder of the images, and of each its file and captions."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: is no JSON ({error}). Copy it anew.") from None
    try:
        is_coco = "annotations" in content
        rows = _of_coco(content) if is_coco else _of_karpathy(content, path, splits)
    except (KeyError, TypeError, AttributeError) as error:
        is_missing = isinstance(error, KeyError)
        what = f"{error} is missing" if is_missing else "its parts have other types"
        raise ValueError(
            f"{path}: is a JSON of another kind ({what}). Give {FORMS}."
        ) from None
    empty = [
        (name, one) for name, captions in rows for one in captions
        if not split_caption(one)
    ]  # fmt: skip
    without = [name for name, captions in rows if not captions]
    if empty:
        name, caption = empty[0]
        count = sum(len(captions) for _, captions in rows)
        raise ValueError(
            f"{path}: {len(empty)} of {count} captions are empty or have no word, the "
            f"first is {caption[:40]!r} of {name}. Take them out."
        )
    if without:
        raise ValueError(
            f"{path}: {len(without)} of {len(rows)} images have no captions, the first is "
            f"{without[0]}. Take them out."
        )
    if not rows:
        raise ValueError(f"{path}: names no images. Give another file.")
    beside = path.parent / "images"
    folder = images or (beside if beside.is_dir() else path.parent)
    return folder, tuple(rows)


def _of_karpathy(
    content: Any, path: Path, splits: Sequence[str]
) -> list[tuple[str, tuple[str, ...]]]:
    rows, known = [], set()
    for row in content["images"]:
        split = str(row.get("split", ""))
        known.add(split)
        if splits and split not in splits:
            continue
        name = row["filename"] if "filename" in row else row["file"]
        name = str(PurePosixPath(row.get("filepath", "")) / name)
        said = row["captions"] if "captions" in row else row["sentences"]
        rows.append(
            (name, tuple(one if isinstance(one, str) else one["raw"] for one in said))
        )
    if splits and not rows:
        names = ", ".join(sorted(known - {""})) or "none"
        raise ValueError(
            f"{path}: no image is of the splits {', '.join(splits)}. It has {names}."
        )
    return rows


def _of_coco(content: Any) -> list[tuple[str, tuple[str, ...]]]:
    captions: dict[Any, list[str]] = {row["id"]: [] for row in content["images"]}
    for annotation in content["annotations"]:
        captions[annotation["image_id"]].append(annotation["caption"])
    rows = [(row["file_name"], tuple(captions[row["id"]])) for row in content["images"]]
    return [(name, own) for name, own in rows if own]  # COCO has some without.


def _read_tar(path: Path) -> Iterator[Photograph]:
    """The photographs of one tar; the files of one key stand beside each other."""
    key = ""
    parts: dict[str, bytes] = {}
    num = 0
    try:
        with tarfile.open(path, "r|*") as tar:
            for member in tar:
                file = tar.extractfile(member)
                if file is None:  # A folder.
                    continue
                folder, name = (
                    PurePosixPath(member.name).parent,
                    PurePosixPath(member.name).name,
                )
                stem, _, ending = name.partition(".")
                own = str(folder / stem)
                if own != key and parts:
                    yield _of_parts(path, key, parts)
                    num, parts = num + 1, {}
                key = own
                parts[f".{ending.lower()}"] = file.read()
        if parts:
            yield _of_parts(path, key, parts)
            num += 1
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(
            f"{path}: is no whole tar ({error}), after {num} photographs. Copy it anew."
        ) from None
    if not num:
        raise ValueError(f"{path}: is an empty tar. Give another.")


def _of_parts(path: Path, key: str, parts: dict[str, bytes]) -> Photograph:
    """A photograph of the files of one key."""
    image = next((parts[one] for one in IMAGE_ENDINGS if one in parts), None)
    captions: list[str] = []
    try:
        if ".json" in parts:
            told = json.loads(parts[".json"])
            captions = [told["caption"]] if "caption" in told else list(told["captions"])
        elif ".txt" in parts:
            captions = [parts[".txt"].decode()]
    except (ValueError, KeyError, TypeError):
        captions = []
    captions = [
        one.strip() for one in captions if isinstance(one, str) and split_caption(one)
    ]
    if image is None or not captions:
        raise ValueError(
            f"{path}: {key} has {', '.join(sorted(parts))}: must have an image "
            f"({', '.join(IMAGE_ENDINGS)}) and a caption in .txt or .json. Take it out."
        )
    return Photograph(f"{path}: {key}", image, tuple(captions))
