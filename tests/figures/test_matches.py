"""The sheet of matches: which pictures are on it, and how many are kept."""

import numpy as np

from tests.evaluation import colour_blobs
from tf_landmarks.evaluation.point_transfer import Found
from tf_landmarks.evaluation.references import References
from tf_landmarks.figures import matches
from tf_landmarks.inference.rows import PredictionRow

POINTS = colour_blobs.random_points(3)
KNOWN = References(["r.png"], [colour_blobs.draw(POINTS[0])], colour_blobs.NAMES, POINTS[:1])


def found(number: int, share: float) -> Found:
    image = colour_blobs.draw(POINTS[1])
    row = PredictionRow(f"b{number}.png", None, image, "", POINTS[1], np.ones(3))
    shares = np.array([0.0, share, 0.0])
    return Found(row, 50 * shares, shares, shares <= 0.1, np.zeros(3), shares <= 0.1)


def test_the_least_sure_and_some_spread_over_all_are_shown():
    sheet = matches.Sheet(KNOWN, 101)
    shares = np.random.default_rng(0).permutation(101) / 200
    for number, share in enumerate(shares):
        if number == 7:
            sheet.add(Found(PredictionRow("b7.png", error="broken")))
            continue
        sheet.add(found(number, share))
        assert len(sheet._worst) <= 4
    titles = [axes.get_title() for axes in sheet.draw().axes]
    assert titles[0] == "reference: r.png"
    spread = [title for title in titles[2:] if "least" not in title]
    assert [title.split(".")[0] for title in spread] == [
        f"b{n}" for n in (0, 14, 29, 43, 57, 71, 86, 100)
    ]
    least = [title for title in titles if "least" in title]
    shares[7] = -1
    worst = np.argsort(-shares)[:4]
    expected = [f"agrees least: b{n}.png\ngreen: {50 * shares[n]:.1f} px apart" for n in worst]
    assert least == expected


def test_hollow_markers_are_where_a_match_is_not_sure():
    pictures = [found(0, share).draw(4) for share in (0.0, 0.5)]
    (x, y), other = (
        np.rint(4 * POINTS[1, 1] + 1.5).astype(int),
        np.rint(4 * POINTS[1, 0] + 1.5).astype(int),
    )
    assert (pictures[1][y, x] == 255).all() and not (pictures[0][y, x] == 255).all()
    np.testing.assert_array_equal(pictures[0][other[1], other[0]], pictures[1][other[1], other[0]])


def test_few_images_make_a_small_sheet():
    sheet = matches.Sheet(KNOWN, 1)
    sheet.add(found(0, 0.3))
    assert len(sheet.draw().axes) == 4
