"""The options of IMM; the defaults are the released code's, but for what the head of imm.py names."""

import dataclasses
from typing import Literal

from tf_landmarks.augment import tps, warped_pairs
from tf_landmarks.layers import soft_argmax
from tf_landmarks.losses import perceptual
from tf_landmarks.methods import base, optimizers, schedules

Loss = Literal["balanced", "l2", "l1"]
Bottleneck = Literal["landmarks", "vector"]
PairKind = Literal["composed", "independent", "frames", "warped_frames"]


@dataclasses.dataclass(frozen=True)
class ImmOptions(optimizers.OptimizerOptions):
    """Options of IMM; the defaults are the released code's, but for what the head of imm.py names."""

    width: int = base.option(
        32, "channels of the first block of detector and encoder; each later block doubles them"
    )
    renderer_width: int = base.option(
        256, "channels of the renderer's first block; each later one halves them"
    )
    renderer_min_width: int = base.option(32, "channels below which the renderer does not go")
    grid: int = base.option(
        16, "cells along a side of the heatmaps; the image is a power of two times it"
    )
    detector: Literal["body", "unet"] = base.option(
        "body",
        "network that finds landmarks: body, as published, with an answer for each cell of the grid; unet: not published, with one "
        "for every second pixel of the image",
    )
    drawn_size: int = base.option(
        0,
        "side to which images are shrunk for encoder, renderer and loss, pixels; 0: none, all see what the detector sees",
    )
    bottleneck: Bottleneck = base.option(
        "landmarks",
        "what crosses from target to output: landmarks; or, for the paper's ablation, a vector of 2K "
        "numbers between fully connected layers",
    )
    softargmax: soft_argmax.SoftArgmax = base.option("mean", "how heatmaps become points")
    blob: soft_argmax.MapShape = base.option(
        "gaussian_without_half", "shape of the blob at each landmark"
    )
    blob_std: float = base.option(0.1, "width of the blob; the image is 2 units high")
    output_affine: bool = base.option(
        False, "add mid-grey to the renderer's output; saves about 1000 steps"
    )
    loss: Loss = base.option(
        "l2", "balanced (levels of the loss network by running means), or l2 or l1 of pixels"
    )
    loss_network: str = base.option(
        "",
        "weights of the network whose features the balanced loss compares beside pixels: VGG-16 or "
        "VGG-19 (.h5, .npz), SqueezeNet (.h5), or what --method=colorization wrote; imagenet: "
        "the VGG-19 that Keras downloads",
    )
    loss_start: perceptual.Start = base.option(
        "published",
        "where the running means of the balanced loss start; first_batch saves 1000 steps",
    )
    loss_zoom: int = base.option(
        1, "how many times images are enlarged before the loss network sees them"
    )
    loss_stop_gradient: bool = base.option(
        False, "no gradient through the running means of the balanced loss"
    )
    adversarial: float = base.option(
        0.0,
        "weight of a patch discriminator's verdict beside the loss of pixels, for the paper's ablation; "
        "0: no discriminator",
    )
    legacy_resize: bool = base.option(
        False, "resize as TensorFlow 1 did: upsampling in the renderer, masks in the loss"
    )
    weight_decay: float = base.option(1e-5, "c of c * 1/2 |W|^2 on convolution kernels")
    schedule: schedules.Schedule = base.option("staircase", "how the learning rate falls")
    clip: optimizers.Clip = base.option(
        "variable", "what is clipped to norm 1: each variable's gradient, or all together"
    )
    pairing: PairKind = base.option(
        "composed",
        "source = warp of the target; independent warps; frames of a video as they are; or warped_frames, "
        "each warped by itself",
    )
    border: warped_pairs.Border = base.option(
        "zeros_mask", "black border with a mask, or a margin in which the image continues"
    )
    target_warp: tps.WarpStrength = base.option(
        tps.WarpStrength(0.0, 0.0, 0.1, 0.001, 0.005), "warp of the target"
    )
    source_warp: tps.WarpStrength = base.option(
        tps.WarpStrength(5.0, 0.1, 0.1, 0.001, 0.01), "warp of the source"
    )
    mirror: bool = base.option(True, "mirror frame pairs with probability 1/2")
