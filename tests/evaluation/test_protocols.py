import numpy as np
import pytest

from tf_landmarks.evaluation import protocols, regression


@pytest.mark.core
def test_the_published_forms_have_no_bias_and_no_ridge():
    assert set(protocols.PROTOCOLS) == {"linear", "imm", "lmdis", "fse", "fse_gradient", "c3"}
    for name in ("imm", "lmdis", "fse", "fse_gradient", "c3"):
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
    there = protocols.to_protocol(points, 80, protocol)
    np.testing.assert_allclose(there, [expected], atol=1e-15)
    np.testing.assert_allclose(protocols.from_protocol(there, 80, protocol), points, atol=1e-12)
    np.testing.assert_array_equal(protocols.features(points, 80, protocol), there.reshape(1, 4))


def regress(name, landmarks, annotated, **changes):
    protocol = protocols.resolve(name, **changes)
    x = protocols.features(landmarks, 128, protocol)
    y = protocols.to_protocol(annotated, 128, protocol)
    fit = regression.fit_linear(x, y, bias=protocol.bias, ridge=protocol.ridge)
    return protocols.from_protocol(fit.predict(x), 128, protocol)


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
