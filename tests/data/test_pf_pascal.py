"""Lists of image pairs: a miniature of PF-PASCAL's layout, and what is wrong with a list, in words."""

import numpy as np
import pytest

from tf_landmarks.data import pf_pascal
from tf_landmarks.errors import UserError

pytestmark = pytest.mark.core

HEAD = "source_image,target_image,class,XA,YA,XB,YB"
ROW = "PF-dataset-PASCAL/JPEGImages/a.jpg,PF-dataset-PASCAL/JPEGImages/b.jpg"
POINTS = [f"{ROW},1,1.5;20,2;30,3;40,4.25;50", f"{ROW},20,7,8,9,10"]


def write(folder, *rows, head=HEAD, lists="pf-pascal/image_pairs"):
    """A list beside the folder of images, as it is published."""
    images = folder / "pf-pascal" / "PF-dataset-PASCAL" / "JPEGImages"
    images.mkdir(parents=True, exist_ok=True)
    for name in ("a.jpg", "b.jpg"):
        (images / name).touch()
    path = folder / lists / "test_pairs.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([head, *rows]) + "\n")
    return str(path)


def test_a_list_for_testing_has_points_of_both_images(tmp_path):
    pairs = pf_pascal.read_pairs(write(tmp_path, *POINTS))
    assert len(pairs) == 2
    folder = tmp_path / "pf-pascal" / "PF-dataset-PASCAL" / "JPEGImages"
    assert pairs.paths_a == [str(folder / "a.jpg")] * 2
    assert pairs.paths_b == [str(folder / "b.jpg")] * 2
    assert pairs.classes.tolist() == [1, 20] and not pairs.flips.any()
    np.testing.assert_array_equal(pairs.points_a, [[[1.5, 2], [20, 30]], [[7, 8], [np.nan] * 2]])
    np.testing.assert_array_equal(pairs.points_b, [[[3, 4.25], [40, 50]], [[9, 10], [np.nan] * 2]])


def test_a_list_for_training_has_flips_in_place_of_points(tmp_path):
    head = "source_image,target_image,class,flip"
    pairs = pf_pascal.read_pairs(write(tmp_path, f"{ROW},2,0", f"{ROW},3,1", head=head))
    assert pairs.flips.tolist() == [False, True] and pairs.classes.tolist() == [2, 3]
    assert pairs.points_a.shape == pairs.points_b.shape == (2, 0, 2)


@pytest.mark.parametrize("lists", ["pf-pascal", "pf-pascal/PF-dataset-PASCAL/image_pairs"])
def test_images_are_found_from_where_lists_are_kept(tmp_path, lists):
    pairs = pf_pascal.read_pairs(write(tmp_path, POINTS[0], lists=lists))
    assert pairs.paths_a[0].endswith("PF-dataset-PASCAL/JPEGImages/a.jpg")


@pytest.mark.parametrize(
    ("rows", "head", "words"),
    [
        (POINTS, "source_image,class", "no column target_image"),
        ([], HEAD, "names no pair"),
        ([f"{ROW},1,1;2,2;3,3,4;5"], HEAD, "line 2: 2 XA, 2 YA, 1 XB, 2 YB"),
        ([POINTS[0], f"{ROW},1,x,2,3,4"], HEAD, "line 3: 'x' is no number"),
        ([f"{ROW},1,nan,2,3,4"], HEAD, "line 2: 'nan' is no number"),
        ([POINTS[0].replace("b.jpg", "c.jpg")], HEAD, "c.jpg, which is not there"),
    ],
)
def test_what_is_wrong_with_a_list_is_said(tmp_path, rows, head, words):
    with pytest.raises(UserError, match=words):
        pf_pascal.read_pairs(write(tmp_path, *rows, head=head))
    with pytest.raises(UserError, match=r"none\.csv cannot be read"):
        pf_pascal.read_pairs(str(tmp_path / "none.csv"))
