"""Thin-plate spline warps: fitted, drawn at random, applied to points and images, inverted.

A warp maps **output points to input points** ("backward"): the warped image at u shows the image at
`warp(u)`, and a landmark found at u in the warped image lies at `warp(u)` in the image. Annotations
move the other way, by `inverse_points`. Points are (y, x) in the corner convention.

    warp(u) = t + A u + sum_j w_j k(|u - c_j|^2),     k(r2) = r2 ln r2

Where the control points c_j are constants, a batch of warps on a fixed grid is one matrix product
(`basis @ parameters`) and fitting displacements is another with a constant inverse. Each warp may have
control points of its own too (`fit_each`), at the price of a system to solve for each.
"""

import dataclasses
from typing import Literal

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import sampling
from tf_landmarks.options import option

Kernel = Literal["clamped", "shifted"]
_AT_ONCE = 10  # control points whose distances to many points are held together


@dataclasses.dataclass(frozen=True)
class Warp:
    """A batch of thin-plate splines over the same control points.

    Attributes:
        control: `[N, 2]` (y, x) float64, constant; or a tensor `[B, N, 2]`, each warp's own.
        parameters: `[B, N + 3, 2]` float: the N kernel coefficients w_j, then t, then the two rows
            of A that multiply y and x; the last axis is (y, x) of the input point.
        kernel: "clamped" is `max(r2, 1e-8) ln max(r2, 1e-8)` (IMM), "shifted" is
            `r2 ln(r2 + 1e-5)` (FSE, DVE).
    """

    control: np.ndarray | tf.Tensor
    parameters: tf.Tensor
    kernel: Kernel = "clamped"

    def __call__(self, points) -> tf.Tensor:
        """Maps output points to input points; see `warp_points`."""
        return warp_points(self, points)


@dataclasses.dataclass(frozen=True)
class WarpStrength:
    """How strongly random warps deform; every value a standard deviation, all 0 is the identity.

    `coefficients` are the spline's radial coefficients w_j, *not* displacements of control points:
    on a 10x10 grid, 0.001 with 0.01 moves points by about a tenth of the image.
    """

    rotation: float = option(0.0, "standard deviation of the rotation, degrees")
    scale: float = option(0.0, "standard deviation of the factor of size around 1")
    translation: float = option(
        0.0, "standard deviation of the shift along each axis; the image is 2 units wide"
    )
    coefficients: float = option(
        0.0,
        "standard deviation of the coefficients of the spline (not displacements), which bend the image",
    )
    extra_coefficients: float = option(
        0.0, "standard deviation of a second draw, which each coefficient gets with probability 1/2"
    )


#: From this standard deviation of the rotation on, degrees, objects lie in any direction.
ANY_DIRECTION = 90.0


def control_grid(side: int) -> np.ndarray:
    """Makes a regular side x side grid of control points over [-1, 1]^2, corners included, `[N, 2]`."""
    return coordinates.corner_grid((side, side)).reshape(-1, 2)


def identity(control: np.ndarray, batch: int = 1) -> Warp:
    """Makes the warp that moves nothing."""
    return Warp(control, tf.tile(_identity_parameters(len(control))[tf.newaxis], [batch, 1, 1]))


def fit(control: np.ndarray, targets: tf.Tensor, kernel: Kernel = "clamped") -> Warp:
    """Fits the interpolating spline with `warp(control[j]) = targets[j]`.

    Args:
        control: `[N, 2]` (y, x), at least 3 points that do not lie on a line.
        targets: `[B, N, 2]` (y, x), where each control point of the output lies in the input.
        kernel: See `Warp`.

    Returns:
        The fitted warps; w fulfils the side conditions `sum w = 0`, `sum w c = 0`.

    Raises:
        ValueError: If control points coincide or lie on one line.
    """
    num_points = len(control)
    system = np.zeros((num_points + 3, num_points + 3))
    system[:num_points] = _numpy_basis(control, control, kernel)
    system[num_points:, :num_points] = system[:num_points, num_points:].T
    if np.linalg.cond(system) > 1e12:
        raise ValueError("control points coincide or lie on one line; a spline needs them apart")
    inverse = np.linalg.inv(system)[:, :num_points]
    targets = tf.convert_to_tensor(targets)
    return Warp(
        control, tf.einsum("pn,bnd->bpd", tf.constant(inverse, targets.dtype), targets), kernel
    )


def fit_each(
    control: tf.Tensor, targets: tf.Tensor, kernel: Kernel = "clamped", ridge: float = 1e-4
) -> Warp:
    """Fits a spline to each sample's own control points, which may coincide.

    Args:
        control: `[B, N, 2]` (y, x).
        targets: `[B, N, 2]` (y, x), where each control point of the output lies in the input.
        kernel: See `Warp`.
        ridge: Smooths the spline: it hits its control points up to about this much. Without it, two
            points in one place with different targets would have no solution.

    Returns:
        The fitted warps.
    """
    num_points = control.shape[1]
    polynomial = tf.concat([tf.ones_like(control[..., :1]), control], axis=-1)
    # Radial values grow and fall with distance; the smoothing spline takes the kernel's sign.
    radial = _basis(control, control, kernel)[..., :num_points] + ridge * tf.eye(num_points)
    transposed = tf.transpose(polynomial, [0, 2, 1])
    corner = -1e-6 * tf.eye(3, batch_shape=[tf.shape(control)[0]])  # for points on one line
    system = tf.concat(
        [tf.concat([radial, polynomial], -1), tf.concat([transposed, corner], -1)], axis=1
    )
    nothing = tf.zeros([tf.shape(targets)[0], 3, 2], targets.dtype)
    sides = tf.concat([targets, nothing], axis=1)
    return Warp(control, tf.linalg.solve(system, sides), kernel)


def draw_coefficients(
    strength: WarpStrength,
    seed: tf.Tensor,
    control_side: int = 10,
    batch_shape: tuple[int, ...] = (),
    extra: Literal["add", "replace"] = "add",
) -> tf.Tensor:
    """Draws random spline parameters by their radial coefficients (docs/imm.md, "Random warps").

    w = N(0, coefficients) + Bernoulli(1/2) N(0, extra_coefficients), each coefficient and axis by
    itself; with rotation angle a and scale s, `x' = t_x + s cos(a) x + s sin(a) y`,
    `y' = t_y - s sin(a) x + s cos(a) y`.

    Args:
        strength: Standard deviations.
        seed: `[2]` integers; the draw is a pure function of it.
        control_side: Control points along each axis.
        batch_shape: Leading dimensions of the draw.
        extra: "add" the second draw to the first (IMM) or let it "replace" the first (DVE).

    Returns:
        `batch_shape + [N + 3, 2]` float32, the `parameters` of a `Warp`.
    """
    seeds = _split_seed(seed, 4)
    shape = [*batch_shape, control_side**2, 2]
    base = tf.random.stateless_normal(shape, seeds[0]) * strength.coefficients
    more = tf.random.stateless_normal(shape, seeds[1]) * strength.extra_coefficients
    is_extra = tf.random.stateless_uniform(shape, seeds[2]) < 0.5
    weights = tf.where(is_extra, base + more if extra == "add" else more, base)
    return tf.concat([weights, _draw_similarity(strength, seeds[3], batch_shape)], axis=-2)


def draw_displacements(
    strength: WarpStrength,
    displacement: float,
    seed: tf.Tensor,
    control_side: int = 10,
    batch_shape: tuple[int, ...] = (),
) -> tf.Tensor:
    """Draws random spline parameters by the displacements of their control points.

    Args:
        strength: Rotation, scale and translation; its coefficients are not used.
        displacement: Standard deviation of each control point's shift per axis, corner convention.
        seed: `[2]` integers; the draw is a pure function of it.
        control_side: Control points along each axis.
        batch_shape: Leading dimensions of the draw.

    Returns:
        `batch_shape + [N + 3, 2]` float32, the `parameters` of a `Warp`: the similarity plus the
        spline that interpolates the displacements.
    """
    seeds = _split_seed(seed, 2)
    control = control_grid(control_side)
    shifts = displacement * tf.random.stateless_normal([*batch_shape, len(control), 2], seeds[0])
    spline = fit(control, tf.reshape(shifts, [-1, len(control), 2])).parameters
    spline = tf.reshape(spline, [*batch_shape, len(control) + 3, 2])
    similarity = _draw_similarity(strength, seeds[1], batch_shape)
    nothing = tf.zeros([*batch_shape, len(control), 2])
    return spline + tf.concat([nothing, similarity], axis=-2)


def warp_points(warp: Warp, points) -> tf.Tensor:
    """Maps output points to input points.

    Args:
        warp: A batch of B warps.
        points: `[P, 2]` (y, x), the same for every warp (a NumPy array then makes a constant
            matrix), or `[B, P, 2]`.

    Returns:
        `[B, P, 2]` (y, x).
    """
    own_control = len(warp.control.shape) == 3
    if isinstance(points, np.ndarray) and points.ndim == 2 and not own_control:
        basis = tf.constant(_numpy_basis(points, warp.control, warp.kernel), warp.parameters.dtype)
        return tf.einsum("pn,bnd->bpd", basis, warp.parameters)
    points = tf.cast(points, warp.parameters.dtype)
    if points.shape.rank == 2:
        batch = tf.shape(warp.parameters)[0] if own_control else 1
        points = tf.tile(points[tf.newaxis], [batch, 1, 1])
    return _basis(points, warp.control, warp.kernel) @ warp.parameters


def warp_many_points(warp: Warp, points: tf.Tensor) -> tf.Tensor:
    """Does what `warp_points` does, for as many points as an image has pixels.

    Sums over the control points, a few at a time: their distances to all points at once would be hundreds of megabytes, and
    take several times as long; compiled, 15 times.

    Args:
        warp: A batch of B warps.
        points: `[B, ..., 2]` (y, x).

    Returns:
        `[B, ..., 2]` (y, x).
    """
    one_each = [-1, *[1] * (points.shape.rank - 2)]  # a value for each warp

    def spread(values: tf.Tensor) -> list[tf.Tensor]:
        """`[B or 1, 2]` to (y, x), to be broadcast over the points."""
        return [tf.reshape(values[:, axis], one_each) for axis in (0, 1)]

    parameters = warp.parameters
    control = tf.cast(warp.control, points.dtype)
    control = (
        control[:, tf.newaxis] if control.shape.rank == 2 else tf.transpose(control, [1, 0, 2])
    )
    num_control = control.shape[0]
    count = next(n for n in range(_AT_ONCE, 0, -1) if num_control % n == 0)
    weights = tf.transpose(parameters[:, :-3], [1, 0, 2])
    blocks = [
        tf.reshape(values, [num_control // count, count, *tf.unstack(tf.shape(values)[1:])])
        for values in (weights, control)
    ]
    y, x = tf.unstack(points, axis=-1)
    shift, of_y, of_x = (spread(parameters[:, k]) for k in (-3, -2, -1))
    start = tuple(t + a * y + b * x for t, a, b in zip(shift, of_y, of_x, strict=True))

    def add(warped: tuple[tf.Tensor, tf.Tensor], block: list[tf.Tensor]):
        for weight, place in zip(*(tf.unstack(values) for values in block), strict=True):
            place_y, place_x = spread(place)
            value = _kernel((y - place_y) ** 2 + (x - place_x) ** 2, warp.kernel)
            warped = tuple(w + value * f for w, f in zip(warped, spread(weight), strict=True))
        return warped

    return tf.stack(tf.foldl(add, blocks, start), axis=-1)


def warp_grid(warp: Warp, size: tuple[int, int]) -> tf.Tensor:
    """Returns the input point of every output pixel, `[B, height, width, 2]`."""
    points = warp_points(warp, coordinates.corner_grid(size).reshape(-1, 2))
    return tf.reshape(points, [-1, *size, 2])


def warp_images(warp: Warp, images: tf.Tensor, border: str = "zeros") -> tf.Tensor:
    """Warps `images [B, H, W, C]`; see `sampling.sample` for the border."""
    _, height, width, _ = images.shape
    return sampling.sample(images, tf.cast(warp_grid(warp, (height, width)), tf.float32), border)


def inverse_points(warp: Warp, points: tf.Tensor, iterations: int = 20) -> tf.Tensor:
    """Finds the output points that a warp maps to given input points, by Newton's method.

    Annotations of an image move to its warped image this way. A folded warp has no unique inverse,
    and a point may have none at all: the result is then one of several, or wherever the iteration
    ended. `warp_points` of the result tells.

    Args:
        warp: A batch of B warps.
        points: `[B, P, 2]` (y, x) input points.
        iterations: Newton steps; each is kept below half an image, so that none escapes.

    Returns:
        `[B, P, 2]` (y, x) with `warp(result) = points`.
    """
    points = tf.cast(points, warp.parameters.dtype)

    def improve(guess: tf.Tensor) -> tuple[tf.Tensor]:
        residual = warp_points(warp, guess) - points
        jacobian = _jacobian(warp, guess)
        step = tf.linalg.matvec(_inverse_2x2(jacobian), residual)
        length = tf.norm(step, axis=-1, keepdims=True)
        return (guess - step * tf.minimum(1.0, 0.5 / tf.maximum(length, 1e-12)),)

    # A loop of the graph: unrolled, it would take a graph that uses it ten seconds more to be built.
    (found,) = tf.while_loop(
        lambda _: True, improve, (tf.identity(points),), maximum_iterations=iterations
    )
    return found


def _split_seed(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    return tf.unstack(tf.random.experimental.stateless_split(seed, count), num=count)


def _draw_similarity(strength: WarpStrength, seed: tf.Tensor, batch_shape) -> tf.Tensor:
    """Draws the last three rows of a warp's parameters: t, the factors of y, the factors of x."""
    draws = tf.random.stateless_normal([*batch_shape, 4], seed)
    angle = draws[..., 0] * strength.rotation * (np.pi / 180.0)
    scale = 1.0 + draws[..., 1] * strength.scale
    return similarity(angle, scale, draws[..., 2:] * strength.translation)


def similarity(angle: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """Returns the affine parameters `[..., 3, 2]` of angles `[...]` (radians), scales `[...]`, shifts `[..., 2]`."""
    cos, sin = scale * tf.cos(angle), scale * tf.sin(angle)
    return tf.stack([shift, tf.stack([cos, sin], -1), tf.stack([-sin, cos], -1)], axis=-2)


def _identity_parameters(num_points: int) -> tf.Tensor:
    affine = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    return tf.constant(np.concatenate([np.zeros((num_points, 2)), affine]), tf.float32)


def _numpy_basis(points: np.ndarray, control: np.ndarray, kernel: Kernel) -> np.ndarray:
    """Returns `[P, N + 3]` float64: kernel values, 1, y, x."""
    squared = np.sum((points[:, np.newaxis] - control[np.newaxis]) ** 2, axis=-1)
    if kernel == "clamped":
        squared = np.maximum(squared, 1e-8)
        values = squared * np.log(squared)
    else:
        values = squared * np.log(squared + 1e-5)
    return np.concatenate([values, np.ones((len(points), 1)), points], axis=1)


def _basis(points: tf.Tensor, control: np.ndarray | tf.Tensor, kernel: Kernel) -> tf.Tensor:
    """Returns `[B, P, N + 3]`: the same for points that are tensors."""
    offsets = _offsets(points, control)
    values = _kernel(tf.reduce_sum(offsets**2, axis=-1), kernel)
    return tf.concat([values, tf.ones_like(points[..., :1]), points], axis=-1)


def _kernel(squared: tf.Tensor, kernel: Kernel) -> tf.Tensor:
    """The kernel of squared distances, elementwise."""
    if kernel == "clamped":
        squared = tf.maximum(squared, 1e-8)
        return squared * tf.math.log(squared)
    return squared * tf.math.log(squared + 1e-5)


def _offsets(points: tf.Tensor, control: np.ndarray | tf.Tensor) -> tf.Tensor:
    """Returns the way from each control point to each of `points [B, P, 2]`, `[B, P, N, 2]`."""
    if len(control.shape) == 3:
        control = control[:, tf.newaxis]
    return points[..., tf.newaxis, :] - tf.cast(control, points.dtype)


def _jacobian(warp: Warp, points: tf.Tensor) -> tf.Tensor:
    """Returns `[B, P, 2, 2]` with [i, j] = d(input coordinate i) / d(output coordinate j)."""
    offsets = _offsets(points, warp.control)
    squared = tf.reduce_sum(offsets**2, axis=-1)
    if warp.kernel == "clamped":
        slope = tf.where(squared > 1e-8, tf.math.log(tf.maximum(squared, 1e-8)) + 1.0, 0.0)
    else:
        slope = tf.math.log(squared + 1e-5) + squared / (squared + 1e-5)
    gradients = 2.0 * slope[..., tf.newaxis] * offsets
    num_points = warp.control.shape[-2]
    bent = tf.einsum("bpnj,bni->bpij", gradients, warp.parameters[:, :num_points])
    linear = tf.transpose(warp.parameters[:, num_points + 1 :], [0, 2, 1])
    return bent + linear[:, tf.newaxis]


def _inverse_2x2(matrices: tf.Tensor) -> tf.Tensor:
    (a, b), (c, d) = [tf.unstack(row, axis=-1) for row in tf.unstack(matrices, axis=-2)]
    determinant = a * d - b * c
    tiny = tf.abs(determinant) < 1e-6
    determinant = tf.where(tiny, tf.ones_like(determinant) * 1e-6, determinant)
    rows = [tf.stack([d, -b], -1), tf.stack([-c, a], -1)]
    return tf.stack(rows, axis=-2) / determinant[..., tf.newaxis, tf.newaxis]
