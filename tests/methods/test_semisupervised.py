"""Learning from a few labels and unlabelled images: what each term asks for, and who moves."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.augment.test_with_labels import STRONG, labelled_blobs
from tf_landmarks.augment import annotated, color, mirror, tps, with_labels
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import supervised_networks
from tf_landmarks.layers import soft_argmax
from tf_landmarks.losses import annotated_points
from tf_landmarks.methods import ModelSpec, semisupervised
from tf_landmarks.methods.semisupervised import BLOB_STD, Semisupervised, SemisupervisedOptions

pytestmark = pytest.mark.graph
# What shapes tell has a test of its own.
OPTIONS = SemisupervisedOptions(
    labels="blobs", names="red,green,blue", brightness=0.0, shape_weight=0.0
)
MIRRORED = {"mirror": "horizontal", "flip_pairs": "red:green"}


def make(known=None, **options) -> Semisupervised:
    tf.keras.utils.set_random_seed(0)
    known = known or labelled_blobs(4)
    own = dataclasses.replace(OPTIONS, **options)
    model = Semisupervised(ModelSpec(64, 3), own, {"labels": known})
    model.build_variables()
    return model


def batch_of(model: Semisupervised, seed: int = 0, size: int = 4) -> dict[str, tf.Tensor]:
    images = tf.constant(labelled_blobs(size, seed=7).images / np.float32(255))[:, np.newaxis]
    return model.stages[0].augmentation(images, tf.constant([seed, 0]), Geometry(64))


def test_the_agreement_is_the_distance_to_where_the_warp_moves_what_the_teacher_says():
    model = make(warp=STRONG)
    model.start_stage(model.stages[0], 10)
    batch = batch_of(model)
    # As a trained network, the teacher says different things of different images, some at the border.
    model.teacher.scores.kernel.assign(
        30.0 * tf.random.normal([32, 3], seed=1)[tf.newaxis, tf.newaxis]
    )
    said = soft_argmax.joint_soft_argmax(model.teacher(batch["images"], training=True))
    warp = tps.Warp(tps.control_grid(with_labels.CONTROL_SIDE), batch["warp"], "shifted")
    goals = annotated.moved_points(warp, said.landmarks).numpy()
    goals[np.abs(goals).max(-1) > 1] = np.nan
    both = tf.concat([batch["labelled"], batch["warped"]], 0)
    logits = model.network(both, training=True)[4:]
    weights = soft_argmax.confidence(said)
    expected = annotated_points.heatmap_loss(logits, goals, BLOB_STD, 0.1, weights=weights)
    losses = model.compute_losses(batch, training=True)
    np.testing.assert_allclose(losses.terms["agreement"], expected, rtol=1e-4)
    np.testing.assert_allclose(losses.terms["confidence"], np.mean(weights), rtol=1e-4)
    assert float(expected) > 1e-3


def test_in_the_mirror_the_agreement_is_with_what_the_teacher_says_of_the_image_as_it_is():
    plain, mirrored = (make(warp=STRONG, **options) for options in ({}, MIRRORED))
    for model in (plain, mirrored):
        model.start_stage(model.stages[0], 10)
        model.teacher.scores.kernel.assign(
            30.0 * tf.random.stateless_normal([32, 3], [3, 4])[tf.newaxis, tf.newaxis]
        )
    batch = batch_of(mirrored, size=8)
    which = batch["mirrored"].numpy()
    assert 0 < which.sum() < 8
    seen = {}

    def network(images, training, guests):
        seen["warped"] = images[8:]
        return tf.random.stateless_normal([16, 32, 32, 3], [1, 2])

    for model in (plain, mirrored):
        model.network.call = network
    found = {}
    for name, model in (("plain", plain), ("mirrored", mirrored)):
        model._distance = lambda logits, points, weights=None, name=name: (
            found.__setitem__(name, (points, weights)) or tf.reduce_mean(logits)
        )
        model.compute_losses(batch, training=True)
        found[name] += (seen["warped"],)
    (goals, sure, shown), (goals_then, sure_then, shown_then) = (
        [np.array(x) for x in found[name]] for name in ("plain", "mirrored")
    )
    np.testing.assert_array_equal(shown_then[~which], shown[~which])
    np.testing.assert_array_equal(shown_then[which], shown[which][:, :, ::-1])
    np.testing.assert_allclose(goals_then[~which], goals[~which], atol=1e-5)
    np.testing.assert_allclose(goals_then[which], (goals * [1, -1])[which][:, [1, 0, 2]], atol=1e-5)
    np.testing.assert_allclose(sure_then[which], sure[which][:, [1, 0, 2]], atol=1e-5)


@pytest.mark.parametrize(("done", "share"), [(0, 0.0), (25, 0.0), (50, 0.5), (75, 1.0), (99, 1.0)])
def test_the_agreement_is_ramped_in_over_the_middle_half(done, share):
    model = make(agreement=2.0)
    model.start_stage(model.stages[0], 100)
    model.steps_done.assign(done)
    losses = model.compute_losses(batch_of(model), training=False)
    terms = {name: float(value) for name, value in losses.terms.items()}
    expected = terms["labelled"] + 2.0 * share * terms["agreement"]
    np.testing.assert_allclose(losses.totals["model"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("done", "share", "options"),
    [(0, 1.0, {}), (40, 1.0, {}), (60, 0.5, MIRRORED), (80, 0.0, {}), (99, 0.0, {})],
)
def test_the_guide_teaches_at_first_as_far_as_it_agrees_with_itself(done, share, options):
    found = tf.random.stateless_uniform([4, 3, 2], [3, 4], -0.8, 0.8)
    again = found + tf.random.stateless_normal([4, 3, 2], [5, 6], 0.0, 0.05)
    unknown = tf.constant([1.0, 1.0, np.nan])[:, tf.newaxis]  # it knows nothing of one landmark
    batch = {}

    def guide(images):
        is_warped = tf.reduce_all(tf.equal(images, batch["warped"]))
        warp = tps.Warp(tps.control_grid(with_labels.CONTROL_SIDE), batch["warp"], "shifted")
        return unknown * tf.where(is_warped, annotated.moved_points(warp, again), found)

    model = make(warp=STRONG, guide_weight=3.0, guide_tolerance=0.2, **options)
    model._guide = guide
    model.start_stage(model.stages[0], 100)
    model.steps_done.assign(done)
    batch.update(batch_of(model))
    warp = tps.Warp(tps.control_grid(with_labels.CONTROL_SIDE), batch["warp"], "shifted")
    goals, others = (np.array(unknown * annotated.moved_points(warp, p)) for p in (found, again))
    goals[(np.abs(goals) > 1).any(-1)] = np.nan
    trust = np.exp(-np.square(goals - others).sum(-1) / 0.2**2)
    which = batch["mirrored"].numpy()
    assert which.any() == bool(options)
    warped = batch["warped"].numpy()
    warped[which] = warped[which][:, :, ::-1]
    goals[which] = (goals * [1, -1])[which][:, [1, 0, 2]]
    trust[which] = trust[which][:, [1, 0, 2]]
    both = tf.concat([batch["labelled"], warped], 0)
    logits = model.network(both, training=True)[4:]
    expected = float(annotated_points.heatmap_loss(logits, goals, BLOB_STD, 0.1, weights=trust))
    losses = model.compute_losses(batch, training=True)
    terms = {name: float(value) for name, value in losses.terms.items()}
    # Once it is silent, nobody asks it.
    assert terms["guided"] == pytest.approx(expected * (share > 0), rel=1e-4)
    ramp = np.clip((done / 100 - 0.25) / 0.5, 0, 1)
    total = terms["labelled"] + ramp * terms["agreement"] + 3.0 * share * terms["guided"]
    assert float(losses.totals["model"]) == pytest.approx(total, rel=1e-5)
    assert expected > 0.1 and np.nanmin(trust) < 0.9


def test_a_guide_that_points_elsewhere_in_a_warped_image_is_not_believed():
    model = make(warp=STRONG, guide_tolerance=1e-3)
    model._guide = lambda images: tf.fill([4, 3, 2], tf.reduce_mean(images))
    model.start_stage(model.stages[0], 100)
    assert float(model.compute_losses(batch_of(model), training=True).terms["guided"]) < 1e-3


def test_the_teacher_is_believed_as_far_as_its_landmarks_are_where_the_others_expect_them():
    own = {"warp": STRONG, "shape_tolerance": 0.2, "shape_trust": 0.3}
    plain, model = (make(shape_weight=weight, **own) for weight in (0.0, 0.7))
    assert (model.shapes.tolerance, model.shapes.weight) == (0.2, 0.7)
    shapes = tf.random.stateless_normal([50, 3, 2], [1, 2], 0.0, 0.05)
    model.shapes.momentum = 0.0
    model.shapes.observe(shapes, tf.ones([50, 3]))
    model.shapes.momentum = 1.0
    for each in (plain, model):
        each.start_stage(each.stages[0], 10)
        each.teacher.scores.kernel.assign(
            30.0 * tf.random.stateless_normal([32, 3], [3, 4])[tf.newaxis, tf.newaxis]
        )
    batch = batch_of(model)
    found = soft_argmax.joint_soft_argmax(model.teacher(batch["images"], training=True))
    apart = np.array(model.shapes.refine(found).landmarks - found.landmarks)
    belief = np.exp(-np.square(apart).sum(-1) / (2 * 0.3**2))
    assert belief.min() < 0.8
    seen = []
    for each in (plain, model):
        each._distance = lambda logits, points, weights=None: (
            seen.append(weights) or tf.reduce_mean(logits)
        )
        each.compute_losses(batch, training=True)
    np.testing.assert_allclose(seen[3], seen[1] * belief, rtol=1e-3)


def test_shapes_are_learned_in_training_alone_and_refine_what_is_found():
    model = make(shape_weight=0.5)
    model.start_stage(model.stages[0], 10)
    batch = batch_of(model)
    before = model.shapes.firsts.numpy()
    model.compute_losses(batch, training=False)
    np.testing.assert_array_equal(model.shapes.firsts, before)
    model.compute_losses(batch, training=True)
    said = soft_argmax.joint_soft_argmax(model.teacher(batch["images"], training=True))
    weights = np.repeat(np.square(soft_argmax.confidence(said)), 2, axis=1)
    shapes = weights * np.reshape(said.landmarks, [4, 6])
    np.testing.assert_allclose(model.shapes.firsts, 0.02 * shapes.T @ weights / 4, rtol=1e-3, atol=1e-7)  # fmt: skip
    found = soft_argmax.joint_soft_argmax(model.network(batch["images"]))
    answer, refined = model.represent(batch["images"]), model.shapes.refine(found)
    np.testing.assert_array_equal(answer.points, refined.landmarks)
    np.testing.assert_array_equal(answer.heatmaps, refined.heatmaps)
    own, narrowed = (np.array(soft_argmax.confidence(each)) for each in (found, refined))
    np.testing.assert_allclose(answer.confidence, own.max(1, keepdims=True) * narrowed, rtol=1e-5)
    assert not hasattr(make(agreement=0.0, shape_weight=0.5), "teacher")
    assert make(agreement=0.0, shape_weight=0.5).shapes is None


def test_where_the_network_sees_nothing_it_is_not_sure_whatever_shapes_say():
    model = make(shape_weight=0.5)
    shapes = tf.random.stateless_normal([50, 3, 2], [1, 2], 0.0, 0.05)
    model.shapes.momentum = 0.0
    model.shapes.observe(shapes, tf.ones([50, 3]))
    model.network.scores.kernel.assign(tf.zeros([1, 1, 32, 3]))  # all its maps are flat
    images = tf.zeros([2, 64, 64, 3])
    assert model.represent(images).confidence.numpy().max() < 0.05
    refined = model.shapes.refine(soft_argmax.joint_soft_argmax(model.network(images)))
    assert soft_argmax.confidence(refined).numpy().min() > 0.5


def test_a_teacher_that_diverges_is_said_not_to_be_finite_and_teaches_no_shapes():
    model = make(shape_weight=0.5)
    model.start_stage(model.stages[0], 10)
    model.teacher.scores.kernel.assign(np.nan * np.ones([1, 1, 32, 3]))
    losses = model.compute_losses(batch_of(model), training=True)
    assert not np.isfinite(losses.terms["confidence"])
    assert np.isfinite(model.shapes.covariance).all()


def test_no_gradient_reaches_the_teacher_and_the_agreement_moves_the_network():
    model = make(ramp_start=-1.0, ramp_end=-0.5)
    model.start_stage(model.stages[0], 10)
    batch = batch_of(model)
    with tf.GradientTape() as tape:
        term = model.compute_losses(batch, training=True).terms["agreement"]
    ours, theirs = model.network.trainable_variables, model.teacher.trainable_variables
    gradients = tape.gradient(term, [*ours, *theirs])
    assert any(np.abs(g).max() > 0 for g in gradients[: len(ours)])
    assert all(g is None for g in gradients[len(ours) :])
    assert model.trained_variables == ours


def test_the_teacher_is_the_network_at_first_and_its_moving_average_later():
    model = make(teacher_momentum=0.9)
    ours, theirs = (layer.trainable_variables[0] for layer in (model.teacher, model.network))
    model.after_step()
    np.testing.assert_array_equal(ours, theirs)
    before = ours.numpy()
    theirs.assign_add(tf.ones_like(theirs))
    model.steps_done.assign(1)
    model.after_step()  # after two steps: the mean of both
    np.testing.assert_allclose(ours.numpy() - before, 0.5, rtol=1e-5)
    model.steps_done.assign(1000)
    theirs.assign_add(10.0 * tf.ones_like(theirs))
    model.after_step()
    np.testing.assert_allclose(ours.numpy() - before, 0.5 + 0.1 * 10.5, rtol=1e-4)


def test_without_the_agreement_there_is_no_teacher():
    model = make(agreement=0.0)
    assert not hasattr(model, "teacher") and not model.loss_variables
    batch = batch_of(model)
    assert "warped" not in batch
    assert list(model.compute_losses(batch, training=True).terms) == ["labelled"]


def test_some_labels_are_those_that_few_labels_draws():
    from tf_landmarks.data import labelled

    labels = labelled_blobs(9)
    rows = np.sort(labelled.draw_rows(9, 3, 0, 5))
    found = make(labels, num_labels=3, draw_seed=5).stages[0].augmentation.labels
    np.testing.assert_array_equal(found.points, labels.points[rows])


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"labels": ""}, "--semisupervised_labels names no folder"),
        ({"names": "red,green"}, "names 2 landmarks and --num_landmarks=3"),
        ({"names": "red,blue,green"}, "the landmarks of blobs are red,green,blue"),
        ({"num_labels": 5}, "blobs has 4 labelled images"),
        ({"shape_tolerance": 0.01}, "--semisupervised_shape_tolerance=0.01 must be 0.02 or more"),
        ({"shape_trust": -1.0}, "--semisupervised_shape_trust=-1.0 must be"),
        ({"shape_weight": -0.5}, "--semisupervised_shape_weight=-0.5 must be 0.0 or more"),
    ],
)
def test_what_does_not_fit_is_refused(options, what):
    with pytest.raises(UserError, match=what):
        make(**options)


def test_a_guide_is_refused_without_unlabelled_images():
    options = dataclasses.replace(OPTIONS, agreement=0.0, guide="runs/x")
    with pytest.raises(UserError, match="takes none: leave one out"):
        Semisupervised.check(ModelSpec(64, 3), options)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"flip_pairs": "red:green"}, "--semisupervised_flip_pairs=red:green change places in a mirror"),
        ({"flip_pairs": "red:grey", "mirror": "vertical"}, "--semisupervised_flip_pairs: 'red:grey' must be"),
    ],
)  # fmt: skip
def test_a_mirror_and_its_pairs_go_together(options, what):
    spec, own = ModelSpec(64, 3), dataclasses.replace(OPTIONS, **options)
    with pytest.raises(UserError, match=what):
        Semisupervised.check(spec, own)


def test_images_change_as_the_options_say():
    own = (
        make(brightness=0.1, contrast=0.4, light=0.2, color_share=0.3, **MIRRORED)
        .stages[0]
        .augmentation
    )
    assert own.color == color.Strength(0.1, 0.4, 0.2, 0.3)
    assert own.mirror == mirror.Mirror("horizontal", (1, 0, 2))
    plain = supervised_networks.UNet.recipe  # the rival's, of the same defaults
    assert plain.color == color.Strength(0.2, 0.3, 0.15, 0.5) and plain.mirrored


def test_names_are_those_of_the_labels():
    assert make().names == ("red", "green", "blue")
    assert semisupervised.Semisupervised.learns_from_labels
