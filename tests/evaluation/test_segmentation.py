"""The classifier on FSE's trunk: what is trained, what is measured, what is refused."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.conformance import cases
from tests.conformance.test_methods import parse
from tf_landmarks.evaluation import segmented, trunk_segmentation
from tf_landmarks.methods import base
from tf_landmarks.methods.fse import Fse, FseOptions
from tf_landmarks.training import batch_norm, models, trainer, untrained

pytestmark = pytest.mark.system


def squares(count: int, size=(40, 30), seed: int = 0) -> segmented.SegmentedImages:
    """Pictures of a red and a green square on blue; their classes are 1, 2 and 0."""
    random = np.random.default_rng(seed)
    found = segmented.SegmentedImages([], [])
    for _ in range(count):
        labels = np.zeros(size, np.int32)
        for kind in (1, 2):
            y, x = random.integers(0, 18, 2)
            labels[y : y + 12, x : x + 12] = kind
        found.images.append(np.eye(3, dtype=np.uint8)[[2, 0, 1]][labels] * 255)
        found.labels.append(labels)
    return found


def network() -> Fse:
    tf.keras.utils.set_random_seed(0)
    model = Fse(base.ModelSpec(24, 3), FseOptions(pool=2))
    model.build_variables(for_training=False)
    inputs = tf.constant(np.stack(squares(32, (24, 24), seed=2).images) / np.float32(255))
    batch_norm.replace_statistics(model, [inputs], lambda b: model.represent(b, training=True))
    return model


@pytest.mark.parametrize("mode", trunk_segmentation.MODES)
def test_classes_are_learned_and_frozen_layers_stay(mode):
    model = network()
    before = [v.numpy() for block in model.trunk for v in block.variables]
    data = squares(24)
    how = trunk_segmentation.Training(epochs=8, batch_size=8, learning_rate=3e-3)
    trained, scores = trunk_segmentation.train(model, mode, data, 3, how)
    assert scores == []
    test = squares(6, seed=1)
    accuracy = segmented.pixel_accuracy(trunk_segmentation.predict(trained, test), test.labels)
    background = segmented.pixel_accuracy([np.zeros_like(q) for q in test.labels], test.labels)
    assert accuracy > background + 5
    after = [v.numpy() for block in model.trunk for v in block.variables]
    frozen = 6 * trunk_segmentation.FROZEN_BLOCKS  # kernel, bias, and four of normalisation
    same = [np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert all(same[:frozen]) == (mode == "frozen")
    assert not all(same[frozen:])


def test_the_epoch_counts_in_which_validation_images_were_best():
    how = trunk_segmentation.Training(
        epochs=4, batch_size=8, learning_rate=0.05
    )  # that goes up and down
    validation = squares(4, seed=3)
    model, scores = trunk_segmentation.train(
        network(), "finetuned", squares(16), 3, how, validation=validation
    )
    found = trunk_segmentation.predict(model, validation)
    assert len(scores) == 4 and len(set(scores)) > 1
    assert segmented.pixel_accuracy(found, validation.labels) == pytest.approx(max(scores))


def write_split(folder, data: segmented.SegmentedImages) -> None:
    for name, pictures in (("images", data.images), ("labels", data.labels)):
        (folder / name).mkdir(parents=True)
        for row, picture in enumerate(pictures):
            Image.fromarray(picture.astype(np.uint8)).save(folder / name / f"{row:03d}.png")


@pytest.mark.core
def test_training_images_are_drawn_and_some_kept_to_choose_the_epoch(tmp_path):
    write_split(tmp_path / "train", squares(10))
    write_split(tmp_path / "test", squares(3, seed=1))
    whole = segmented.read_parts(str(tmp_path))
    assert list(map(len, whole)) == [8, 2, 3]
    seen = {image.tobytes() for part in whole[:2] for image in part.images}
    assert seen == {image.tobytes() for image in squares(10).images}
    drawn = segmented.read_parts(str(tmp_path), num_images=5, validation_share=0.01)
    assert list(map(len, drawn)) == [4, 1, 3]
    assert segmented.read_parts(str(tmp_path), validation_share=0)[1] is None
    with pytest.raises(
        ValueError, match=r"--validation_share=0\.2 leaves none of 1 training images"
    ):
        segmented.read_parts(str(tmp_path), num_images=1)
    write_split(tmp_path / "validation", squares(4, seed=2))
    assert list(map(len, segmented.read_parts(str(tmp_path), num_images=1))) == [1, 4, 3]


@pytest.mark.core
def test_accuracy_is_over_all_pixels_of_all_images():
    labels = [np.zeros((2, 2), int), np.ones((4, 4), int)]
    assert segmented.pixel_accuracy([labels[0], 0 * labels[1]], labels) == pytest.approx(20.0)


@pytest.mark.core
def test_classes_are_merged_and_bad_label_maps_are_named(tmp_path):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (5, 4)).save(tmp_path / "images" / "a.jpg")
    labels = np.array([[0, 1, 2, 3, 3]] * 4, np.uint8)
    Image.fromarray(labels).save(tmp_path / "labels" / "a.png")
    part = segmented.read_split(str(tmp_path), [(3, 0)])
    assert part.labels[0][0].tolist() == [0, 1, 2, 0, 0]
    Image.fromarray(labels[:2]).save(tmp_path / "labels" / "a.png")
    with pytest.raises(ValueError, match=r"a\.png is of \[2, 5\], its image of \[4, 5\]"):
        segmented.read_split(str(tmp_path))
    (tmp_path / "labels" / "a.png").unlink()
    with pytest.raises(ValueError, match=r"a\.jpg and its label map .* cannot be read"):
        segmented.read_split(str(tmp_path))
    with pytest.raises(ValueError, match="holds no images/"):
        segmented.read_split(str(tmp_path / "none"))


def test_from_scratch_is_the_network_before_training(tmp_path, few_faces):
    case = next(case for case in cases.CASES if case.method == "fse")
    given = [*case.flags, "--steps=1", "--batch_size=4", "--precision=float32"]
    run, options = parse([*given, f"--data={few_faces}", f"--run_dir={tmp_path}"])
    trainer.train(run, options)
    trained = models.load_run(run.run_dir).model.network_variables
    before = models.make_float32_model(run, options)
    untrained.load(run.run_dir, before)
    for mode, expected in (("frozen", trained), ("scratch", before.network_variables)):
        found = trunk_segmentation.load(run.run_dir, mode).network_variables
        for path, value in expected.items():
            np.testing.assert_array_equal(found[path], value, err_msg=f"{mode} {path}")
    assert any(np.any(trained[p].numpy() != v.numpy()) for p, v in before.network_variables.items())
