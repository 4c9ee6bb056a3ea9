"""Annotations of many kinds, each read rightly, or refused with what is wrong, where, and what to do."""

import pytest

from tests.data import annotated_folders as folders
from tests.data.annotated_folders import (
    CSV,
    FRAME_CSV,
    FRAMES,
    IMAGES,
    RIGHT,
    SLEAP,
    coco,
    keypoints,
)
from tf_landmarks.errors import UserError

pytestmark = pytest.mark.core

SEMICOLONS = CSV.replace(",", ";")
SWAPPED = {"a.png": (48, 64), "b.png": (64, 48)}
ONE = {"file": "file,nose_x,nose_y\n", "frame": "frame,nose_x,nose_y\n"}


def deeplabcut(name: str) -> bytes:
    return (folders.DEEPLABCUT / name).read_bytes()


def edited(number: int, **changes) -> dict:
    """COCO whose image `number` has other values."""
    images = coco()["images"]
    images[number] = images[number] | changes
    return coco(images=images)


GOOD_TABLES = {
    "plain": CSV,
    "semicolons": SEMICOLONS,
    "decimal commas": SEMICOLONS.replace(".5", ",5"),
    "tabs and decimal commas": CSV.replace(",", "\t").replace(".5", ",5"),
    "bars": CSV.replace(",", "|"),
    "Excel's separator line": "sep=;\n" + SEMICOLONS,
    "Excel's separator line in quotes": '"sep=,"\n' + CSV,
    "a byte order mark": CSV.encode("utf-8-sig"),
    "two byte order marks": b"\xef\xbb\xbf" + CSV.encode("utf-8-sig"),
    "UTF-16, little end first": b"\xff\xfe" + CSV.encode("utf-16-le"),
    "UTF-16, big end first": b"\xfe\xff" + CSV.encode("utf-16-be"),
    "UTF-16 without a mark": CSV.encode("utf-16-le"),
    "UTF-16 with tabs, Excel's Unicode text": CSV.replace(",", "\t").encode("utf-16"),
    "line ends of Windows": CSV.replace("\n", "\r\n"),
    "line ends of old Macs": CSV.replace("\n", "\r"),
    "filename": CSV.replace("file", "filename"),
    "Image": CSV.replace("file", "Image"),
    "points between name and axis": CSV.replace("_", "."),
    "blanks between name and axis": CSV.replace("_", " "),
    "hyphens and capitals": CSV.replace("_x", "-X").replace("_y", "-Y"),
    "blank columns and rows at the end": CSV.replace("\n", ",,\n") + ",,,,,,\n\n",
    "a blank column": CSV.replace(",tail_x", ",,tail_x").replace(",30", ",,30").replace("2,,", "2,,,"),
    "quotes": "\n".join('"' + row.replace(",", '","') + '"' for row in CSV.split()),
    "a line break in a header": CSV.replace("nose_x", '"nose\nx"'),
    "NA": CSV.replace("2,,", "2,NA,NA"),
    "NaN and null": CSV.replace("2,,", "2,NaN,null"),
    "dashes": CSV.replace("2,,", "2,-,-"),
    "numbers of rows, as pandas": ",file" + CSV[4:].replace("a.png", "0,a.png").replace("b.png", "1,b.png"),
    "numbers of rows, as R": '""' + ",file" + CSV[4:].replace("a.png", "1,a.png").replace("b.png", "2,b.png"),
    "exponents": CSV.replace("10.5", "1.05e1"),
    "names from here": CSV.replace("a.png", "./a.png"),
    "names from images": CSV.replace("a.png", "images/a.png"),
    "backslashes": CSV.replace("a.png", "images\\a.png"),
    "names of another computer": CSV.replace("a.png", "C:\\me\\a.png").replace("b.png", "C:\\me\\b.png"),
    "absolute names": CSV.replace("a.png", "/home/me/a.png").replace("b.png", "/home/me/b.png"),
    "names in capitals": CSV.replace("b.png", "B.PNG"),
}  # fmt: skip

GOOD = {
    **{name: ({**IMAGES, "landmarks.csv": text}, "") for name, text in GOOD_TABLES.items()},
    "images in their folder": ({"images/a.png": (64, 48), "b.png": (64, 48), "landmarks.csv": CSV}, ""),
    "a table of tabs": ({**IMAGES, "Landmarks.TSV": CSV.replace(",", "\t")}, ""),
    "unlikely points": (
        {**IMAGES, "landmarks.csv": (
            "file,nose_x,nose_y,nose_likelihood,tail_x,tail_y,tail_likelihood\n"
            "a.png,10.5,20,0.9,30,40,\nb.png,1,2,1,3,4,0.59\n"
        )},
        "1 of 4 points have a likelihood below 0.6 and count as missing",
    ),
    "a row without image": (
        {**IMAGES, "landmarks.csv": CSV + "c.png,1,1,1,1\nd.png,1,1,1,1\n"},
        "2 of 4 labelled rows are left out, for their images are not there: c.png, ...",
    ),
    "a point outside": (
        {**IMAGES, "landmarks.csv": CSV + "c.png,64.5,1,1,1\n", "c.png": (64, 48)},
        "1 of 5 points are outside; .*csv:4: nose is at (64.5, 1), outside .*c.png of 64x48 pixels",
    ),
    "a point on the border": ({**IMAGES, "c.png": (9, 9), "landmarks.csv": CSV}, ""),
    "another table beside it": (
        {**IMAGES, "landmarks.csv": CSV, "weights.csv": "mouse,g\n1,20\n", "coco.json": coco()},
        "passed over: coco.json and 1 more (landmarks.csv comes first)",
    ),
    "COCO": ({**IMAGES, "coco.json": coco()}, ""),
    "COCO with a byte order mark": ({**IMAGES, "c.json": b"\xef\xbb\xbf" + folders.json.dumps(coco()).encode()}, ""),
    "COCO in UTF-16": ({**IMAGES, "c.json": folders.json.dumps(coco()).encode("utf-16")}, ""),
    "COCO with a root category": (
        {**IMAGES, "c.json": coco(categories=[{"id": 0, "name": "mice"}, *coco()["categories"]])}, "",
    ),
    "COCO with boxes of another category": (
        {**IMAGES, "c.json": coco(
            categories=[*coco()["categories"], {"id": 2, "name": "cage", "keypoints": []}],
            annotations=[*coco()["annotations"], {"id": 9, "image_id": 3, "category_id": 2, "bbox": [1, 2, 3, 4]}],
        )}, "annotations passed over: 1 of another category",
    ),
    "COCO with boxes, crowds and nothing": (
        {**IMAGES, "c.json": coco(annotations=[
            *coco()["annotations"],
            {"id": 9, "image_id": 3, "category_id": 1, "bbox": [1, 2, 3, 4]},
            keypoints(10, 3, []),
            keypoints(11, 3, [0] * 6, iscrowd=1),
            keypoints(12, 3, [0] * 6, num_keypoints=0),
            keypoints(13, 3, None, num_keypoints=0),
        ])}, "passed over: 3 without keypoints, 1 of a crowd, 1 without a labelled point",
    ),
    "COCO with ids as text": ({**IMAGES, "c.json": edited(0, id="3")}, ""),
    "COCO with ids as decimals": ({**IMAGES, "c.json": edited(0, id=3.0)}, ""),
    "COCO without sizes": ({**IMAGES, "c.json": edited(0, width=None, height=0)}, ""),
    "COCO with a size as text": ({**IMAGES, "c.json": edited(0, width="64")}, ""),
    "COCO with null for what is missing": (
        {**IMAGES, "c.json": coco(annotations=[coco()["annotations"][0], keypoints(2, 7, [1, 2, 2, None, None, 0])])}, "",
    ),
    "COCO with URLs": (
        {**IMAGES, "c.json": coco(images=[
            {"id": 3, "file_name": "https://host.org/set/a.png?size=full"}, {"id": 7, "file_name": "https://host.org/set/b.png"},
        ])}, "",
    ),
    "COCO of Label Studio's local files": ({**IMAGES, "c.json": edited(0, file_name="/data/local-files/?d=set/a.png")}, ""),
    "COCO with encoded names": (
        {"a%b c.png": (64, 48), "b.png": (64, 48), "c.json": edited(0, file_name="x/a%25b%20c.png")}, "",
    ),
    "COCO beside other JSON": (
        {**IMAGES, "c.json": coco(), "a.json": {"version": 5, "shapes": [], "imagePath": "a.png"}, "z.json": "{"},
        r"passed over: a.json (LabelMe's), z.json (is not JSON",
    ),
    "DeepLabCut": ({**IMAGES, "CollectedData_me.csv": deeplabcut("CollectedData_me.csv")}, ""),
    "DeepLabCut, HDF5": ({**IMAGES, "CollectedData_me.h5": deeplabcut("CollectedData_me.h5")}, ""),
    "DeepLabCut, both": (
        {**IMAGES, **{f"CollectedData_me.{e}": deeplabcut(f"CollectedData_me.{e}") for e in ("csv", "h5")}}, "",
    ),
    "DeepLabCut, both, of which one is broken": (
        {**IMAGES, "CollectedData_me.csv": deeplabcut("CollectedData_me.csv"), "CollectedData_me.h5": b"no"},
        "its twin passed over: .*h5 cannot be read as HDF5",
    ),
    "DeepLabCut saved by Excel in Europe": (
        {**IMAGES, "CollectedData_me.csv": deeplabcut("CollectedData_me.csv").replace(b",", b";").replace(b".5", b",5").replace(b".0", b",0")}, "",
    ),
    "DeepLabCut of one of several animals": (
        {**IMAGES, "CollectedData_me.csv": deeplabcut("CollectedData_me.csv").replace(
            b"bodyparts", b"individuals,,,m1,m1,m1,m1\nbodyparts")}, "",
    ),
    "frames": ({"walk.avi": 0, "walk.csv": FRAME_CSV}, ""),
    "Frame": ({"walk.avi": 0, "walk.csv": FRAME_CSV.replace("frame", "Frame")}, ""),
    "frames with semicolons": ({"walk.avi": 0, "walk.csv": FRAME_CSV.replace(",", ";").replace(".", ",")}, ""),
    "frames as decimals": ({"walk.avi": 0, "walk.csv": FRAME_CSV.replace("\n1,", "\n1.0,")}, ""),
    "a table of a video's whole name": ({"walk.avi": 0, "walk.avi.csv": FRAME_CSV}, ""),
    "frames after the end": (
        {"walk.avi": 0, "walk.csv": FRAME_CSV + "10,1,1,1,1\n11,1,1,1,1\n"},
        "skipped .*walk.avi#000010 and 1 more: the video has frames 0 to 9",
    ),
    "SLEAP": ({"walk.avi": 0, "walk.csv": SLEAP}, ""),
    "DeepLabCut's predictions": ({"walk.avi": 0, "walkDLC_resnet50.csv": deeplabcut("walkDLC_resnet50.csv")}, "likelihood below"),
    "DeepLabCut's predictions, HDF5": ({"walk.avi": 0, "walkDLC_resnet50.h5": deeplabcut("walkDLC_resnet50.h5")}, "likelihood below"),
    "DeepLabCut's predictions, both": (
        {"walk.avi": 0, **{f"walkDLC_resnet50.{e}": deeplabcut(f"walkDLC_resnet50.{e}") for e in ("csv", "h5")}}, "",
    ),
    "a video called landmarks": ({"landmarks.avi": 0, "landmarks.csv": FRAME_CSV}, ""),
    "a video without table and a table without video": (
        {"walk.avi": 0, "walk.csv": FRAME_CSV, "run.avi": 0, "weights.csv": "mouse,g\n1,20\n"},
        "1 of 2 videos have no table of their name beside them: run.avi\n.*passed over: weights.csv (no video has this name)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_a_good_one_is_read_rightly(name, tmp_path, caplog):
    files, says = GOOD[name]
    folders.write(tmp_path, files)
    with caplog.at_level("INFO", "absl"):
        found = {
            path.removeprefix("images/"): points for path, points in folders.read(tmp_path).items()
        }
    wanted = FRAMES if any(file.endswith(".avi") for file in files) else RIGHT
    # Frames and images that a case names otherwise or adds have their own place in the order.
    own = {"landmarks.avi#00000": "walk.avi#00000", "a%b c.png": "a.png"}
    for other, usual in own.items():
        found = {path.replace(other, usual): points for path, points in found.items()}
    found.pop("c.png", None)
    assert found == wanted
    for part in says.split(".*"):
        assert part in caplog.text


def table(text) -> dict:
    return {**IMAGES, "landmarks.csv": text}


def film(text, name="walk.csv") -> dict:
    return {"walk.avi": 0, name: text}


def labels(content) -> dict:
    return {**IMAGES, "labels.json": content}


def one_annotation(values, **changes) -> dict:
    return labels(coco(annotations=[keypoints(5, 7, values, **changes)]))


TWO_VIDEOS = (
    "scorer,,,me,me\nbodyparts,,,nose,nose\ncoords,,,x,y\n"
    "labeled-data,m1,a.png,1,2\nlabeled-data,m2,a.png,3,4\nlabeled-data,m1,b.png,1,2\n"
)

BAD = {
    "an empty table": (table("\n\n"), "landmarks.csv is empty; its first line must name the columns"),
    "a spreadsheet": (table(b"PK\x03\x04..."), "is a spreadsheet .*; save the table as `CSV UTF-8`"),
    "a download that was refused": (table("<!DOCTYPE html><html>"), "landmarks.csv is a web page; .*Download the file anew"),
    "a pointer of Git LFS": (labels("version https://git-lfs.github.com/spec/v1\n"), "is only a pointer to the file; fetch it with git lfs pull"),
    "a spreadsheet by its name": ({**IMAGES, "landmarks.xlsx": b"PK"}, "no annotations: .*landmarks.xlsx .a spreadsheet: save it as CSV"),
    "SLEAP's project, damaged": ({"walk.avi": 0, "walk.slp": b""}, "walk.slp cannot be read as a SLEAP project|sleap-io, not installed"),
    "COCO's results": (labels([keypoints(1, 3, [])]), "labels.json .a list, as COCO's results are"),
    "an image at two places": ({**table(CSV), "images/a.png": (64, 48)}, "csv:2: a.png fits .*images/a.png and .*/a.png; remove or rename one"),
    "zero bytes": (table(CSV.encode() + bytes(99)), "zero bytes"),
    "half of UTF-16": (table(CSV.encode("utf-16")[:-1]), "not whole UTF-16"),
    "no known encoding": (table(CSV.replace("a.png", "?.png").encode().replace(b"?", b"\x81")), ":2: byte 0x81 is neither UTF-8 nor Windows-1252; save it as"),
    "an open quotation mark": (table(CSV.replace("a.png", '"a.png')), r"csv:3: .*quotation mark not closed"),
    "blanks for separators": (table(CSV.replace(",", " ")), "first column is 'file nose_x.*; call it `file`.*semicolons or tabs"),
    "an unknown first column": (table(CSV.replace("file", "id")), "first column is 'id'; call it `file`"),
    "napari's table": (table("index,axis-0,axis-1\n0,1,2\n"), "first column is 'index'"),
    "axes in front": (table(CSV.replace("nose_x", "x_nose")), "column 2, 'x_nose', is not <name>_x or <name>_y; rename"),
    "a column of something else": (table(CSV.replace("tail_y\n", "tail_y,sex\n").replace("0\n", "0,m\n")), "column 6, 'sex'"),
    "a value without column": (table(CSV.replace("2,,", "2,,,,7")), "csv:3: 7 cells, but the header has 5"),
    "a value in a blank column": (table(CSV.replace("tail_y\n", "tail_y,\n").replace("2,,", "2,,,7")), "csv:3: column 6 has no name .* '7' here; name or remove"),
    "a value in a blank column inside": (
        table(CSV.replace(",tail_x", ",,tail_x").replace(",30", ",7,30").replace("2,,", "2,,,")), "csv:2: column 4 has no name .* '7'",
    ),
    "a short row": (table(CSV.replace("1,2,,", "1,2")), "csv:3: 3 cells, but the header has 5"),
    "a column twice": (table(CSV.replace("tail", "nose")), r"'nose_x' occurs twice \(columns 2 and 4\); remove one"),
    "a column in two spellings": (table(CSV.replace("tail_x", "nose.x").replace("tail_y", "nose.y")), "'nose.x' occurs twice"),
    "names that differ in case": (table(CSV.replace("tail", "Nose")), "'Nose' and 'nose' differ in case only; rename"),
    "half a landmark": (table(CSV.replace(",tail_y", "").replace(",40", "").replace("2,,", "2,")), "'tail' has x but no y"),
    "half a point": (table(CSV.replace("30,40", "30,")), "csv:2: tail has only one of x and y"),
    "words": (table(CSV.replace("20", "left")), "csv:2: nose y is 'left', not a number of pixels"),
    "a question mark": (table(CSV.replace("20", "?")), "nose y is '?'".replace("?", r"\?")),
    "infinity": (table(CSV.replace("20", "inf")), "nose y is 'inf'"),
    "too large a number": (table(CSV.replace("20", "2e999")), "nose y is '2e999'"),
    "Python's thousands": (table(CSV.replace("20", "2_0")), "nose y is '2_0'"),
    "quoted decimal commas": (table(CSV.replace("10.5", '"10,5"')), "nose x is '10,5'.*like 12.5"),
    "thousands in Swiss": (table(SEMICOLONS.replace("20", "1'020")), "is \"1'020\".*without marks between thousands"),
    "thousands and decimals": (table(SEMICOLONS.replace("20", "1.020,5")), "is '1.020,5'"),
    "two decimal marks": (table(SEMICOLONS.replace("20", "20,5")), "csv:2: 20,5 has a decimal comma, 10.5 at line 2 a decimal point"),
    "a name twice": (table(CSV.replace("b.png", "a.png")), "csv:3: file a.png was already at .*csv:2; keep one"),
    "a name in two ways": (table(CSV.replace("b.png", "./images/a.png")), "csv:3: file a.png was already at"),
    "a name in two cases": (table(CSV.replace("b.png", "A.png")), "csv:2 and .*csv:3: a.png and A.png both fit .*a.png; keep one"),
    "no name": (table(CSV.replace("b.png", "")), "csv:3: the file is blank; give its name"),
    "no image": (table(CSV.replace(".png", ".jpg")), "none of its 2 labelled rows fits a file: a row is a.jpg, a file a.png; names count from"),
    "no label": (table(CSV.replace("10.5,20,30,40", ",,,").replace("1,2", ",")), "landmarks.csv holds no labelled row: every point in it is missing"),
    "fractions": (table(CSV.replace("10.5,20,30,40", ".1,.2,.3,.4").replace("1,2", "0.9,1")), "fractions of the image. Multiply x by the width"),
    "points of another image": (table(CSV.replace("10.5,20,30,40", "910.5,20,30,940").replace("1,2", "-8,2")), r"nose is at \(910.5, 20\), outside .*a.png of 64x48 pixels, and so is every other"),
    "a likelihood in percent": (table("file,nose_x,nose_y,nose_likelihood\na.png,1,2,95\n"), "csv:2: the likelihood of nose is 95; it must lie between 0 and 1"),
    "frames in landmarks.csv": (film(FRAME_CSV, "landmarks.csv"), "landmarks.csv numbers frames; call it walk.csv, as the video walk.avi"),
    "frames in landmarks.csv without video": (table(FRAME_CSV), "landmarks.csv numbers frames; call it like the video"),
    "two landmarks.csv": ({**table(CSV), "landmarks.tsv": CSV}, "several annotation files .landmarks.csv, landmarks.tsv.; keep one"),
    "no annotations": (IMAGES, r"has no annotations: looked for landmarks.csv, a COCO .*CollectedData\*.csv or .h5, .*\(walk.csv for walk.mp4\), SLEAP's \*.slp\.$"),
    "a table of another name": ({**IMAGES, "labels.csv": CSV}, r"has no annotations: .*passed over: labels.csv \(no video has this name"),
    "LabelMe": ({**IMAGES, **{f"{n}.json": {"shapes": [], "imagePath": ""} for n in "abc"}}, r"no annotations.*a.json and 2 more \(LabelMe's\)"),
    "COCO of outlines": (labels(coco(categories=[{"id": 1, "name": "mouse"}])), r"labels.json \(COCO without keypoints\)"),
    "broken JSON": (labels("{"), "labels.json .is not JSON"),
    "deep JSON": (labels("[" * 100_000), "labels.json .is not JSON"),
    "a key of JSON twice": (
        labels(folders.json.dumps(coco())[:-1] + ', "images": []}'), "labels.json .is not JSON: the key 'images' is there twice in one object",
    ),
    "two COCO": ({**labels(coco()), "z.json": coco()}, "several annotation files .labels.json, z.json."),
    "stored sideways": (
        {**SWAPPED, "c.json": coco()}, "image 3: a.png is 64x48 .width x height. there, but .*a.png is 48x64, upright; .*EXIF.*mogrify",
    ),
    "resized": ({"a.png": (32, 24), "b.png": (32, 24), "c.json": coco()}, r"a.png is 64x48 .* is 32x24, upright \(2 of 2 images differ\); was it resized"),
    "enlarged": ({"a.png": (128, 96), "b.png": (64, 48), "c.json": coco()}, r"a.png is 64x48 .* is 128x96, upright; was it resized"),
    "a size that is none": (labels(edited(0, width="wide")), "image 3: width is 'wide', not a number of pixels"),
    "a negative size": (labels(edited(0, width=-64)), "width is '-64'"),
    "a true size": (labels(edited(0, width=True)), "width is 'True'"),
    "an image id twice": (labels(edited(0, id="7")), "image id 7 is there twice, for a.png and b.png; give each its own"),
    "an image twice": (labels(edited(0, file_name="./b.png")), "image b.png is there twice, with the ids 3 and 7; keep one"),
    "no file name": (labels(edited(0, file_name=None)), "image 3: file_name is None; it must name"),
    "a list as id": (labels(edited(0, id=[3])), r"image \[3\]: id is \[3\]; it must be a number or a text"),
    "an annotation id twice": (
        labels(coco(annotations=[keypoints(1, 3, [1, 1, 2, 1, 1, 2]), keypoints(1, 7, [1, 1, 2, 1, 1, 2])])),
        "annotation 1: this id is there twice, for the images 3 and 7",
    ),
    "a category id twice": (labels(coco(categories=coco()["categories"] * 2)), "category id 1 is there twice, for mouse and mouse"),
    "an unknown category": (one_annotation([1, 1, 2, 1, 1, 2], category_id=9), r"annotation 5: category_id 9 is not among the categories, 1 \(mouse\)"),
    "an unknown image": (labels(coco(annotations=[keypoints(5, 9, [])])), "annotation 5: image_id 9 is not among the images, whose ids are like 3, 7"),
    "two kinds of objects": (
        labels(coco(
            categories=[*coco()["categories"], {"id": 2, "name": "rat", "keypoints": ["nose"]}],
            annotations=[*coco()["annotations"], keypoints(9, 3, [1, 1, 2], category_id=2)],
        )), "several categories .mouse, rat.; keep one kind",
    ),
    "two objects": (labels(coco(annotations=[keypoints(n, 3, [1, 1, 2, 1, 1, 2]) for n in (5, 6)])), "image a.png has several annotations, 5 and 6; one object per image .*crop"),
    "keypoints null": (one_annotation(None), "annotation 5 of image b.png has keypoints null.*label the image anew or remove"),
    "too few keypoints": (one_annotation([1, 2, 2]), "annotation 5: image b.png has 3 keypoint values, expected 3 .x, y, v. for each of 2 names"),
    "a text among keypoints": (one_annotation(["1", 2, 2, 1, 1, 2]), r"b.png has \['1', 2, 2\] for nose, not 3 finite numbers.*set v to 0"),
    "true among keypoints": (one_annotation([True, 2, 2, 1, 1, 2]), "True, 2, 2. for nose"),
    "NaN among keypoints": (one_annotation([float("nan"), 2, 2, 1, 1, 2]), "nan, 2, 2. for nose"),
    "a huge integer among keypoints": (one_annotation([10**400, 2, 2, 1, 1, 2]), "for nose, not 3 finite"),
    "a negative visibility": (one_annotation([1, 2, -1, 1, 1, 2]), "1, 2, -1. for nose"),
    "no keypoints counted, though there are": (one_annotation([1, 2, 2, 0, 0, 0], num_keypoints=0), "num_keypoints 0, but its keypoints have 1 with v > 0"),
    "names as a text": (labels(coco(categories=[{"id": 1, "keypoints": "nose,tail"}])), "not a list of names"),
    "a name of COCO twice": (labels(coco(categories=[{"id": 1, "keypoints": ["nose", "nose"]}])), "'nose' is there twice"),
    "images as an object": (labels(coco(images={})), "`images` is not a list of objects"),
    "numbers for annotations": (labels(coco(annotations=[1])), "`annotations` is not a list of objects"),
    "several animals": (
        {**IMAGES, "CollectedData_me.csv": "scorer,m,m,m,m\nindividuals,a,a,b,b\nbodyparts,s,s,s,s\ncoords,x,y,x,y\na.png,1,2,3,4\n"},
        "several animals .a, b.; keep the columns of one of them, or crop",
    ),
    "two videos for the images of one": ({**IMAGES, "CollectedData_me.csv": TWO_VIDEOS}, "a.png and labeled-data/m2/a.png both fit .*a.png; keep one of them, or put"),
    "two videos for the images of one, of which some are missing": (
        {"a.png": (64, 48), "c.png": (64, 48), "CollectedData_me.csv": TWO_VIDEOS.replace("m2/a", "m2/c")},
        "images of two folders would be found in .*: labeled-data/m1/a.png and labeled-data/m2/.*1 rows have none. Put the images into folders",
    ),
    "CSV and HDF5 that differ": (
        {**IMAGES, "CollectedData_me.csv": deeplabcut("CollectedData_me.csv").replace(b"10.5", b"11.5"), "CollectedData_me.h5": deeplabcut("CollectedData_me.h5")},
        r"csv:4: nose of labeled-data/m1/a.png is \[11.5, 20.0\], in .*h5 it is \[10.5, 20.0\]; delete the one that is out of date",
    ),
    "CSV and HDF5 of other rows": (
        {**IMAGES, "CollectedData_me.csv": deeplabcut("CollectedData_me.csv").replace(b"b.png", b"c.png"), "CollectedData_me.h5": deeplabcut("CollectedData_me.h5")},
        "a row for labeled-data/m1/[bc].png, .* has none",
    ),
    "frames for images": (
        {**IMAGES, "CollectedData_me.csv": deeplabcut("walkDLC_resnet50.csv")}, "CollectedData_me.csv numbers frames in its rows; call it like the video",
    ),
    "HDF5 of something else": ({**IMAGES, "CollectedData_me.h5": b"text"}, "cannot be read as HDF5 .*give the CSV"),
    "a video's table of something else": (film("time,nose_x,nose_y\n0,1,2\n"), "walk.csv: the first column is 'time'; call it `file` .images. or `frame`"),
    "a video's table of images": (film(CSV), "walk.csv stands beside the video walk.avi, but its rows are images; number its frames"),
    "a frame twice": (film(FRAME_CSV.replace("\n1,", "\n0,")), "csv:3: frame 0 was already at .*csv:2"),
    "half a frame": (film(FRAME_CSV.replace("\n1,", "\n1.5,")), "csv:3: frame '1.5' is not a whole number from 0"),
    "too large a frame": (film(FRAME_CSV.replace("\n1,", "\n99999999999999999999,")), "csv:3: frame '9+' is not"),
    "a name for a frame": (film(FRAME_CSV.replace("\n1,", "\nb.png,")), "csv:3: frame 'b.png' is not"),
    "all frames after the end": (film(FRAME_CSV.replace("\n0,", "\n70,").replace("\n1,", "\n80,")), "walk.avi#000070: the video has frames 0 to 9"),
    "a table without video": (film(FRAME_CSV, "run.csv"), "run.csv numbers the frames of a video, .*found: walk.avi"),
    "a table for two videos": ({**film(FRAME_CSV), "walk.mkv": b"", "run.avi": 0}, "walk.csv numbers .*one of the same name beside it; found: run.avi, walk.avi, walk.mkv"),
    "two tables of one video": (
        {"walk.avi": 0, "walkDLC_a.csv": FRAME_CSV, "walkDLC_a_filtered.csv": FRAME_CSV}, "several tables beside it .walkDLC_a.csv, walkDLC_a_filtered.csv.; keep one",
    ),
    "SLEAP with two animals": (film(SLEAP.replace("\n,1", "\ntrack_1,1").replace("\n,0", "\ntrack_0,0")), "several animals .`track` is track_0, track_1.; keep"),
    "SLEAP with a frame twice": (film(SLEAP.replace("\n,1", "\n,0")), "frame 0 was already at"),
    "SLEAP with another column": (film(SLEAP.replace("nose.x", "nose.z")), "column 4, 'nose.z', is not <name>.x"),
    "videos of other landmarks": ({**film(FRAME_CSV), "run.avi": 0, "run.csv": FRAME_CSV.replace("tail", "ear")}, "walk.csv has the landmarks .*run.csv has .*same columns"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_one_is_refused_with_what_is_wrong_and_what_to_do(name, tmp_path):
    files, message = BAD[name]
    folders.write(tmp_path, files)
    with pytest.raises(UserError, match=message) as error:
        folders.read(tmp_path)
    assert "\n" not in str(error.value)
