"""Likelihoods of pixels, against SciPy's densities."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tf_landmarks.losses import likelihood

pytestmark = pytest.mark.core

SHAPE = (2, 3, 4, 3)


def uniform(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(SHAPE, np.float32)


def test_a_gaussian_of_unit_width_is_the_normal_density():
    target, mean = uniform(0), uniform(1)
    expected = -scipy.stats.norm.logpdf(target, mean, 1.0)
    np.testing.assert_allclose(likelihood.unit_gaussian(target, mean), expected, rtol=1e-5)


def test_the_papers_gaussian_is_twice_the_density_less_its_constant_but_once_an_image():
    target, mean = uniform(0), uniform(1)
    count = 3 * 4 * 3
    constant = np.log(2 * np.pi * 0.05**2)
    density = -2 * scipy.stats.norm.logpdf(target, mean, 0.05) - constant
    found = likelihood.paper_gaussian(tf.constant(target), tf.constant(mean))
    np.testing.assert_allclose(found, density + constant / count, rtol=1e-4, atol=1e-4)


def test_a_predicted_deviation_is_half_the_softplus():
    target, mean, raw = uniform(0), uniform(1), 4 * uniform(2) - 2
    std = 0.5 * np.log1p(2 * np.exp(raw))
    expected = -scipy.stats.norm.logpdf(target, mean, std)
    found = likelihood.predicted_gaussian(target, mean, raw)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_black_and_white_costs_the_logarithm_of_its_probability():
    target = np.array([1.0, 0.0], np.float32).reshape(1, 1, 2, 1)
    logits = np.log(np.array([0.8 / 0.2, 0.3 / 0.7], np.float32)).reshape(1, 1, 2, 1)
    found = likelihood.bernoulli(target, logits).numpy().ravel()
    np.testing.assert_allclose(found, [-np.log(0.8), -np.log(0.7)], rtol=1e-5)
