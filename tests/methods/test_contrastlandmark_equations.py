"""ContrastLandmark against its paper: the contrast and what follows it, the projection, the optimizers."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.layers import resnet
from tf_landmarks.methods import base, contrastlandmark
from tf_landmarks.training import checkpoints

pytestmark = pytest.mark.core
EAGER = True

SIZE = 32
TINY = resnet.Architecture((1, 1, 1, 1), (4, 4, 8, 8), bottleneck=False, stem=4, pool=False)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(resnet.ARCHITECTURES, "small", TINY)


def make_model(size: int = SIZE, **options) -> contrastlandmark.Contrastlandmark:
    tf.keras.utils.set_random_seed(0)
    options = {"encoder": "small", "queue_size": 8, "bn_groups": 2, "embedding_dim": 6, **options}
    model = contrastlandmark.Contrastlandmark(
        base.ModelSpec(size, 1), contrastlandmark.ContrastlandmarkOptions(**options)
    )
    model.build_variables()
    return model


def projecting(**options) -> contrastlandmark.Contrastlandmark:
    return make_model(projection_dim=5, projection_steps=10, **options)


def views(seed: int = 0) -> dict[str, tf.Tensor]:
    draw = np.random.default_rng(seed).random((2, 4, 4, 4, 3), np.float32)
    return {f"view{i + 1}": tf.image.resize(v, [SIZE, SIZE]) for i, v in enumerate(draw)}


def images() -> dict[str, tf.Tensor]:
    return {"images": views(7)["view1"]}


# --- Contrast ---------------------------------------------------------------------------------


def test_the_loss_is_that_of_the_queue_before_the_keys_of_its_own_step():
    model, batch = make_model(), views()
    queue = model.keys.queue.numpy()
    seed = tf.constant([0, 0], tf.int64)
    key = model.keys(model._standardize(batch["view2"]), seed, training=True)[0].numpy()
    query = model.embedding(model._encode(batch["view1"], training=True)["conv5_x"]).numpy()
    positive = np.sum(query * key, axis=-1, keepdims=True)

    def of_queue(rows: np.ndarray) -> float:
        logits = np.concatenate([positive, query @ rows.T], axis=-1) / 0.07
        return float(np.mean(np.log(np.exp(logits).sum(-1)) - logits[:, 0]))

    losses = model.contrast(batch, training=True)
    assert float(losses.totals["encoder"]) == pytest.approx(of_queue(queue), rel=1e-4)
    assert float(losses.terms["positive"]) == pytest.approx(positive.mean(), abs=1e-5)
    beaten = positive[:, 0] > (query @ queue.T).max(axis=-1)
    assert float(losses.terms["top1"]) == beaten.mean()
    np.testing.assert_allclose(model.keys.queue[:4], key, atol=1e-5)
    np.testing.assert_array_equal(model.keys.queue[4:], queue[4:])
    assert abs(of_queue(model.keys.queue.numpy()) - of_queue(queue)) > 0.01


def test_held_out_images_do_not_enter_the_queue_and_move_no_statistics():
    model = make_model()
    before = [v.numpy() for v in model.variables]
    model.contrast(views(), training=False)
    for value, old in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(value, old, err_msg=value.name)


def test_the_key_encoder_starts_as_the_other_and_no_gradient_reaches_it():
    model = make_model()
    pairs = list(zip(model._encoder_variables(), model.keys.trainable_variables, strict=True))
    for own, copy in pairs:
        np.testing.assert_array_equal(own, copy)
    norm = model.keys.encoder.stem_norm
    mean = norm.moving_mean.numpy()
    with tf.GradientTape() as tape:
        total = model.contrast(views(), training=True).totals["encoder"]
    copies, own = [copy for _, copy in pairs], [own for own, _ in pairs]
    gradients = tape.gradient(total, [*copies, *own])
    assert gradients[: len(copies)] == [None] * len(copies)
    assert all(np.abs(g).max() > 0 for g in gradients[len(copies) :] if g.shape.rank > 1)
    assert np.abs(norm.moving_mean - mean).max() > 1e-4
    model.start_stage(model.stages[0], 10)
    assert {id(v) for v in model.trained_variables} == {id(v) for v in own}


def test_the_key_encoder_follows_after_the_step():
    model = make_model(momentum=0.0)
    before = model.encoder.stem.kernel.numpy()
    model.start_stage(model.stages[0], 800)
    model.train_step(views())
    assert np.abs(model.encoder.stem.kernel - before).max() > 1e-5
    for own, copy in zip(model._encoder_variables(), model.keys.trainable_variables, strict=True):
        np.testing.assert_array_equal(own, copy)
    statistics = [e.stem_norm.moving_mean for e in (model.encoder, model.keys.encoder)]
    assert np.abs(statistics[0] - statistics[1]).max() > 1e-4  # of other views


def test_l2_of_every_weight_is_added_before_momentum(monkeypatch):
    model = make_model()
    nothing = base.Losses({"encoder": tf.zeros([])}, {"info_nce": tf.zeros([])})
    monkeypatch.setattr(
        contrastlandmark.Contrastlandmark, "contrast", lambda self, batch, training: nothing
    )
    weights = model._encoder_variables()
    assert {v.name.split("/")[-1] for v in weights} == {"kernel:0", "gamma:0", "beta:0", "bias:0"}
    model.start_stage(model.stages[0], 800)
    for weight in weights:
        weight.assign(tf.ones_like(weight))
    first = 1.0 - 0.03 * 1e-4
    for expected in (first, first - 0.03 * 1e-4 * (0.9 + first)):
        model.train_step({})
        for weight in weights:
            # Of 3e-6, and 6e-8 is a unit in the last place.
            np.testing.assert_allclose(weight, expected, rtol=0, atol=1.3e-7)


def test_defaults_are_the_papers():
    o = contrastlandmark.ContrastlandmarkOptions()
    assert (o.encoder, o.embedding_dim, o.queue_size, o.temperature) == (
        "resnet50",
        128,
        4096,
        0.07,
    )
    assert (o.momentum, o.bn_groups, o.learning_rate, o.l2) == (0.999, 4, 0.03, 1e-4)
    assert (o.projection, o.projection_scale, o.projection_temperature) == ("softmax", 7.0, 1 / 7)
    assert (o.projection_learning_rate, o.projection_l2, o.crop_least) == (1e-3, 5e-4, 0.2)


def test_the_optimizers_are_the_papers():
    model = projecting(steps_per_epoch=573)
    ((encoder,), (projector,)) = (stage.players for stage in model.stages)
    sgd, adam = (player.optimizer(0.5) for player in (encoder, projector))
    assert (type(sgd), sgd.momentum, sgd.nesterov) == (tf.keras.optimizers.SGD, 0.9, False)
    assert (adam.beta_1, adam.beta_2, adam.epsilon, adam.amsgrad) == (0.5, 0.999, 1e-8, False)
    assert sgd.weight_decay is None and adam.weight_decay is None  # that would be another one
    assert (encoder.l2, projector.l2) == (1e-4, 5e-4)
    rate = encoder.schedule(800 * 573)
    assert [float(rate(s)) for s in (0, 572)] == pytest.approx([0.02999988] * 2, rel=1e-6)
    assert float(rate(800 * 573 - 1)) == 0.0
    rate = projector.schedule(10)
    assert float(rate(9)) == pytest.approx(1e-3 * 8e-4)
    assert float(rate(4)) == pytest.approx((1e-3 + 8e-7) / 2)


@pytest.mark.parametrize(
    ("colors", "mean", "spread"),
    [
        ("faces", (0.5084, 0.4224, 0.3769), (0.2599, 0.2371, 0.2323)),
        ("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ],
)
def test_images_are_standardised_inside_the_encoders(colors, mean, spread, monkeypatch):
    model = make_model(colors=colors)
    seen = []
    for network in (model.encoder, model.keys.encoder):
        call = network.call
        monkeypatch.setattr(
            network, "call", lambda x, training, call=call: seen.append(x) or call(x, training)
        )
    batch = views()
    model.contrast(batch, training=False)
    for name, found in zip(("view1", "view2"), seen, strict=True):
        np.testing.assert_allclose(found * spread + mean, batch[name], atol=1e-5)


def test_a_resumed_epoch_makes_the_same_next_step(tmp_path):
    # A rate that falls every third step, in whose middle the run is taken up again.
    def started() -> contrastlandmark.Contrastlandmark:
        model = make_model(steps_per_epoch=3, queue_size=10)
        model.start_stage(model.stages[0], 9)
        return model

    whole = started()
    for seed in range(4):
        whole.train_step(views(seed))
    saved = checkpoints.Checkpoints(str(tmp_path), whole)
    saved.save()
    whole.train_step(views(4))
    resumed = make_model(steps_per_epoch=3, queue_size=10)
    again = checkpoints.Checkpoints(str(tmp_path), resumed)
    again.restore(lambda number: resumed.start_stage(resumed.stages[number], 9))
    assert int(resumed.keys.pointer) == 16 % 10
    resumed.train_step(views(4))
    for model in (whole, resumed):
        assert int(model.keys.pointer) == 20 % 10
    for one, two in (
        (whole.variables, resumed.variables),
        (whole.optimizer.variables, resumed.optimizer.variables),
    ):
        for value, other in zip(one, two, strict=True):
            np.testing.assert_array_equal(value, other, err_msg=value.name)
    kernels = [v.numpy() for v in whole.optimizer.variables if v.shape.rank == 4]
    assert kernels and all(np.abs(v).max() > 0 for v in kernels)  # of the momentum


# --- Projection -------------------------------------------------------------------------------


def by_hand(model, levels, side: int, kind: str) -> np.ndarray:
    """Projects the hypercolumn itself, conv5_x first: `[B, side^2, D]`."""
    column = tf.concat(
        [tf.image.resize(levels[name], [side, side]) for name in resnet.LEVELS[::-1]], axis=-1
    )
    kernel = np.concatenate([layer.kernel.numpy()[0, 0] for layer in model.projector])
    assert kernel.shape == (24, 5)
    scores = np.float64(column).reshape(-1, side**2, 24) @ kernel + model.projector[0].bias.numpy()
    if kind == "softmax":
        scores = np.exp(7.0 * scores)
        scores /= scores.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(scores.sum(axis=1), 1)
    # Places that no channel chooses have no unit vector: lengths below 1e-12 count as that.
    return scores / np.maximum(np.linalg.norm(scores, axis=-1, keepdims=True), 1e-12)


@pytest.mark.parametrize("kind", ["softmax", "linear"])
def test_the_projection_is_of_the_hypercolumn_and_its_loss_in_pixels(kind):
    model, batch = projecting(projection=kind), images()
    levels = model.represent(batch["images"]).levels
    unit = by_hand(model, levels, 8, kind)
    places = 4.0 * np.stack(np.meshgrid(*[np.arange(8)] * 2, indexing="ij"), -1).reshape(-1, 2)
    roots = np.sqrt(np.linalg.norm(places[:, np.newaxis] - places, axis=-1))
    likely = np.exp(7.0 * unit @ unit.transpose(0, 2, 1))
    likely /= likely.sum(axis=-1, keepdims=True)
    expected = np.mean(np.sum(roots * likely, axis=-1))
    losses = model.project(batch, training=True)
    assert float(losses.totals["projector"]) == pytest.approx(expected, rel=1e-4)
    yielded = levels["projected"]
    assert yielded.shape == (4, 16, 16, 5) and next(iter(levels)) == "projected"
    np.testing.assert_allclose(
        yielded, by_hand(model, levels, 16, kind).reshape(yielded.shape), atol=1e-4
    )
    assert roots.mean() - expected > 1e-3  # of descriptors that say nothing


def test_what_a_channel_has_in_all_places_does_not_matter_to_a_softmax():
    model, batch = projecting(), images()
    before = model.project(batch, training=False).totals["projector"]
    model.projector[0].bias.assign_add([3.0, -2.0, 0.0, 1.0, 5.0])
    after = model.project(batch, training=False).totals["projector"]
    assert float(before) == pytest.approx(float(after), rel=1e-5)


def test_the_length_of_linear_descriptors_does_not_matter():
    model, batch = projecting(projection="linear"), images()
    before = model.project(batch, training=False).totals["projector"]
    for layer in model.projector:
        for weight in layer.weights:
            weight.assign(5.0 * weight)
    after = model.project(batch, training=False).totals["projector"]
    assert float(before) == pytest.approx(float(after), rel=1e-5)


def test_the_second_stage_trains_the_projection_alone():
    model = projecting()
    model.start_stage(model.stages[1], 10)
    weights = [v for layer in model.projector for v in layer.weights]
    assert len(weights) == 5  # four kernels and a bias
    assert {id(v) for v in model.trained_variables} == {id(v) for v in weights}
    layers = [model.encoder, model.embedding, model.keys]
    before = [v.numpy() for layer in layers for v in layer.variables]
    kernels = [v.numpy() for v in weights]
    model.train_step(images())
    for value, old in zip([v for layer in layers for v in layer.variables], before, strict=True):
        np.testing.assert_array_equal(value, old, err_msg=value.name)
    moved = [np.abs(v - old).max() for v, old in zip(weights, kernels, strict=True)]
    # Adam's first step is its rate; the bias has no gradient but its own decay, from where it started.
    rate = float(model.stages[1].players[0].schedule(10)(0))
    np.testing.assert_allclose(moved, rate, rtol=0.02)
    bounds = [np.abs(v).max() for v in kernels if v.ndim == 4]
    assert min(bounds) > 0.5 * 24**-0.5 and max(bounds) <= 24**-0.5


# --- Both -------------------------------------------------------------------------------------


def test_similarities_are_float32_under_mixed_precision():
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model, batch = projecting(), views()
        levels = model._encode(batch["view1"], training=True)
        assert levels["conv5_x"].dtype == tf.bfloat16
        query = model.embedding(levels["conv5_x"])
        key, _ = model.keys(batch["view2"], tf.constant([0, 0], tf.int64), training=True)
        projected = model.represent(batch["view1"]).levels["projected"]
        for unit in (query, key, projected):
            assert unit.dtype == tf.float32
            np.testing.assert_allclose(np.linalg.norm(unit, axis=-1), 1, atol=1e-5)
        assert model.keys.queue.dtype == tf.float32
        contrast = model.contrast(batch, training=True).terms
        distance = model.project(images(), training=True).terms["distance"]
        for value in (contrast["info_nce"], contrast["positive"], distance):
            assert value.dtype == tf.float32
            # No number of bfloat16: products and softmax were float32 too.
            assert float(value) != float(tf.cast(value, tf.bfloat16))
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
