"""C3: landmarks from unpaired images by cross-image cycle consistency (Xu, Yang, Liu, Dai, Zhou 2020).

Two images i and j of *different* objects have nothing in common that could be redrawn. So look and pose are exchanged
twice: I_ij, with the look of i and the pose of j, and I_ji are drawn, encoded, exchanged back, and the originals must
return (`cycle`). Poses read from what was drawn must be those it was drawn with (`inv`). And the landmarks of i, moved to j by a
flow that matches places of the two images, must be those of j (`equiv`). All of that has trivial solutions; so
parts are trained on synthetic pairs first (stages `pairs` and `flow`, then `joint`), and the drawn images are
detached: no gradient reaches what drew them.

The paper has no code and leaves open most numbers; docs/c3.md says what was chosen and why. Images are in [0, 1] as in
IMM, whose decoder, warps and loss these are.
"""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import tensorflow as tf
from absl import logging

from tf_landmarks import coordinates
from tf_landmarks.augment import known_warp_pairs, natural_pairs, together, warped_pairs
from tf_landmarks.augment.augmentation import Augmentation, Batch, part_of
from tf_landmarks.augment.natural_pairs import other_of_pair
from tf_landmarks.errors import UserError
from tf_landmarks.layers import correlation, flow, frozen_network
from tf_landmarks.losses import cycle, matching, perceptual
from tf_landmarks.methods import base, c3_health, c3_networks, optimizers
from tf_landmarks.methods.c3_options import C3Options

_EXAMINED = 32  # images, at once
_CONTROL_SIDE = 10  # of the flow's warps, as of the first stage's


class C3(base.LandmarkModel):
    """The model; see the module's head."""

    options_class = C3Options
    frozen_kinds: ClassVar = {
        "loss_network": base.Frozen(frozen_network.FrozenNetwork, for_losses_only=True)
    }
    initial_weights: ClassVar[Mapping[str, tuple[str, ...]]] = {"weights": ("networks.backbone",)}
    loss_layers = ("pair_balance", "cycle_balance")
    terms: ClassVar[Mapping[str, str]] = {
        "m_input": "of warped pairs, mean squared error of the redrawn pixels, colours from 0 to 255, where the mask counts; should fall",
        "m_*": "of warped pairs, mean squared error of the features of this level of the loss network; should fall",
        "known": "cross-entropy of matches with those of a known warp, nats; the logarithm of the number of cells where nothing "
        "is matched; should fall",
        "weak": "how much surer matches are between images than within one; should fall below 0",
        "found": "share of places whose match is at most a cell from where a known warp has it; should rise above found_raw and found_still",
        "found_raw": "the same of the most alike features of the backbone, without the flow module",
        "found_still": "the same of a flow that moves nothing",
        "silent": "share of filtered correlations that are exactly 0; near 1 the flow module is dead",
        "pair": "loss of warped pairs, without its weight",
        "cycle": "loss of the images that return after two exchanges, without its weight",
        "cycle_m_*": "of images that return after two exchanges, mean squared error of pixels (input, colours from 0 to 255) or of the "
        "features of this level of the loss network; should fall",
        "inv": "distance of the landmarks' maps of drawn images from those they were drawn with",
        "equiv": "distance of the landmarks' maps of an image from those of another, moved by the flow; cannot fall below what whole cells leave",
        **c3_health.TERMS,
    }
    remedies = base.Remedies(
        dead="with more --c3_pair_steps, with --c3_head_norm, or with a higher --c3_pretraining_learning_rate",
        spread="anew with stronger warps (--c3_source_warp_*) or more --c3_pair_steps",
        warps="with more --c3_pair_steps, with --c3_pair_weight=0.5, or with stronger warps (--c3_source_warp_*)",
        border="train with --c3_border=margin",
        capacity="with a wider decoder (--c3_renderer_width)",
    )

    def __init__(self, spec: base.ModelSpec, options: C3Options, frozen=None, **kwargs):
        super().__init__(spec, options, frozen, **kwargs)
        self.loss_network = (frozen or {}).get("loss_network")
        self.networks = c3_networks.Networks(spec, options, name="networks")

    @classmethod
    def check(cls, spec: base.ModelSpec, options: C3Options) -> None:
        """The decoder doubles the grid until it has the image's size, and the last stage must have a loss."""
        if options.statistics == "frozen" and not options.weights:
            logging.warning(
                "--c3_statistics=frozen without --c3_weights: a backbone that begins anew normalises nothing so; give "
                "weights, or --init_from a run that had some, or take --c3_statistics=pairs"
            )
        if not options.pair_steps:
            logging.warning(
                "--c3_pair_steps=0: pairs of different objects are all there is to learn from, which from nothing ends in "
                "copies; give steps, as configs/cpu_c3.cfg does, or --init_from a run that has had them"
            )
        sizes = [options.grid * 2**n for n in range(1, 6)]
        if spec.image_size not in sizes:
            raise UserError(
                f"--image_size={spec.image_size} does not fit --c3_grid={options.grid} cells; "
                f"C3 then takes {', '.join(map(str, sizes))}"
            )
        if not 0 <= options.dilated_levels <= 3:
            raise UserError(
                f"--c3_dilated_levels={options.dilated_levels} must be from 0 to 3: the first of four levels does not halve"
            )
        kernel = options.flow_kernel
        for name, value, fits, rule in (
            ("flow_kernel", kernel, kernel == 0 or (kernel > 0 and kernel % 2), "odd, or 0"),
            ("flow_layers", options.flow_layers, options.flow_layers > 0, "1 or more"),
            ("temperature", options.temperature, options.temperature > 0.0, "above 0"),
        ):
            if not fits:
                raise UserError(f"--c3_{name}={value} must be {rule}")
        if not options.takes_natural_pairs and not options.pair_weight:
            raise UserError(
                "--c3_cycle_weight, --c3_invariance_weight, --c3_equivariance_weight and --c3_pair_weight are all 0: the "
                "last stage has nothing to learn; give one of them"
            )

    @property
    def stages(self) -> list[base.Stage]:
        """`pairs`, `flow` and `joint`, the first two as far as they have steps."""
        options = self.options
        stages = []
        if options.pair_steps:
            player = self._player("pairs", self._pair_variables, is_first=True)
            stages.append(
                base.Stage(
                    "pairs", self._warped_pairs(), self.rebuild, (player,), options.pair_steps
                )
            )
        if options.flow_steps:
            player = self._player("flow", self._flow_variables, is_first=True)
            least = 2 if options.weak_weight else 1
            stages.append(
                base.Stage(
                    "flow", self._known_pairs(), self.match, (player,), options.flow_steps, least
                )
            )
        joint = self._player("joint", self._joint_variables)
        return [
            *stages,
            base.Stage(
                "joint", self._joint_batches(), self.exchange, (joint,), min_batch=2, multiple=2
            ),
        ]

    def rebuild(self, batch: Batch, training: bool) -> base.Losses:
        """Redraws a warped image from another warp of it; terms: `m_<level>`."""
        total, errors = self._redrawn(batch, training)
        return base.Losses({"pairs": total}, errors, progress=errors["m_input"])

    def match(self, batch: Batch, training: bool) -> base.Losses:
        """Trains the flow module on known warps, nothing else; terms: `known`, `weak`, `found...`, `silent`."""
        del training  # the backbone is frozen, and the module has no normalisation
        total, terms = self._matched(batch)
        return base.Losses({"flow": total}, terms)

    def exchange(self, batch: Batch, training: bool) -> base.Losses:
        """The last stage; terms: `cycle`, `inv`, `equiv`, `pair` and what they are made of, and two indices."""
        options, total, terms = self.options, 0.0, {}
        if options.takes_natural_pairs:
            images = part_of(batch, "natural")["images"]
            total, terms = self._exchanged(images, training)
        if options.pair_weight:
            loss, errors = self._redrawn(part_of(batch, "warped"), training, is_first=False)
            terms |= {"pair": loss, **errors}
            total += options.pair_weight * loss
        if options.flow_weight:
            loss, matched = self._matched(part_of(batch, "known"))
            terms |= matched
            total += options.flow_weight * loss
        return base.Losses({"joint": total}, terms)

    def represent(self, images: tf.Tensor, training: bool = False) -> base.Landmarks:
        """See the base class."""
        return base.Landmarks.of(self._encode(images, training, is_first=True).pose)

    def render(self, images: tf.Tensor, landmarks: tf.Tensor) -> tf.Tensor:
        """See the base class."""
        appearance = self._encode(images, training=False).appearance
        output = self.networks.decode(appearance, self.networks.maps(landmarks))
        return tf.clip_by_value(output, 0.0, 1.0)

    def render_parts(self, images: tf.Tensor) -> base.Parts:
        """See the base class: D(a, 0) and D(0, p)."""
        real = self._encode(images, training=False)
        inputs = [(real.appearance, tf.zeros_like(real.maps))]
        inputs.append((tf.zeros_like(real.appearance), real.maps))
        return base.Parts(*(tf.clip_by_value(self.networks.decode(*i), 0.0, 1.0) for i in inputs))

    def swap(self, appearance_images: tf.Tensor, pose_images: tf.Tensor) -> tf.Tensor:
        """Draws the look of some images in the poses of others, `[B, S, S, 3]` float32 in [0, 1] each."""
        return self.render(appearance_images, self.represent(pose_images).points)

    def correspond(self, images_a: tf.Tensor, images_b: tf.Tensor) -> base.Correspondence:
        """See the base class: T both ways."""
        first, second = (self.networks.see(images).flow for images in (images_a, images_b))
        raw = correlation.correlation(first, second)
        matches = self.networks.flow(raw)
        found = (matches, correlation.exchange(matches), raw)
        places = (flow.places(m, "hard", self.options.temperature) for m in found)
        return base.Correspondence(*places, scores=matches)

    @classmethod
    def own_health(cls, images: tf.Tensor, find, render=None, correspond=None) -> base.OwnHealth:
        """See the base class."""
        count = min(len(images) // 2 * 2, _EXAMINED)
        if not count or render is None or correspond is None:
            return super().own_health(images, find)
        images = tf.constant(images[:count])
        matches = correspond(*tf.split(images, 2)).scores
        return c3_health.examine(images, find, render, matching.silent_share(matches))

    def build_variables(self, for_training: bool = True) -> None:
        """See the base class."""
        options = self.options
        side = self.networks.flow_side
        self.networks.flow(tf.zeros([1, side, side, side, side]))
        if for_training and options.loss == "balanced":
            network = self.loss_network
            levels = ("input", *(network.levels(self.spec.image_size) if network else ()))
            # Errors of warped pairs and of what returns after two exchanges are not of one size.
            self.pair_balance, self.cycle_balance = (
                perceptual.RunningBalance(levels, start=options.loss_start) for _ in range(2)
            )
        super().build_variables(for_training)

    def _encode(self, images: tf.Tensor, training: bool, is_first: bool = False):
        """Encodes; `is_first` says that it is the first stage, whose statistics may be the batch's."""
        by_batch = self.options.statistics == "batch" or is_first
        of_backbone = by_batch and self.options.statistics != "frozen"
        return self.networks.encode(images, training and of_backbone, training and by_batch)

    def _redrawn(
        self, batch: Batch, training: bool, is_first: bool = True
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The loss of warped pairs and what it is made of."""
        source, target, mask = batch["source"], batch["target"], batch["mask"]
        both = self._encode(tf.concat([source, target], axis=0), training, is_first)
        appearance, _ = tf.split(both.appearance, 2)
        _, maps = tf.split(both.maps, 2)
        output = self.networks.decode(appearance, maps, training)
        return self._compare("pair_balance", target, output, mask, training)

    def _exchanged(
        self, images: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The losses of pairs of different objects: weighted in all, and each with what it is made of."""
        options, terms, total = self.options, {}, 0.0
        real = self._encode(images, training)  # of i in the first half, of j in the second
        if options.equivariance_weight:
            terms["equiv"] = self._moved(real)
            total += options.equivariance_weight * terms["equiv"]
        if options.cycle_weight or options.invariance_weight:
            loss, drawn = self._swapped_twice(images, real, training)
            total, terms = total + loss, terms | drawn
        return total, terms

    def _swapped_twice(
        self, images: tf.Tensor, real: c3_networks.Encoding, training: bool
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """L_cycle and L_inv: weighted in all, and each with what it is made of."""
        options, networks, terms, total = self.options, self.networks, {}, 0.0
        drawn = networks.decode(real.appearance, other_of_pair(real.maps), training)  # I_ij, I_ji
        again = self._encode(tf.stop_gradient(drawn) if options.detach else drawn, training)
        if options.cycle_weight:
            # a'_i stands with p'_j, of I_ij; p'_i is that of I_ji.
            returned = networks.decode(again.appearance, other_of_pair(again.maps), training)
            mask = tf.ones_like(images[..., :1])
            loss, errors = self._compare("cycle_balance", images, returned, mask, training)
            terms |= {"cycle": 2.0 * loss} | {f"cycle_{name}": e for name, e in errors.items()}
            total += options.cycle_weight * terms["cycle"]
        if options.invariance_weight:
            posed = tf.stop_gradient(real.maps) if options.detach_pose else real.maps
            terms["inv"] = 2.0 * cycle.map_distance(
                other_of_pair(again.maps), posed, options.squared_distances
            )
            total += options.invariance_weight * terms["inv"]
        return total, terms | c3_health.indices(
            images, drawn, real.pose.landmarks, again.pose.landmarks
        )

    def _moved(self, real: c3_networks.Encoding) -> tf.Tensor:
        """L_equiv, both ways."""
        options = self.options
        matches = self.networks.matches(
            *tf.split(real.places, 2)
        )  # [B / 2, cells of i, cells of j]
        of_i, of_j = tf.split(real.maps, 2)
        distances = [
            cycle.map_distance(
                maps, flow.carry(each, moved, options.flow_mode, options.temperature), options.squared_distances
            )
            for maps, moved, each in (
                (of_j, of_i, matches),
                (of_i, of_j, correlation.exchange(matches)),
            )
        ]  # fmt: skip
        return tf.add_n(distances)

    def _matched(self, batch: Batch) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The flow's own loss and what it is made of; each place of the source is sought in the target."""
        options, networks, places = self.options, self.networks, batch["correspondence"]
        both = networks.see(tf.concat([batch["target"], batch["source"]], axis=0)).flow
        target, source = tf.split(tf.stop_gradient(both), 2)
        raw = correlation.correlation(target, source)
        matches = networks.flow(raw)
        size = tuple(matches.shape[1:3])
        total, terms = 0.0, {}
        if options.known_weight:
            terms["known"] = matching.known_matches(matches, places, options.temperature)
            total += options.known_weight * terms["known"]
        if options.weak_weight:
            others = networks.matches(target, tf.roll(source, 1, axis=0))
            terms["weak"] = matching.weak(matches, others)
            total += options.weak_weight * terms["weak"]
        found = {
            "found": flow.places(matches, "hard", options.temperature),
            "found_raw": flow.places(raw, "hard", options.temperature),
            "found_still": matching.still_places(size),
        }
        terms |= {name: matching.found_share(f, places, size) for name, f in found.items()}
        terms["silent"] = matching.silent_share(matches)
        return total, terms

    def _compare(
        self,
        balance: str,
        target: tf.Tensor,
        output: tf.Tensor,
        mask: tf.Tensor,
        training: bool,
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """P of the paper, about 1 for each level when running means have settled, and the errors of its levels.

        Without a loss network's running means, the error of pixels over the published start of its mean.
        """
        is_balanced = self.options.loss == "balanced"
        network = self.loss_network if is_balanced else None
        errors = perceptual.level_errors(network, target, output, mask)
        terms = {f"m_{level}": error for level, error in errors.items()}
        if not is_balanced:
            return errors["input"] / perceptual.INITIAL_MEANS["input"], terms
        balance = getattr(self, balance)
        stacked = base.mean_over_replicas(tf.stack([errors[k] for k in balance.levels]))
        return balance(stacked, training=training) / balance.SCALE, terms

    def _player(self, name: str, variables, is_first: bool = False) -> base.Player:
        options = self.options
        if is_first:
            options = dataclasses.replace(
                options,
                learning_rate=options.pretraining_learning_rate,
                schedule=options.pretraining_schedule,
            )
        player = optimizers.player(name, options, variables, epsilon=1e-8)
        return dataclasses.replace(player, l2=options.l2)

    def _pair_variables(self) -> list[tf.Variable]:
        networks = self.networks
        layers = (
            networks.pose_head,
            networks.landmark_conv,
            networks.appearance_head,
            networks.decoder,
        )
        return networks.trained_backbone() + [v for x in layers for v in x.trainable_variables]

    def _flow_variables(self) -> list[tf.Variable]:
        return self.networks.flow.trainable_variables

    def _joint_variables(self) -> list[tf.Variable]:
        """What has a gradient in the last stage."""
        networks, options = self.networks, self.options
        layers = [networks.pose_head, networks.landmark_conv]
        layers += [networks.appearance_head, networks.decoder] if options.trains_decoder else []
        layers += [networks.flow] if options.trains_flow else []
        return networks.trained_backbone() + [v for x in layers for v in x.trainable_variables]

    def _warped_pairs(self) -> Augmentation:
        options = self.options
        return warped_pairs.WarpedPair(
            options.target_warp, options.source_warp, border=options.border
        )

    def _known_pairs(self) -> Augmentation:
        side = self.networks.flow_side
        cells = coordinates.corner_grid((side, side)).reshape(-1, 2)
        return known_warp_pairs.KnownWarpPair(
            self.options.target_warp, self.options.source_warp, _CONTROL_SIDE, cells
        )

    def _joint_batches(self) -> Augmentation:
        options, parts = self.options, {}
        if options.takes_natural_pairs:
            parts["natural"] = natural_pairs.NaturalPairs()
        if options.pair_weight:
            parts["warped"] = self._warped_pairs()
        if options.flow_weight:
            parts["known"] = self._known_pairs()
        return together.Together(parts)
