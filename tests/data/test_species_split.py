"""The split of birds: its published counts, and what a seed changes."""

import numpy as np
import pytest

from tf_landmarks.data.species_split import split_by_species

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        (60, (36, 11, 11)),
        (59, (35, 11, 11)),
        (58, (34, 11, 11)),
        (57, (34, 10, 11)),
        (50, (30, 9, 9)),
    ],
)
def test_each_species_has_its_published_counts(count, sizes):
    assert tuple(map(len, split_by_species(["wren"] * count))) == sizes


def test_two_images_of_each_species_are_lost():
    # 35 species with 2076 images.
    counts = [60] * 29 + [59, 58, 57, 57, 55, 50]
    assert len(counts) == 35 and sum(counts) == 2076
    species = np.repeat(np.arange(35), counts)
    found = split_by_species(species)
    rows = np.concatenate(found)
    assert len(rows) == len(set(rows)) == 2006
    lost = np.bincount(np.delete(species, rows), minlength=35)
    assert (lost == 2).all()
    assert all((np.diff(part) > 0).all() for part in found)


def test_a_seed_chooses_the_images_and_other_species_do_not():
    kinds = ["wren", "crow"] * 30
    first, again, other = (split_by_species(kinds, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.test, again.test)
    assert list(first.test) != list(other.test)
    alone = split_by_species(["wren"] * 30)
    np.testing.assert_array_equal(alone.train * 2, first.train[first.train % 2 == 0])


def test_hardly_any_images_leave_parts_empty():
    assert [len(part) for part in split_by_species(["wren", "crow"])] == [0, 0, 0]
    assert [len(part) for part in split_by_species(["wren"] * 3)] == [1, 0, 0]
