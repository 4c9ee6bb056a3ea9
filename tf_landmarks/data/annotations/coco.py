"""COCO keypoints as the usual tools write them: one labelled object per image.

Passed over, and counted: crowds, boxes and objects without keypoints, and categories that name none. An
id is the same as a number and as text. Triples are (x, y, v); v = 0 is a missing point.
"""

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
from absl import logging

from tf_landmarks.data.annotations.base import (
    Annotations,
    check_names,
    normal_file,
    normal_landmark,
    shown,
)
from tf_landmarks.data.annotations.tables import read_text
from tf_landmarks.errors import UserError

# How to know the JSON files of other tools, by their keys.
_OTHER_TOOLS = (
    ({"shapes", "imagePath"}, "LabelMe's"),
    ({"_via_img_metadata"}, "VIA's"),
    ({"categories", "images", "annotations"}, "COCO without keypoints"),
)


def read_json(path: Path) -> object:
    """Reads a JSON file.

    Raises:
        UserError: If it is none.
    """
    try:
        return json.loads(read_text(path), object_pairs_hook=_object)
    except UserError:
        raise
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON: {error}") from error


def _object(pairs: list[tuple[str, object]]) -> dict:
    """A JSON object; raises ValueError for a key that is there twice, of which Python keeps the last."""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {shown(twice)!r} is there twice in one object")
    return content


def is_coco(content: object) -> bool:
    """Returns whether a JSON is COCO with keypoints."""
    if not isinstance(content, dict) or not {"images", "annotations"} <= content.keys():
        return False
    categories = content.get("categories")
    if not isinstance(categories, list):
        return False
    return any(isinstance(one, dict) and one.get("keypoints") for one in categories)


def kind(content: object) -> str:
    """Says what a JSON is that is not COCO with keypoints."""
    if isinstance(content, dict):
        for keys, words in _OTHER_TOOLS:
            if keys <= content.keys():
                return words
    if isinstance(content, list):
        return "a list, as COCO's results are, without images and categories"
    return "not COCO keypoints"


def read_coco(path: Path, content: object) -> Annotations:
    """Reads what a JSON file holds.

    Raises:
        UserError: Naming the image or annotation that cannot be understood, or contradicts another.
    """
    if not is_coco(content):
        raise UserError(
            f"{path} is not COCO keypoints ({kind(content)}): it needs images, annotations, and a category "
            "whose `keypoints` lists the landmark names; export it as COCO keypoints."
        )
    images, labels, categories = (
        _entries(path, content, key) for key in ("images", "annotations", "categories")
    )
    ids, files, places, sizes = _read_images(path, images)
    known = _index_categories(path, categories)
    kinds = [_category_of(path, label, known) for label in labels]
    category, names = _choose_category(path, known, kinds)
    points = np.full((len(files), len(names), 2), np.nan)
    given: dict[int, str] = {}
    seen: dict[str, str] = {}
    passed_over: Counter[str] = Counter()
    for position, label in enumerate(labels):
        place = f"{path}, annotation {_name(label, position)}"
        _check_references(place, label, kinds[position], ids, known, seen)
        row = ids[_id(place, label["image_id"])]
        why = "of another category" if kinds[position] != category else _without_keypoints(label)
        found = None if why else _read_keypoints(place, files[row], label, names)
        if found is None or np.isnan(found).all():
            passed_over[why or "without a labelled point"] += 1
            continue
        if row in given:
            raise UserError(
                f"{path}: image {shown(files[row])} has several annotations, {given[row]} and "
                f"{_name(label, position)}; one object per image is needed, so keep one or crop the image "
                "to each object."
            )
        given[row] = _name(label, position)
        points[row] = found
    if passed_over:
        counts = ", ".join(f"{count} {why}" for why, count in passed_over.items())
        logging.info("%s: annotations passed over: %s", path, counts)
    return Annotations(path, files, names, points, places, sizes=sizes)


def _entries(path: Path, content: dict, key: str) -> list[dict]:
    entries = content[key]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"{path}: `{key}` is not a list of objects; export it anew.")
    return entries


def _read_images(path: Path, images: list[dict]):
    """The row of each id; and the file, place and stated (height, width) of each row."""
    rows: dict[str, int] = {}
    row_of_file: dict[str, int] = {}
    files, places = [], []
    sizes = np.full((len(images), 2), np.nan)
    for row, image in enumerate(images):
        place = f"{path}, image {_name(image, row)}"
        file = image.get("file_name")
        if not isinstance(file, str) or not file.strip():
            raise UserError(f"{place}: file_name is {file!r}; it must name the image's file.")
        key, file = _id(f"{place}: id", image.get("id")), normal_file(file.strip())
        if key in rows:
            raise UserError(
                f"{path}: the image id {key} is there twice, for {shown(files[rows[key]])} and "
                f"{shown(file)}; give each its own."
            )
        if file in row_of_file:
            first = _name(images[row_of_file[file]], row_of_file[file])
            raise UserError(
                f"{path}: image {shown(file)} is there twice, with the ids {first} and "
                f"{_name(image, row)}; keep one of them."
            )
        rows[key] = row_of_file[file] = row
        files.append(file)
        places.append(place)
        sizes[row] = [_size(place, side, image.get(side)) for side in ("height", "width")]
    return rows, files, places, sizes


def _index_categories(path: Path, categories: list[dict]) -> dict[str, dict]:
    """The categories by their ids; some tools give the only one none."""
    known: dict[str, dict] = {}
    for position, category in enumerate(categories):
        place = f"{path}, category {_name(category, position)}"
        key = _id(f"{place}: id", category["id"]) if "id" in category else f"no. {position + 1}"
        if key in known:
            raise UserError(
                f"{path}: the category id {key} is there twice, for {shown(known[key].get('name'))} and "
                f"{shown(category.get('name'))}; give each its own."
            )
        known[key] = category
    return known


def _category_of(path: Path, label: dict, known: dict[str, dict]) -> str | None:
    """The category of an annotation: the only one, where ids are left out; None where it is unknown."""
    if "category_id" not in label or not any("id" in category for category in known.values()):
        return next(iter(known)) if len(known) == 1 else None
    key = _id(f"{path}: a category_id", label["category_id"])
    return key if key in known else None


def _choose_category(
    path: Path, known: dict[str, dict], kinds: list[str | None]
) -> tuple[str, list[str]]:
    """The one category with keypoints that is annotated, and its names."""
    with_keypoints = {key: one for key, one in known.items() if one.get("keypoints")}
    used = with_keypoints.keys() & set(kinds)
    if len(with_keypoints) > 1 and len(used) != 1:
        listed = shown(", ".join(str(one.get("name")) for one in with_keypoints.values()))
        raise UserError(f"{path} has several categories ({listed}); keep one kind of object.")
    key = next(iter(used or with_keypoints))
    names = known[key]["keypoints"]
    if not isinstance(names, list) or not all(isinstance(name, str | int) for name in names):
        raise UserError(
            f"{path}: `keypoints` of category {key} is {shown(names)[:50]!r}, not a list of names."
        )
    names = [normal_landmark(str(name)) for name in names]
    check_names(path, names)
    return key, names


def _check_references(
    place: str,
    label: dict,
    kind: str | None,
    ids: dict[str, int],
    known: dict[str, dict],
    seen: dict[str, str],
) -> None:
    """Raises UserError for ids that are there twice, or name no image or category."""
    image = label.get("image_id")
    if _id(f"{place}: image_id", image) not in ids:
        examples = shown(", ".join([*ids][:3])) or "none"
        raise UserError(
            f"{place}: image_id {image!r} is not among the images, whose ids are like {examples}."
        )
    if kind is None:
        listed = shown(", ".join(f"{key} ({one.get('name')})" for key, one in known.items()))
        raise UserError(
            f"{place}: category_id {label.get('category_id')!r} is not among the categories, {listed}."
        )
    if label.get("id") is None:
        return
    key = _id(f"{place}: id", label["id"])
    if key in seen:
        raise UserError(
            f"{place}: this id is there twice, for the images {seen[key]} and {shown(image)}; give each "
            "its own."
        )
    seen[key] = shown(image)


def _without_keypoints(label: dict) -> str:
    """Why an annotation labels no points, in words; empty if it should."""
    if label.get("iscrowd") not in (None, 0, False):
        return "of a crowd"
    absent = "keypoints" not in label or label["keypoints"] == []
    empty = label.get("num_keypoints") == 0 and label.get("keypoints") is None
    return "without keypoints" if absent or empty else ""


def _read_keypoints(place: str, file: str, label: dict, names: list[str]) -> np.ndarray:
    """`[A, 2]` the points of one object, NaN where missing."""
    values = label["keypoints"]
    if not isinstance(values, list):
        raise UserError(
            f"{place} of image {shown(file)} has keypoints {shown(json.dumps(values))[:50]}; it must be a "
            "list of x, y, v; label the image anew or remove the annotation."
        )
    if len(values) != 3 * len(names):
        raise UserError(
            f"{place}: image {shown(file)} has {len(values)} keypoint values, expected 3 (x, y, v) for "
            f"each of {len(names)} names; label it anew."
        )
    points = []
    for landmark, name in enumerate(names):
        x, y, v = values[3 * landmark : 3 * landmark + 3]
        if not _is_number(v) or v < 0 or (v > 0 and not (_is_number(x) and _is_number(y))):
            raise UserError(
                f"{place}: image {shown(file)} has {shown([x, y, v])[:80]} for {shown(name)}, not 3 finite "
                "numbers (x, y in pixels; v is 0 where the point is missing); mend it or set v to 0."
            )
        points.append((x, y) if v > 0 else (math.nan, math.nan))
    points = np.array(points, np.float64)
    if label.get("num_keypoints") == 0 and not np.isnan(points).all():
        raise UserError(
            f"{place}: image {shown(file)} has num_keypoints 0, but its keypoints have "
            f"{(~np.isnan(points[:, 0])).sum()} with v > 0; mend one of the two."
        )
    return points


def _name(entry: dict, position: int) -> str:
    """What an entry is called in messages: by its id, else by its place in the list, from 1."""
    return shown(entry["id"]) if entry.get("id") is not None else f"no. {position + 1}"


def _id(what: str, value: object) -> str:
    """An id in one spelling: 7, 7.0 and "7" are the same."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise UserError(f"{what} is {shown(value)[:50]}; it must be a number or a text.")
    return str(value).strip()


def _size(place: str, side: str, value: object) -> float:
    """A stated height or width; NaN where it is none, which some tools write as 0."""
    if value is None or value == 0 or value == "":
        return math.nan
    try:
        size = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        size = math.nan
    if not 0 < size < math.inf:
        raise UserError(f"{place}: {side} is {shown(value)[:50]!r}, not a number of pixels.")
    return size


def _is_number(value: object) -> bool:
    # Not bool, which is an int; nor an integer of hundreds of digits.
    return type(value) in (int, float) and -1e300 < value < 1e300
