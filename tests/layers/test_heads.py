"""Heads: what they compute on features that are known, their sizes, their files."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.errors import UserError
from tf_landmarks.layers import heads, levels
from tf_landmarks.layers.heads import (
    HeatmapHead,
    LinearHead,
    MaskHead,
    PrototypeHead,
    VirtualPointsHead,
)

pytestmark = pytest.mark.core
EAGER = True

NAMES = ("nose", "left eye", "Schwanzspitze ß")
CHANNELS = {"fine": 4, "coarse/4": 6}
RESNET50 = {"conv2_x": 256, "conv3_x": 512, "conv4_x": 1024, "conv5_x": 2048}
SIZE = 32  # side of the input, pixels


def random_levels(batch: int = 2, seed: int = 0) -> dict[str, tf.Tensor]:
    random = np.random.default_rng(seed)
    return {
        name: tf.constant(random.normal(size=[batch, side, side, CHANNELS[name]]), tf.float32)
        for name, side in (("fine", 8), ("coarse/4", 4))
    }


def randomise(head: heads.Head, seed: int = 0) -> heads.Head:
    random = np.random.default_rng(seed)
    for variable in head.weights.values():
        variable.assign(random.uniform(0.5, 1.5, variable.shape))
    return head


MAKERS = {
    "linear": lambda: LinearHead(NAMES, 5),
    "virtual_points": lambda: VirtualPointsHead(NAMES, CHANNELS, 8, 7, 3.5),
    "heatmap": lambda: HeatmapHead(NAMES, CHANNELS, SIZE),
    "heatmap with a hidden layer": lambda: HeatmapHead(NAMES, CHANNELS, SIZE, 16, 5, 3),
    "prototype": lambda: PrototypeHead(NAMES, CHANNELS, SIZE, 0, 0.1, 1),
    "prototype, turned": lambda: PrototypeHead(NAMES, CHANNELS, SIZE, turns=3),
    "ridge": lambda: heads.RidgeHead(NAMES, CHANNELS, {"fine": 4, "coarse/4": 4}),
    "mask": lambda: MaskHead(CHANNELS, 16, hidden=3),
}


def outputs(head: heads.Head) -> list[np.ndarray]:
    if isinstance(head, LinearHead):
        found = head(tf.random.stateless_normal([2, 5, 2], [1, 2]), tf.fill([2, 5], 0.5))
    else:
        found = head(random_levels())
    if isinstance(found, tf.Tensor):
        return [found.numpy()]
    return [value.numpy() for value in found if value is not None]


@pytest.mark.parametrize("name", MAKERS)
def test_a_head_read_back_is_the_same_to_the_bit(name, tmp_path):
    head, path = randomise(MAKERS[name]()), str(tmp_path / "head.npz")
    head.save(path)
    read = heads.load(path)
    assert type(read) is type(head) and read.names == head.names
    assert list(read.weights) == list(head.weights)
    for one, other in zip(outputs(head), outputs(read), strict=True):
        np.testing.assert_array_equal(one, other)
    # Nothing in the file needs to be unpickled.
    with np.load(path, allow_pickle=False) as file:
        assert all(file[entry].dtype != object for entry in file.files)


@pytest.mark.parametrize("name", MAKERS)
def test_every_kind_has_an_example_whose_points_fit_its_maps(name):
    head = randomise(MAKERS[name]())
    assert {MAKERS[n]().kind for n in MAKERS} == set(heads.HEADS)
    if isinstance(head, MaskHead):
        assert outputs(head)[0].shape == (2, 16, 16)
        return
    found = [*outputs(head)]
    assert found[0].shape == (2, 3, 2) and found[-1].shape == (2, 3)
    assert np.all(found[-1] > 0) and np.all(found[-1] <= 1)
    if len(found) == 3:
        maps, (rows, columns) = found[1], found[1].shape[1:3]
        np.testing.assert_allclose(maps.sum(axis=(1, 2)), 1.0, atol=1e-5)
        # Cells tile the input: cell i of n has its centre at pixel (i + 0.5) * 32 / n - 0.5.
        axis = (np.arange(rows) + 0.5) * SIZE / rows - 0.5
        assert rows == columns
        means = [np.einsum("bna,n->ba", maps.sum(axis=2 - k), axis) for k in (0, 1)]
        pixels = coordinates.pixels_from_corner(found[0], (SIZE, SIZE))
        np.testing.assert_allclose(pixels, np.stack(means, axis=-1), atol=1e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": np.array("magic")}, "its kind 'magic' is unknown; it is one of linear"),
        ({"weights/bias": np.zeros(9, np.float32)}, "shape"),
        ({"weights/bias": None}, "lacks weights"),
        ({"config/grid": None}, None),
        ({"kind": None}, "kind"),
    ],
)
def test_files_that_hold_no_head_are_refused(change, words, tmp_path):
    path = str(tmp_path / "head.npz")
    MAKERS["heatmap"]().save(path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    arrays.update(change)
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    if words is None:  # what has a default is not missed
        heads.load(path)
        return
    with pytest.raises(UserError, match=f"head.npz holds no head.*{words}"):
        heads.load(path)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_what_is_no_archive_is_refused(content, tmp_path):
    path = tmp_path / "head.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"head.npz holds no head"):
        heads.load(str(path))
    with pytest.raises(FileNotFoundError):
        heads.load(str(tmp_path / "nowhere.npz"))


def test_pickled_objects_are_not_executed(tmp_path):
    path = str(tmp_path / "head.npz")
    np.savez(path, kind=np.array([{"a": 1}], object))
    with pytest.raises(UserError, match="allow_pickle=False"):
        heads.load(path)


def test_a_linear_head_maps_and_trusts_by_shares():
    head = LinearHead(("a",), 2)
    maps = np.zeros([2, 2, 1, 2])
    maps[0, 0, 0, 0] = 3.0  # y of the first landmark to y
    maps[1, 0, 0, 1] = -1.0  # y of the second to x
    head.weights["maps"].assign(maps)
    head.weights["intercept"].assign([[0.5, 0.0]])
    found = head(tf.constant([[[0.1, 9.0], [0.2, 9.0]]]), tf.constant([[0.8, 0.4]]))
    np.testing.assert_allclose(found.points, [[[0.8, -0.2]]], atol=1e-6)
    np.testing.assert_allclose(found.confidence, [[0.75 * 0.8 + 0.25 * 0.4]], atol=1e-6)


def test_virtual_points_of_a_resnet50_have_the_published_number_of_weights():
    for count, filters, maps in ((5, 960_000, 1_000), (15, 2_880_000, 3_000)):
        head = VirtualPointsHead([str(i) for i in range(count)], RESNET50)
        sizes = {name: variable.shape.num_elements() for name, variable in head.weights.items()}
        assert sizes.pop("maps") == maps
        assert sum(sizes.values()) == filters
        assert len(head.trainable_variables) == len(RESNET50) + 1


def test_virtual_points_begin_as_published():
    head = VirtualPointsHead(("a",) * 5, {"conv4_x": 1024})
    filters, maps = head.weights["filters/conv4_x"].numpy(), head.weights["maps"].numpy()
    assert filters.std() == pytest.approx(1.0, abs=0.01)
    assert filters.mean() == pytest.approx(0.0, abs=0.01)
    assert np.abs(maps).max() <= 0.1 and maps.std() == pytest.approx(0.1 / 3**0.5, rel=0.05)


def test_equal_features_everywhere_give_the_centre():
    head = VirtualPointsHead(("a", "b"), {"one": 16})
    features = tf.tile(tf.random.stateless_normal([1, 1, 1, 16], [3, 4]), [1, 48, 48, 1])
    np.testing.assert_allclose(head({"one": features}).points, 0.0, atol=1e-6)


def test_two_positions_whose_logits_differ_by_a_fiftieth_give_tanh_1():
    # Scale 100: softmax of (1, -1) at -1 and +1, whose mean is -(e - 1/e) / (e + 1/e) = -tanh 1.
    head = VirtualPointsHead(("a",), {"one": 1}, 0, num_virtual=1)
    head.weights["filters/one"].assign(tf.ones([1, 1, 1, 1]))
    head.weights["maps"].assign(tf.eye(2)[tf.newaxis])
    rows = tf.constant([0.02, 0.0])[tf.newaxis, :, tf.newaxis, tf.newaxis]
    found = head({"one": tf.tile(rows, [1, 1, 2, 1])})
    np.testing.assert_allclose(found.points, [[[-0.761594, 0.0]]], atol=1e-5)


def test_a_landmark_has_no_gradient_from_the_filters_of_another():
    head = VirtualPointsHead(("a", "b"), CHANNELS, 8, num_virtual=3, scale=1.0)
    with tf.GradientTape() as tape:
        found = tf.reduce_sum(head(random_levels()).points[:, 0])
    variables = [head.weights["filters/fine"], head.weights["maps"]]
    filters, maps = tape.gradient(found, variables)
    assert np.all(np.abs(filters[..., :3]).max(axis=(0, 1, 2)) > 0) and np.all(maps[0] != 0)
    np.testing.assert_array_equal(filters[..., 3:], 0.0)
    np.testing.assert_array_equal(maps[1], 0.0)


def blob(centre, cells: int, size: int, std: float) -> np.ndarray:
    """-d^2 / (2 std^2) at the cells, about a point in pixels of the input; distances in cells."""
    axis = np.arange(cells)
    y, x = ((np.asarray(centre) + 0.5) * cells / size - 0.5).tolist()
    squared = (axis[:, None] - y) ** 2 + (axis[None] - x) ** 2
    return -squared / (2 * std**2)


BETWEEN = [(15.5, 15.5), (13.0, 18.0), (12.3, 20.9), (9.75, 17.6)]  # cells are 4 pixels wide


@pytest.mark.parametrize("centre", BETWEEN)
def test_heat_maps_tell_where_between_cells_a_point_lies(centre):
    head = HeatmapHead(("a",), {"one": 1}, SIZE)
    head.weights["filters/one"].assign(tf.ones([1, 1, 1, 1]))
    logits = blob(centre, 8, SIZE, 0.6)[np.newaxis, ..., np.newaxis]
    found = coordinates.pixels_from_corner(
        head({"one": tf.constant(logits, tf.float32)}).points, (SIZE, SIZE)
    )
    np.testing.assert_allclose(found[0, 0], centre, atol=0.02 * 4)


def peaks(heights: np.ndarray) -> dict[str, tf.Tensor]:
    """A level whose cosine with (1, 0) is `heights [B, h, w]`."""
    level = np.stack([heights, np.sqrt(1 - np.asarray(heights) ** 2)], axis=-1)
    return {"one": tf.constant(level, tf.float32)}


@pytest.mark.parametrize("centre", BETWEEN)
@pytest.mark.parametrize("width", [1.5, 3.0])
@pytest.mark.parametrize("depth", [1.0, 0.01])
def test_prototypes_tell_where_between_cells_a_point_lies(centre, width, depth):
    # Whatever the width of the peak, and how little it stands out.
    head = PrototypeHead(("a",), {"one": 2}, SIZE)
    head.set_prototypes({"one": np.array([[7.0, 0.0]], np.float32)})
    heights = 0.99 - depth * (1 - np.exp(blob(centre, 8, SIZE, width)))
    found = head(peaks(heights[np.newaxis]))
    pixels = coordinates.pixels_from_corner(found.points, (SIZE, SIZE))
    np.testing.assert_allclose(pixels[0, 0], centre, atol=0.025 * 4)


def test_a_map_without_a_best_cell_gives_a_finite_point():
    head = PrototypeHead(("a",), {"one": 2}, SIZE)
    found = head(peaks(np.full([1, 8, 8], 0.3)))
    assert np.isfinite(found.points).all() and found.confidence[0, 0] < 0.1


def test_a_prototype_is_found_where_it_was_read_and_levels_count_alike():
    levels, head = random_levels(1), PrototypeHead(("a", "b"), CHANNELS, SIZE, temperature=0.02)
    # Centres of cells (1, 6) and (4, 2) of 8: pixels 4 i + 1.5.
    pixels = tf.constant([[[5.5, 25.5], [17.5, 9.5]]])
    points = coordinates.corner_from_pixels(pixels, (SIZE, SIZE))
    head.set_prototypes({n: v[0] for n, v in head.describe(levels, points).items()})
    similarity = head.similarity(levels)
    np.testing.assert_allclose([similarity[0, 1, 6, 0], similarity[0, 4, 2, 1]], 1.0, atol=1e-5)
    best = tf.argmax(tf.reshape(similarity, [64, 2]), axis=0)
    np.testing.assert_array_equal(best, [8 + 6, 4 * 8 + 2])
    louder = {**levels, "fine": 1000.0 * levels["fine"]}
    np.testing.assert_allclose(head.similarity(louder), similarity, atol=1e-5)


def test_of_several_turns_that_with_the_least_doubt_is_taken_by_all_points():
    head = heads.PrototypeHead(["a", "b"], {"x": 4}, 16, turns=2)
    axes = np.eye(4, dtype=np.float32)
    # As they lie a is 0 and b is 1; turned, a is 2 and b is 3.
    head.set_prototypes({"x": axes})
    level = np.full([3, 8, 8, 4], 0.01, np.float32)
    for image, (a, b) in enumerate([(0, 1), (2, 3), (0, 1)]):
        level[image, 1, 6] += 0.9 * axes[a]
        level[image, 5, 2] += 0.9 * axes[b]
    level[2, 4, 4] += 0.9 * axes[2]  # a place like the turned a, and none like the turned b
    found = head({"x": tf.constant(level)})
    assert found.points.shape == (3, 2, 2) and found.heatmaps.shape == (3, 8, 8, 2)
    cells = levels.cells_from_input(found.points, (8, 8), 16)
    np.testing.assert_allclose((np.asarray(cells) + 1) * 3.5, [[[1, 6], [5, 2]]] * 3, atol=0.2)
    alone = heads.PrototypeHead(["a", "b"], {"x": 4}, 16)
    alone.set_prototypes({"x": axes[:2]})
    for one, other in zip(alone({"x": tf.constant(level[:1])}), found, strict=True):
        np.testing.assert_allclose(one, other[:1], atol=1e-6)


def test_the_window_keeps_out_what_resembles_a_landmark_elsewhere_and_confidence_tells():
    # Summits at the centres of cells (2, 2) and (6, 6), a thousandth lower; then the first one alone.
    first, other = (np.exp(blob((c, c), 8, SIZE, 1.0)) for c in (9.5, 25.5))
    head = PrototypeHead(("a",), {"one": 2}, SIZE, temperature=0.05)
    head.set_prototypes({"one": np.array([[1.0, 0.0]], np.float32)})
    found = head(peaks(np.stack([np.maximum(first, 0.999 * other), first])))
    pixels = coordinates.pixels_from_corner(found.points, (SIZE, SIZE))
    np.testing.assert_allclose(pixels, np.full([2, 1, 2], 9.5), atol=0.01 * 4)
    assert found.heatmaps[0, 6, 6, 0] == 0.0
    assert found.confidence[0, 0] < 0.1 and found.confidence[1, 0] > 0.4


def test_a_mask_is_a_convolution_with_a_bias():
    head = MaskHead({"one": 2})
    head.weights["filters/one"].assign(tf.reshape([2.0, -1.0], [1, 1, 2, 1]))
    head.weights["bias"].assign([0.5])
    levels = {"one": tf.constant([[[[1.0, 1.0], [0.0, 3.0]]]])}
    np.testing.assert_allclose(head(levels), [[[1.5, -2.5]]])


@pytest.mark.parametrize("hidden", [0, 4])
def test_scores_do_not_depend_on_how_large_the_features_of_a_level_are(hidden):
    levels = random_levels()
    louder = {**levels, "fine": 1000.0 * levels["fine"]}
    found = []
    for given in (levels, louder):
        head = HeatmapHead(NAMES, CHANNELS, SIZE, hidden=hidden)
        head.prepare(given)
        found.append(head.logits(given))
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)
    assert np.std(found[0]) == pytest.approx(1.0, abs=0.4)
