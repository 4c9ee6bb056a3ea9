import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.augment.augmentation import Augmentation
from tf_landmarks.data.samplers import SingleImages
from tf_landmarks.methods import base, schedules

pytestmark = pytest.mark.core


@dataclasses.dataclass(frozen=True)
class Numbers(Augmentation):
    """Batches hold the number 1 for each image."""

    sampler = SingleImages()

    def draw(self, seed, batch_size):
        return {}

    def apply(self, images, draws, geometry):
        return {"x": tf.ones([len(images)])}


class Line(base.LandmarkModel):
    """loss = 3 w x + v x with decay 5 * 1/2 w^2; `progress` of the loss is watched where given."""

    def __init__(self, schedule=lambda steps: 0.1, variables=None, watched=None):
        super().__init__(base.ModelSpec(8, 1), None)
        self.schedule, self.chosen, self.watched = schedule, variables, watched
        self.w = self.add_weight("w", initializer="ones", regularizer=tf.keras.regularizers.L2(2.5))
        self.v = self.add_weight("v", initializer="ones")
        self.copies = tf.Variable(0.0, trainable=False)

    @property
    def stages(self):
        player = base.Player("model", tf.keras.optimizers.SGD, self.schedule, self.chosen)
        return [base.Stage("main", Numbers(), self.compute_losses, (player,))]

    def compute_losses(self, batch, training):
        x = tf.reduce_mean(batch["x"])
        progress = None if self.watched is None else self.watched * x
        return base.Losses({"model": 3 * self.w * x + self.v * x}, {"term": 7 * x}, progress)

    def represent(self, images, training=False):
        points = tf.zeros([len(images), 1, 2])
        maps = tf.ones([len(images), 1, 1, 1])
        return base.Landmarks(points, maps, maps, tf.ones([len(images), 1]))

    def after_step(self):
        self.copies.assign(self.w)


def started(**kwargs) -> Line:
    model = Line(**kwargs)
    model.build_variables()
    model.start_stage(model.stages[0], 100)
    return model


def batch(*x: float) -> dict[str, tf.Tensor]:
    return {"x": tf.constant(x)}


def test_gradients_are_of_the_mean_loss_plus_decay():
    losses, (w, v) = started().compute_gradients(batch(1.0, 3.0))
    assert float(losses.total) == 8.0  # 3 * 2 + 2, without decay
    assert float(w) == 3 * 2 + 5 * 1  # d/dw 5/2 w^2 = 5 w
    assert float(v) == 2.0


def test_the_loss_is_divided_by_the_replicas_once(monkeypatch):
    class Two:
        num_replicas_in_sync = 2

    model = started()
    monkeypatch.setattr(tf.distribute, "get_strategy", Two)
    _, (w, v) = model.compute_gradients(batch(1.0, 3.0))
    assert (float(w), float(v)) == (11 / 2, 1.0)


@pytest.mark.parametrize("parts", [2, 4])
def test_gradients_of_parts_of_a_batch_add_up_to_those_of_the_whole(parts):
    values = batch(1.0, 3.0, 5.0, 9.0)
    whole, expected = started().compute_gradients(values)
    model = Line()
    model.build_variables()
    seen = []
    model.compute_losses = lambda b, training: (
        seen.append(b["x"]),
        Line.compute_losses(model, b, training),
    )[1]
    model.start_stage(model.stages[0], 100, accumulation_steps=parts)
    losses, gradients = model.compute_gradients(values)
    assert [len(x) for x in seen] == [4 // parts] * parts
    np.testing.assert_allclose(gradients, expected, rtol=1e-6)
    assert float(losses.total) == pytest.approx(float(whole.total))
    assert float(losses.terms["term"]) == pytest.approx(float(whole.terms["term"]))
    assert losses.progress is None and set(losses.totals) == {"model"}


def test_parts_are_made_one_after_the_other_in_a_graph():
    model = Line()
    model.build_variables()
    model.start_stage(model.stages[0], 100, accumulation_steps=2)
    function = tf.function(lambda b: model.compute_gradients(b)[1], autograph=False)
    graph = function.get_concrete_function(batch(1.0, 2.0)).graph
    cuts = [op for op in graph.get_operations() if op.type == "StridedSlice"]
    first, second = (op.inputs[1].op.control_inputs for op in cuts)  # where the slice begins
    assert not first and len(second) == 2  # the gradients of w and of v for the first part


def test_a_step_that_is_not_finite_changes_nothing_and_is_not_counted():
    model = started()
    step = tf.function(model.train_step, autograph=False)
    for bad in (np.nan, np.inf):
        with pytest.raises(tf.errors.InvalidArgumentError, match=base.NOT_FINITE):
            step(batch(1.0, bad))
    assert (float(model.w), float(model.v), int(model.steps_done)) == (1.0, 1.0, 0)


def test_without_a_strategy_the_mean_over_replicas_is_the_value_itself():
    value = tf.Variable(5.0)
    with tf.GradientTape() as tape:
        mean = base.mean_over_replicas(value * 2.0)
    assert float(mean) == 10.0
    assert float(tape.gradient(mean, value)) == 2.0


def test_loss_scaling_of_float16_leaves_the_gradients():
    try:
        tf.keras.mixed_precision.set_global_policy("mixed_float16")
        model = started()
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    assert float(model.optimizer.loss_scale) == 2**15
    losses, (w, v) = model.compute_gradients(batch(1.0, 3.0))
    assert (float(losses.total), float(w), float(v)) == (8.0, 11.0, 2.0)
    model.train_step(batch(1.0, 3.0))
    assert model.v.numpy() == pytest.approx(1 - 0.1 * 2)


def test_a_step_applies_gradients_counts_and_runs_the_hook():
    model = started()
    model.train_step(batch(1.0, 3.0))
    assert float(model.w) == pytest.approx(1 - 0.1 * 11)
    assert model.v.numpy() == pytest.approx(1 - 0.1 * 2)
    assert int(model.steps_done) == 1
    assert float(model.copies) == float(model.w)  # after the optimizer, not before


def test_a_stage_trains_its_variables_only():
    model = Line()
    model.chosen = lambda: [model.v]
    model.build_variables()
    model.start_stage(model.stages[0], 100)
    model.train_step(batch(1.0))
    assert (float(model.w), float(model.v)) == (1.0, pytest.approx(0.9))


class Game(base.Model):
    """Two players in stage `duel`: 3 a x + 5 b x for a, 7 b x + 11 a x for b; then `coda`, 2 a^2 x, for a alone."""

    def __init__(self, names=("a", "b")):
        super().__init__(base.ModelSpec(8, 1), None)
        self.seen = []
        for name in names:
            setattr(self, name, self.add_weight(name, initializer="ones"))

    @property
    def stages(self):
        sgd = tf.keras.optimizers.SGD
        players = [
            base.Player("first", sgd, lambda steps: 0.1, lambda: [self.a]),
            base.Player("second", sgd, lambda steps: 0.01, lambda: [self.b]),
        ]
        return [
            base.Stage("duel", Numbers(), self.duel, tuple(players)),
            base.Stage("coda", Numbers(), self.coda, tuple(players[:1]), steps=5, min_batch=2),
        ]

    def duel(self, batch, training):
        x = tf.reduce_mean(batch["x"])
        self.seen.append(("duel", len(batch["x"])))
        totals = {
            "first": 3 * self.a * x + 5 * self.b * x,
            "second": 7 * self.b * x + 11 * self.a * x,
        }
        return base.Losses(totals, {"distance": 2 * x})

    def coda(self, batch, training):
        x = tf.reduce_mean(batch["x"])
        self.seen.append(("coda", len(batch["x"])))
        return base.Losses({"first": 2 * self.a**2 * x}, {"square": self.a**2, "x": x})


def game(stage: int) -> Game:
    model = Game()
    model.build_variables()
    model.start_stage(model.stages[stage], 100)
    model.seen.clear()
    return model


def test_each_player_trains_its_own_variables_by_its_own_total():
    model = game(0)
    losses, gradients = model.compute_gradients(batch(1.0, 3.0))
    # d first / da = 3 x and d second / db = 7 x; 5 x and 11 x go to nobody.
    assert [float(g) for g in gradients] == [6.0, 14.0]
    assert [v.name for v in model.trained_variables] == ["a:0", "b:0"]
    assert {n: float(t) for n, t in losses.totals.items()} == {"first": 16.0, "second": 36.0}
    assert float(losses.total) == 16.0
    model.train_step(batch(1.0, 3.0))
    assert model.a.numpy() == pytest.approx(1 - 0.1 * 6)
    assert model.b.numpy() == pytest.approx(1 - 0.01 * 14)


def test_a_stage_is_built_on_as_many_images_as_its_losses_need():
    model = Game()
    model.build_variables()
    assert model.seen == [("duel", 1), ("coda", 2)]


def test_terms_and_optimizers_are_those_of_the_stage():
    model = game(0)
    assert [metric.name for metric in model.metrics] == ["loss", "distance"]
    assert list(model.optimizers) == ["first", "second"]
    assert model.optimizer is model.optimizers["first"]
    duelling = model.optimizers["first"]
    model.start_stage(model.stages[1], 100)
    assert [metric.name for metric in model.metrics] == ["loss", "square", "x"]
    assert list(model.optimizers) == ["first"]
    assert model.optimizers["first"] is not duelling  # whose moments belong to other losses


def test_a_step_of_the_second_stage_uses_its_losses_only():
    model = game(1)
    logged = model.train_step(batch(1.0, 3.0))
    assert model.seen == [("coda", 2)]
    assert {name: float(value) for name, value in logged.items()} == {
        "loss": 4.0, "square": 1.0, "x": 2.0,
    }  # fmt: skip
    assert model.a.numpy() == pytest.approx(1 - 0.1 * 4 * 2)
    assert float(model.b) == 1.0


def test_variables_have_the_same_paths_in_whatever_order_they_were_made():
    one, other = (base.variables_by_path(Game(names)) for names in ("ab", "ba"))
    assert set(one) == set(other) >= {"a", "b", "steps_done"}
    assert all(one[path].name == other[path].name for path in one)
    assert set(Game().network_variables) == {"a", "b"}  # and no counter of training


def test_metrics_are_running_means_until_they_are_reset():
    model = started(schedule=lambda steps: 0.0)
    assert [metric.name for metric in model.metrics] == ["loss", "term"]
    model.train_step(batch(1.0))
    seen = {name: float(value) for name, value in model.train_step(batch(3.0)).items()}
    assert seen == {"loss": 8.0, "term": 14.0}  # 4 and 12; 7 and 21
    model.reset_metrics()
    assert float(model.train_step(batch(3.0))["loss"]) == 12.0


def test_a_method_has_a_generator_if_it_renders():
    class Painter(Line):
        def render(self, images, landmarks):
            return images

    assert Painter().has_generator and not Line().has_generator
    assert not Painter().renders_parts


def test_a_generator_need_not_draw_parts():
    with pytest.raises(NotImplementedError, match="Line draws no parts"):
        Line().render_parts(tf.zeros([1, 4, 4, 3]))


def test_a_method_without_a_generator_says_so():
    with pytest.raises(NotImplementedError, match="Line has no generator"):
        Line().render(tf.zeros([1, 8, 8, 3]), tf.zeros([1, 1, 2]))


def test_a_constant_rate_is_the_number_itself():
    assert schedules.learning_rate("constant", 0.25, 10) == 0.25


def test_the_staircase_falls_by_its_factor_at_each_stair():
    rate = schedules.learning_rate("staircase", 1e-3, 10**6, 0.95, 100_000)
    steps = [0, 99_999, 100_000, 199_999, 200_000, 1_050_000]
    expected = [1e-3 * 0.95**n for n in (0, 0, 1, 1, 2, 10)]
    np.testing.assert_allclose([rate(step) for step in steps], expected, rtol=1e-5)


def test_the_cosine_is_half_way_at_half_time_and_ends_at_0():
    rate = schedules.learning_rate("cosine", 2e-3, 1000)
    np.testing.assert_allclose([rate(s) for s in (0, 500, 1000)], [2e-3, 1e-3, 0], atol=1e-9)
    assert float(rate(250)) == pytest.approx(2e-3 * 0.5 * (1 + np.cos(np.pi / 4)), rel=1e-5)


def test_an_unknown_schedule_names_the_known_ones():
    with pytest.raises(ValueError, match=r"'step' is unknown; it is one of constant, .*, plateau"):
        schedules.learning_rate("step", 1e-3, 10)


def rates(schedule: schedules.PlateauSchedule, errors) -> list[float]:
    """The learning rate after each error."""
    seen = []
    for error in errors:
        schedule.update(tf.constant(float(error)))
        seen.append(round(float(schedule(0)), 6))
    return seen


def test_a_plateau_divides_the_rate_by_10_after_patience_windows_without_progress():
    schedule = schedules.learning_rate("plateau", 1.0, 100, plateau_steps=2, plateau_patience=3)
    # Window means 6, 5 (better), then 5, 5, 5: the third stall lowers, at its last step.
    assert rates(schedule, [8, 4, 5, 5, 4, 6, 5, 5, 9, 1]) == [1.0] * 9 + [0.1]
    # The count of stalls starts again: two are forgiven, an improvement clears them.
    assert rates(schedule, [5, 5, 5, 5, 4, 4]) == [0.1] * 6
    assert rates(schedule, [4] * 6) == [0.1] * 5 + [0.01]
    assert rates(schedule, [4] * 6) == [0.01] * 5 + [0.001]


def test_progress_of_a_plateau_is_a_thousandth_of_its_best():
    schedule = schedules.PlateauSchedule(1.0, window=1, patience=2)
    assert rates(schedule, [1000, 998.9, 997.8, 996.7]) == [1.0] * 4
    schedule = schedules.PlateauSchedule(1.0, window=1, patience=2)
    assert rates(schedule, [1000, 999.1, 999.1]) == [1.0, 1.0, 0.1]
    # Small steps add up against the best, and a worse window does not become the best.
    schedule = schedules.PlateauSchedule(1.0, window=1, patience=2)
    assert rates(schedule, [1000, 999.4, 998.8, 2000, 1500]) == [1.0] * 4 + [0.1]


def test_a_plateau_resumes_in_the_middle_of_a_window(tmp_path):
    errors = [8, 4, 5, 5, 4, 6, 5, 5, 9, 1, 5, 5, 5, 5, 5, 5]
    whole = rates(schedules.PlateauSchedule(1.0, 2, 3), errors)
    assert whole[9:] == [0.1] * 6 + [0.01]
    for cut in range(1, len(errors)):
        first, second = (schedules.PlateauSchedule(1.0, 2, 3) for _ in range(2))
        seen = rates(first, errors[:cut])
        path = tf.train.Checkpoint(schedule=first).write(str(tmp_path / str(cut)))
        tf.train.Checkpoint(schedule=second).read(path).assert_consumed()
        assert seen + rates(second, errors[cut:]) == whole


def plateau(steps: int) -> schedules.PlateauSchedule:
    return schedules.PlateauSchedule(0.1, window=1, patience=1)


def test_training_lowers_the_rate_on_a_plateau_of_the_total():
    model = started(schedule=plateau)
    moves = []
    # The total is 4, then lower, then (x = 2) higher: that stall lowers the rate of the next step.
    for x in (1.0, 0.5, 2.0, 2.0):
        before = float(model.v)
        model.train_step(batch(x))
        moves.append((before - float(model.v)) / x)
    np.testing.assert_allclose(moves, [0.1, 0.1, 0.1, 0.01], rtol=1e-4)


def test_a_plateau_watches_the_progress_that_a_method_states():
    model = started(schedule=plateau, watched=7.0)
    model.train_step(batch(1.0))
    assert float(model.plateaus["model"].best) == 7.0  # and not 4


def test_checkpoints_of_the_model_keep_the_plateau(tmp_path):
    first, second = (started(schedule=plateau, watched=7.0) for _ in range(2))
    for x in (1.0, 2.0):
        first.train_step(batch(x))
    path = tf.train.Checkpoint(model=first).write(str(tmp_path / "checkpoint"))
    status = tf.train.Checkpoint(model=second).read(path)
    status.assert_existing_objects_matched()
    for model in (first, second):
        model.train_step(batch(0.25))
    assert float(second.plateaus["model"].rate) == pytest.approx(0.01)
    assert float(second.v) == float(first.v)


def test_other_schedules_leave_no_plateau():
    assert started().plateaus == {}
