"""Which images are chosen for labelling, on candidates whose best choice is known."""

import numpy as np
import pytest
from PIL import Image

from tf_landmarks.data import fingerprints, sources
from tf_landmarks.data.boxes import Box
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import choosing

pytestmark = pytest.mark.core

#: Four kinds of images, far apart, of very different numbers.
SIZES = (40, 12, 6, 2)
LABELS = np.repeat(np.arange(4), SIZES)


def candidates(surety=None, seed=0):
    rng = np.random.default_rng(seed)
    centres = 10 * np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    points = centres[LABELS] + rng.normal(0, 0.3, (len(LABELS), 2))
    return choosing.Candidates(100 + np.arange(len(LABELS)), points, surety)


@pytest.mark.parametrize("seed", range(5))
def test_every_kind_is_chosen_however_rare(seed):
    one = candidates()
    chosen = choosing.choose(one, 4, seed) - 100
    assert LABELS[chosen].tolist() == [0, 1, 2, 3]
    for group in range(3):  # the middle one stands for its kind
        of = one.descriptions[group == LABELS]
        off = np.linalg.norm(one.descriptions[chosen[group]] - of.mean(0))
        assert off == np.linalg.norm(of - of.mean(0), axis=1).min()


def test_half_of_the_kinds_give_the_image_that_is_least_sure():
    surety = np.ones(len(LABELS))
    surety[[7, 45, 53]] = 0.2, 0.1, 0.9  # of kinds 0, 1 and 2
    chosen = choosing.choose(candidates(surety), 4) - 100
    middles = choosing.choose(candidates(), 4) - 100
    assert {7, 45} <= {*chosen} and not {7, 45} & {*middles}
    assert {*chosen} - {7, 45} == {*middles[2:]}


def test_as_many_as_asked_for_where_images_look_the_same():
    points = np.zeros((9, 3))
    points[4] = 1
    chosen = choosing.choose(choosing.Candidates(np.arange(9), points, None), 5)
    assert len({*chosen}) == 5 and 4 in chosen


def test_more_than_there_are_is_refused():
    with pytest.raises(UserError, match="--count=61 is more than the 60 images"):
        choosing.choose(candidates(), 61)
    assert choosing.choose(candidates(), 60).tolist() == list(range(100, 160))


@pytest.fixture
def source(tmp_path):
    """Images of three shades, twice each, and a file that is none."""
    for number, shade in enumerate((10, 120, 250)):
        for copy in "ab":
            Image.new("RGB", (20, 12), (shade,) * 3).save(tmp_path / f"{number}{copy}.png")
    (tmp_path / "z.png").write_bytes(b"\x89PNG no more")
    return sources.open_source(str(tmp_path))


class Model:
    """Finds two landmarks, the second always half as sure; in dark images neither is."""

    yields = "landmarks"

    def predict(self, images):
        from tf_landmarks.inference.exported import Prediction

        dark = np.array([image.mean() < 100 for image in images])
        confidence = np.where(dark, 0.5, 1.0)[:, np.newaxis] * [0.8, 0.4]
        return Prediction(np.full((len(images), 2, 2), 5.0), confidence)


def test_copies_and_what_is_known_are_no_candidates(source):
    seen = choosing.look(source, None, 100)
    assert seen.indices.tolist() == [0, 2, 4]
    assert (seen.num_unreadable, seen.num_left_out) == (1, 3) and seen.surety is None
    assert seen.descriptions.shape == (3, 256)
    np.testing.assert_allclose(seen.descriptions[:, 0], np.array([10, 120, 250]) / 255, atol=1e-6)
    known = [fingerprints.fingerprint(source.read(index)) for index in (3, 4)]
    assert choosing.look(source, None, 100, known).indices.tolist() == [0]
    known.append(fingerprints.fingerprint(source.read(0)))
    with pytest.raises(UserError, match="1 could not be read and 6 are known already"):
        choosing.look(source, None, 100, known)


def test_surety_is_measured_by_what_is_usual_for_each_landmark(source):
    seen = choosing.look(source, Model(), 100)
    np.testing.assert_allclose(seen.surety, [0.5, 1, 1])
    weighed = 5 / 20 * np.array([0.8, 0.8, 0.4, 0.4])
    np.testing.assert_allclose(seen.descriptions[1], weighed)
    np.testing.assert_allclose(seen.descriptions[0], weighed / 2)


def test_only_what_boxes_cut_out_is_looked_at(source):
    boxes = [Box(0, 0, 10, 12) if index % 2 else Box(10, 0, 10, 12) for index in range(7)]
    seen = []

    class Watching(Model):
        def predict(self, images):
            seen.extend(image.shape for image in images)
            return super().predict(images)

    choosing.look(source, Watching(), 100, boxes=boxes)
    assert seen == 3 * [(12, 10, 3)]


def test_few_candidates_are_spread_over_the_whole(source):
    assert choosing.look(source, None, 3).indices.tolist() == [0, 3]  # and the broken one
