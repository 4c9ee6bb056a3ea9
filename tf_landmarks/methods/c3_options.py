"""The options of C3. Most defaults are ours: the paper gives few numbers, and its code was not published (docs/c3.md)."""

import dataclasses
from typing import Literal

from tf_landmarks.augment import tps, warped_pairs
from tf_landmarks.layers import flow, soft_argmax
from tf_landmarks.losses import perceptual
from tf_landmarks.methods import base, optimizers, schedules

Backbone = Literal["resnet50", "resnet50_keras", "efficientnet_lite0", "small"]
FlowLevel = Literal["conv3_x", "conv4_x"]
Loss = Literal["balanced", "l2"]
Statistics = Literal["frozen", "pairs", "batch"]
Trained = Literal["all", "above_flow", "none"]


@dataclasses.dataclass(frozen=True)
class C3Options(optimizers.OptimizerOptions):
    """Options of C3; rates, batch and weight decay of the joint stage are the paper's."""

    backbone: Backbone = base.option(
        "resnet50",
        "the network below both heads; resnet50: that of PyTorch's files; resnet50_keras: that of Keras; small: IMM's "
        "convolutions, for a CPU",
    )
    weights: str = base.option(
        "",
        "weights that the backbone starts from, .npz or .pth: of ImageNet, or what another training left of the same network; "
        "imagenet: those of resnet50_keras that Keras downloads, or of efficientnet_lite0 that a package holds",
    )
    width: int = base.option(
        32, "channels of the first block of the small backbone; each later block doubles them"
    )
    dilated_levels: int = base.option(
        2,
        "of ResNet-50, how many of the last levels do not halve but look 2, 4 ... cells apart: with 2 it has a cell for "
        "8 pixels, with 0 one for 32",
    )
    flow_level: FlowLevel = base.option(
        "conv4_x", "level of the backbone by which places of two images are compared"
    )
    statistics: Statistics = base.option(
        "frozen",
        "by what the backbone normalises in training: frozen (its running averages, as pretrained weights want); pairs (the "
        "batch's in the first stage, frozen after it, heads too); batch (always the batch's, real and drawn images apart)",
    )
    trained: Trained = base.option(
        "all", "what of the backbone is trained: all, the levels behind --c3_flow_level, or none"
    )
    grid: int = base.option(
        16,
        "cells along a side of appearance and of the maps of landmarks; the image is a power of two times it",
    )
    head_width: int = base.option(256, "channels of the heads' convolutions and of appearance")
    head_norm: bool = base.option(False, "batch normalisation in the heads")
    softargmax: soft_argmax.SoftArgmax = base.option("joint", "how heatmaps become points")
    blob_std: float = base.option(
        0.1,
        "width of the blob at each landmark; the image is 2 units high. Below 16 cells at least 3/4 of a cell's step",
    )
    renderer_width: int = base.option(
        256, "channels of the decoder's first block; each later one halves them"
    )
    renderer_min_width: int = base.option(32, "channels below which the decoder does not go")
    output_affine: bool = base.option(
        False, "add mid-grey to the decoder's output; saves about 1000 steps"
    )
    flow_layers: int = base.option(
        3, "separable convolutions over four axes, a ReLU behind each; 1: the paper's text"
    )
    flow_width: int = base.option(16, "channels between them")
    flow_kernel: int = base.option(
        0, "side of their kernels, cells; 0: 3 up to a grid of 16 cells, 5 above"
    )
    flow_mutual: bool = base.option(
        False,
        "soft mutual matching before and after them, as neighbourhood consensus does for alignment",
    )
    flow_mode: flow.FlowMode = base.option(
        "hard",
        "how landmarks are moved by the flow: hard (the best cell; trains landmarks alone), or soft_warp, soft_coord, "
        "kernel, straight_through, by which the flow is trained too and may learn to agree with bad landmarks",
    )
    temperature: float = base.option(0.05, "of softmaxes over matches, whose cosines are in [0, 1]")
    loss: Loss = base.option(
        "l2", "balanced (levels of the loss network by running means), or l2 of pixels"
    )
    loss_network: str = base.option(
        "",
        "weights of the network whose features the balanced loss compares beside pixels, as --imm_loss_network; the paper's "
        "is a VGG: imagenet is the VGG-19 that Keras downloads",
    )
    loss_start: perceptual.Start = base.option(
        "published", "where the running means of the balanced loss start"
    )
    pair_steps: int = base.option(
        0,
        "steps of the first stage, which redraws a warped image from another warp of it as IMM does; 0: none",
        may_change=True,
    )
    flow_steps: int = base.option(
        0,
        "steps of the second stage, which trains the flow module on known warps; 0: none. The last stage, on pairs of "
        "different objects, has --steps",
        may_change=True,
    )
    pretraining_learning_rate: float = base.option(
        5e-4, "Adam's in the first two stages, at the start"
    )
    pretraining_schedule: Literal["constant", "cosine"] = base.option(
        "constant", "how the learning rate falls in each of the first two stages"
    )
    border: warped_pairs.Border = base.option(
        "zeros_mask",
        "of the first stage: black border with a mask, or a margin in which the image continues",
    )
    target_warp: tps.WarpStrength = base.option(
        tps.WarpStrength(0.0, 0.0, 0.1, 0.001, 0.005), "warp of the target of warped pairs"
    )
    source_warp: tps.WarpStrength = base.option(
        tps.WarpStrength(5.0, 0.1, 0.1, 0.001, 0.01), "warp of the source of warped pairs"
    )
    known_weight: float = base.option(
        1.0, "weight of the cross-entropy with known matches in the flow's loss"
    )
    weak_weight: float = base.option(
        0.1,
        "weight in the flow's loss of matches being surer within an image than between images",
    )
    cycle_weight: float = base.option(
        1.0, "weight of what returns where appearance and pose of two objects are exchanged twice"
    )
    invariance_weight: float = base.option(
        1.0, "weight of the landmarks' maps of drawn images against those they were drawn with"
    )
    equivariance_weight: float = base.option(
        1.0,
        "weight of the landmarks' maps of one image against those of the other, moved by the flow",
    )
    pair_weight: float = base.option(
        0.0, "weight of the first stage's loss in the last one; 0.5 is safe"
    )
    flow_weight: float = base.option(
        0.0,
        "weight of the flow's own loss in the last stage, for modes of --c3_flow_mode that train it",
    )
    detach: bool = base.option(
        True,
        "no gradient through images of the first exchange; without that the decoder may hide the pose of an image in "
        "them where nobody sees it",
    )
    detach_pose: bool = base.option(
        False, "no gradient of the invariance to the maps that images were drawn with"
    )
    squared_distances: bool = base.option(
        False, "distances of maps without the root: of invariance and equivariance"
    )
    l2: float = base.option(1e-4, "c of c * 1/2 |w|^2 on every weight that a stage trains")
    learning_rate: float = base.option(5e-4, "Adam's in the last stage, at the start")
    schedule: schedules.Schedule = base.option(
        "steps",
        "how the learning rate falls in the last stage; steps: to a tenth at each of learning_rate_step_1 and 2",
    )
    clip: optimizers.Clip = base.option(
        "variable", "what is clipped to norm 1: each variable's gradient, or all together"
    )

    @property
    def trains_decoder(self) -> bool:
        """Whether the last stage has a gradient for what draws: appearance and decoder."""
        through_drawn = not self.detach and self.invariance_weight
        return bool(self.cycle_weight or self.pair_weight or through_drawn)

    @property
    def trains_flow(self) -> bool:
        """Whether the last stage has a gradient for the flow module."""
        is_soft = self.equivariance_weight and self.flow_mode != "hard"
        return bool(self.flow_weight or is_soft)

    @property
    def takes_natural_pairs(self) -> bool:
        """Whether the last stage looks at pairs of different objects."""
        return bool(self.cycle_weight or self.invariance_weight or self.equivariance_weight)
