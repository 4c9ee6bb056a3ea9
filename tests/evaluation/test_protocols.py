import numpy as np
import pytest

from tf_landmarks.evaluation import protocol_kinds, protocols


@pytest.mark.core
def test_the_published_forms_have_no_bias_and_no_ridge():
    ours, papers = (
        {"linear", "barycentric", "nearer"},
        {"imm", "lmdis", "fse", "fse_gradient", "c3"},
    )
    assert set(protocols.PROTOCOLS) == ours | papers
    for name in papers:
        assert (protocols.PROTOCOLS[name].bias, protocols.PROTOCOLS[name].ridge) == (False, 0)
    linear = protocols.PROTOCOLS["linear"]
    assert (linear.bias, linear.ridge, linear.origin) == (True, "auto", "centre")
    assert "bias not stated in the paper" in protocols.PROTOCOLS["c3"].description
    assert all(name == protocol.name for name, protocol in protocols.PROTOCOLS.items())


@pytest.mark.core
def test_resolve_overrides_only_what_is_given():
    assert protocols.resolve("imm") is not None
    changed = protocols.resolve("imm", bias=True)
    assert (changed.bias, changed.ridge, changed.origin) == (True, 0, "top_left")
    assert protocols.resolve("linear", bias=False, ridge=0.0).ridge == 0  # 0 is not "not given".
    assert protocols.resolve("linear", bias=False).bias is False
    assert protocols.PROTOCOLS["imm"].bias is False


@pytest.mark.core
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("imn",), "protocol='imn' is unknown.*linear, imm, lmdis, fse, fse_gradient, c3"),
        (("imm", None, None, "middle"), "origin='middle'.*centre or top_left"),
        (("imm", None, "cv"), "ridge='cv' must be 'auto' or a number"),
        (("imm", None, -1.0), "ridge=-1.0"),
    ],
)
def test_an_unknown_choice_lists_the_known(arguments, message):
    with pytest.raises(ValueError, match=message):
        protocols.resolve(*arguments)


@pytest.mark.core
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Frame of 80: its centre is pixel 39.5, its outer edges are -0.5 and 79.5.
        ("linear", [[-39.5, 0], [40, -40]]),
        ("imm", [[0, 39.5], [79.5, -0.5]]),
        ("c3", [[0, 39.5], [79.5, -0.5]]),
        ("lmdis", [[-39.5 / 80, 0], [0.5, -0.5]]),  # (p + 0.5) / 80 - 0.5
        ("fse", [[-79 / 80, 0], [1, -1]]),  # t = (2 i + 1) / n - 1
    ],
)
def test_coordinates_of_each_protocol(name, expected):
    points = np.array([[[0, 39.5], [79.5, -0.5]]])
    protocol = protocols.PROTOCOLS[name]
    there = protocol.to_coordinates(points, 80)
    np.testing.assert_allclose(there, [expected], atol=1e-15)
    np.testing.assert_allclose(protocol.to_pixels(there, 80), points, atol=1e-12)
    np.testing.assert_array_equal(protocol.features(points, 80), there.reshape(1, 4))


def regress(name, landmarks, annotated, **changes):
    protocol = protocols.resolve(name, **changes)
    return protocol.fit(protocol_kinds.Examples(landmarks, annotated, 128)).predict(landmarks)


@pytest.mark.core
def test_a_parked_landmark_is_a_bias_only_when_counted_from_the_corner():
    rng = np.random.default_rng(0)
    annotated = 100 + rng.normal(size=(30, 3, 2))
    parked = np.full((30, 1, 2), 63.5)  # The centre of the frame, in every image.
    mean = np.broadcast_to(annotated.mean(axis=0), annotated.shape)
    np.testing.assert_allclose(regress("imm", parked, annotated), mean)
    np.testing.assert_allclose(regress("lmdis", parked, annotated), 63.5)
    np.testing.assert_allclose(regress("imm", parked, annotated, origin="centre"), 63.5)
    np.testing.assert_allclose(regress("linear", parked, annotated), mean)


@pytest.mark.core
def test_the_unit_changes_no_prediction_and_with_a_bias_neither_does_the_origin():
    rng = np.random.default_rng(1)
    landmarks, annotated = rng.uniform(0, 127, (40, 4, 2)), rng.uniform(0, 127, (40, 3, 2))
    np.testing.assert_allclose(
        regress("lmdis", landmarks, annotated), regress("fse", landmarks, annotated)
    )
    corner = regress("linear", landmarks, annotated, origin="top_left")
    np.testing.assert_allclose(regress("linear", landmarks, annotated), corner)
    without = regress("lmdis", landmarks, annotated) - regress("imm", landmarks, annotated)
    assert np.abs(without).max() > 1


@pytest.mark.core
def test_pairs_make_a_protocol_that_takes_the_nearer_side():
    names = ["left", "right", "tail"]
    plain = protocols.PROTOCOLS["lmdis"]
    assert plain.with_flip_pairs("", names) is plain and plain.flip_words == ""
    paired = plain.with_flip_pairs("left:right", names)
    assert paired.flip_words == "left:right" and paired.facts() == plain.facts()
    truth = np.array([[[9.0, 1], [3, 1], [6, 8]], [[3, 1], [9, 1], [6, 8]]])  # front and back
    predicted = truth[[0, 0]]
    lone = np.array([[[9.0, 1], [np.nan, np.nan], [6, 8]]])
    assert np.isfinite(paired.errors(lone, truth[:1], np.full(1, 10.0), few=True)).sum() == 2
    assert plain.errors(predicted, truth, np.full(2, 10.0))[1].tolist() == [0.6, 0.6, 0]
    assert (paired.errors(predicted, truth, np.full(2, 10.0)) == 0).all()
    # Seen from one side alone; the plain mean puts left and right on one spot.
    np.testing.assert_array_equal(paired.mean_shape(truth), truth[0])
    np.testing.assert_array_equal(plain.mean_shape(truth)[0], plain.mean_shape(truth)[1])


@pytest.mark.core
def test_a_fit_by_gradient_knows_no_sides():
    with pytest.raises(ValueError, match="protocol fse_gradient is by gradient; take another"):
        protocols.PROTOCOLS["fse_gradient"].with_flip_pairs("a:b", ["a", "b"])


@pytest.mark.core
def test_a_fit_by_gradient_sees_warped_examples_only():
    random = np.random.default_rng(0)
    landmarks = random.uniform(0, 63, (60, 2, 2))
    asked = []

    def warped(count, seed):
        asked.append((count, seed))
        for _ in range(count):
            moved = landmarks + random.normal(0, 2, landmarks.shape)
            yield moved, moved[:, ::-1]  # the points are the landmarks, exchanged

    examples = protocol_kinds.Examples(np.full_like(landmarks, np.nan), landmarks, 64, warped)
    fitted = protocols.PROTOCOLS["fse_gradient"].fit(examples, seed=3)
    assert asked == [(protocol_kinds.GRADIENT_ROUNDS, 3)] and fitted.ridges == []
    np.testing.assert_allclose(fitted.predict(landmarks), landmarks[:, ::-1], atol=1.0)


@pytest.mark.core
def test_facts_are_the_row_and_how_it_is_fitted():
    facts = protocols.PROTOCOLS["fse_gradient"].facts()
    keys = ["name", "bias", "ridge", "origin", "extent", "description", "source", "fit"]
    assert list(facts) == keys and facts["fit"] == "gradient"
    assert protocols.resolve("imm", ridge="0.5").facts()["ridge"] == 0.5
