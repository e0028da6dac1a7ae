"""How each part of an observation enters a network, decided by its spec.

* A numbered part (`DiscreteArray`, or bounded integers) enters one-hot.
* Bytes, and all other bounded integers, are divided by the spec's largest number.
* An image is turned to [height, width, channels]; stacked images become channels.
* Everything else enters as it is.
* A mask of legal actions, a part called `action_mask` or `legal_actions`, never enters.

A part is named by its path in the observation, such as "camera.rgb"; an observation that is
one array has the name "". Shapes: `...` any leading axes, D numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from tolman.agents.agent import Array
from tolman.agents.settings import InputSettings
from tolman.envs.actions import clip_action, is_mask
from tolman.envs.environment import is_target
from tolman.envs.spelling import suggest
from tolman.networks.torsos import DEEP, SHALLOW, ConvTorso, MLPTorso, TileTorso, flatten

MAX_ONE_HOT = 4096  # Numbers; bounded integers that need more are scaled.
MIN_SIDE = 16  # Of an array with two axes that may be an image.
MAX_CHANNELS = 16  # That may stand first without --agent.image-axes.
COLOURS = (1, 3, 4)  # Channels of one of several stacked images.


class Part(NamedTuple):
    """One array of an observation.

    Attributes:
      name: its path.
      is_read: it enters the network.
      axes: of an image, such as "CHW"; "" for anything else.
      how: it enters, in words.
      encode: maps `[..., *shape]` to `[..., D]`, of an image to `[..., H, W, C]`.
      question: what its spec leaves open, in one line; "" for nothing.
    """

    name: str
    is_read: bool
    axes: str
    how: str
    encode: Callable[[Array], Array]
    question: str


def describe_inputs(
    observation_spec: Any,
    settings: InputSettings | None = None,
    targets: Sequence[str] = (),
) -> list[str]:
    """How each part of an observation enters a network, a line each.

    Args:
      observation_spec: a `dm_env.specs.Array`, or a nest of them.
      settings: the agent's; None for the default ones.
      targets: parts that only losses read; see `plan_inputs`.
    """
    parts = _parts(observation_spec, settings or InputSettings(), targets)
    return [f"{part.name or 'observation'}: {part.question or part.how}" for part in parts]


def plan_inputs(
    observation_spec: Any, settings: InputSettings, targets: Sequence[str] = ()
) -> list[Part]:
    """Decides how each part of an observation enters a network, in the order of its leaves.

    Args:
      observation_spec: a `dm_env.specs.Array`, or a nest of them.
      settings: the agent's. Where `reads` names parts, those enter and no others.
      targets: parts that only losses read. Like those whose spec is marked by `as_target`,
        they enter only where `reads` names them.

    Raises:
      ValueError: if `reads` names a part that is not there, or no part would enter.
    """
    parts = _parts(observation_spec, settings, targets)
    if not any(part.is_read for part in parts):
        named = ", ".join(part.name for part in parts)
        raise ValueError(
            f"every part of the observation is a target or a mask ({named}): nothing is "
            "left to act on. Set --agent.reads."
        )
    return parts


def _parts(
    observation_spec: Any, settings: InputSettings, targets: Sequence[str]
) -> list[Part]:
    """The parts of an observation, of which none need enter; see `plan_inputs`."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(observation_spec)
    named = {
        jax.tree_util.keystr(path, simple=True, separator="."): spec
        for path, spec in leaves
    }
    for name in settings.reads:
        if not any(is_within(one, [name]) for one in named):
            hint = suggest(name, named)
            has = ", ".join(repr(one) for one in named) if any(named) else "no named parts"
            raise ValueError(
                f"reads={settings.reads!r}: the observation has no part {name!r}{hint}; it "
                f"has {has}. Set --agent.reads."
            )
    parts = []
    for name, spec in named.items():
        if is_mask(name):
            is_read = False
        elif settings.reads:
            is_read = is_within(name, settings.reads)
        else:
            is_read = not (is_target(spec) or is_within(name, targets))
        parts.append(_part(name, spec, settings, is_read))
    return parts


def is_within(name: str, groups: Sequence[str]) -> bool:
    """Whether the part is one of those named, or inside one: "a.b" is within "a"."""
    return any(name == group or name.startswith(f"{group}.") for group in groups)


def encode_actions(action_spec: Any) -> Callable[[Any], Array]:
    """Returns what maps actions to the `[..., D]` numbers that a network reads of them.

    Numbered ones enter one-hot and continuous ones as they are, joined where there are
    several.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(action_spec)
    flat = InputSettings(torso="flat")
    parts = [_part(jax.tree_util.keystr(path), spec, flat, True) for path, spec in leaves]

    def encode(action: Any) -> Array:
        action = clip_action(action_spec, action)
        pairs = zip(parts, jax.tree.leaves(action), strict=True)
        return jnp.concatenate([part.encode(leaf) for part, leaf in pairs], axis=-1)

    return encode


def make_torso(
    settings: InputSettings, parts: Sequence[Part], apart: Sequence[str] = ()
) -> Callable[[Any], dict[str, Array]]:
    """Builds what turns an observation into named vectors; call it in a Haiku transform.

    Every part has a torso of its own. Their outputs are joined under the name "features",
    but for those parts that a core takes apart: these have no torso.

    Args:
      settings: the agent's.
      parts: from `plan_inputs`.
      apart: parts, or groups of them, that the core names.

    Returns:
      A function of an observation `[..., *shape]` that returns `[..., D]` by name; without
      "features" where no part is left for it.

    Raises:
      ValueError: if it is not certain how a part that is read enters, or the torso needs
        images and there is none.
    """
    read = [part for part in parts if part.is_read]
    for part in read:
        if part.question:
            raise ValueError(f"{part.name or 'observation'}: {part.question}")
    wants_images = settings.torso in ("conv", "deep_conv", "tiles")
    if wants_images and not any(part.axes for part in read):
        raise ValueError(
            f"torso={settings.torso!r} needs images [height, width, channels], got "
            f"{'; '.join(part.how for part in read)}. Set --agent.torso auto."
        )

    def build(part: Part) -> Callable[[Array], Array]:
        if is_within(part.name, apart) or settings.torso == "flat":
            return lambda x: flatten(x, 3) if part.axes else x
        if part.axes:
            if settings.torso == "tiles":
                return TileTorso(settings.torso_size)
            layers = DEEP if settings.torso == "deep_conv" else SHALLOW
            return ConvTorso(settings.torso_size, layers)
        return MLPTorso([settings.torso_size], settings.torso_activation)

    torsos = [build(part) if part.is_read else None for part in parts]

    def torso(observation: Any) -> dict[str, Array]:
        groups: dict[str, list[Array]] = {}
        leaves = jax.tree.leaves(observation)
        for part, apply, leaf in zip(parts, torsos, leaves, strict=True):
            if apply is not None:
                group = next(
                    (one for one in apart if is_within(part.name, [one])), "features"
                )
                groups.setdefault(group, []).append(apply(part.encode(leaf)))
        return {name: jnp.concatenate(group, axis=-1) for name, group in groups.items()}

    return torso


def _part(name: str, spec: specs.Array, settings: InputSettings, is_read: bool) -> Part:
    low, high = _bounds(spec)
    is_number = isinstance(spec, specs.DiscreteArray) or _is_numbered(spec, low, high)
    axes, question = ("", "") if is_number else _image_axes(spec, settings)
    num_axes = len(spec.shape)
    if is_number:
        counts = np.atleast_1d(high - low + 1).reshape(-1)
        encode = _one_hot(low.reshape(-1), counts, num_axes)
        what = f"one of {counts[0]}" if len(counts) == 1 else f"{len(counts)} codes"
        how = f"{what}, one-hot, {counts.sum()} numbers"
    else:
        scale = _scale(spec, low, high)
        values = "" if scale is None else f", divided by {np.max(scale):g}"
        if axes:
            encode = _to_image(axes, scale)
            how = f"image {axes} {tuple(spec.shape)}{values}"
        else:
            encode = _to_numbers(num_axes, scale)
            how = f"{int(np.prod(spec.shape))} numbers{values or ' as they are'}"
    if not is_read:
        role = "a target, " if is_target(spec) else ""
        role = "the legal actions, a mask, " if is_mask(name) else role
        how, question = f"{role}not read", ""
    return Part(name, is_read, axes, how, encode, question)


def _bounds(spec: specs.Array) -> tuple[Any, Any]:
    """The smallest and the largest numbers of bounded integers, `[*shape]`; else None."""
    if not np.issubdtype(spec.dtype, np.integer):
        return None, None
    limits = np.iinfo(spec.dtype)
    low = np.broadcast_to(getattr(spec, "minimum", limits.min), spec.shape).astype(np.int64)
    high = np.broadcast_to(getattr(spec, "maximum", limits.max), spec.shape).astype(
        np.int64
    )
    is_bounded = limits.bits == 8 or (high < limits.max).all()
    return (low, high) if is_bounded and low.size else (None, None)


def _is_numbered(spec: specs.Array, low: Any, high: Any) -> bool:
    """Whether integers are codes: bounded, no bytes, no image, and not only 0 and 1."""
    if low is None or spec.dtype == np.uint8 or len(spec.shape) > 2:
        return False
    counts = high - low + 1
    return bool((counts > 2).any() and counts.sum() <= MAX_ONE_HOT)


def _scale(spec: specs.Array, low: Any, high: Any) -> Any:
    """What integers are divided by: a number, or one each; None for nothing."""
    if low is None:
        return None
    largest = np.maximum(np.abs(low), np.abs(high)).astype(np.float32)
    largest = np.where(largest == 0.0, np.float32(1.0), largest)
    if (largest == 1.0).all():
        return None
    return float(largest.flat[0]) if (largest == largest.flat[0]).all() else largest


def _image_axes(spec: specs.Array, settings: InputSettings) -> tuple[str, str]:
    """The axes of an image, "" for no image; and the question where that is not certain."""
    shape, wanted = tuple(spec.shape), settings.image_axes
    if settings.torso in ("mlp", "flat") or wanted == "none":
        return "", ""
    if len(wanted) == len(shape) and wanted != "auto":
        return wanted, ""
    found, choices = [], ""
    if len(shape) == 2 and min(shape) >= MIN_SIDE:
        choices = "HW, or none for numbers"
        is_bytes = spec.dtype == np.uint8 and np.max(getattr(spec, "maximum", 255)) == 255
        found = ["HW"] if is_bytes else []
    elif len(shape) == 3:
        choices = "HWC or CHW"
        first, middle, last = shape
        found = ["HWC"] if last < min(first, middle) else []
        found += ["CHW"] if first < min(middle, last, MAX_CHANNELS + 1) else []
    elif len(shape) == 4:
        choices = "NHWC or NCHW"
        _, second, third, last = shape
        found = ["NHWC"] if last in COLOURS and last < min(second, third) else []
        found += ["NCHW"] if second in COLOURS and second < min(third, last) else []
    if not choices or len(found) == 1:
        return "".join(found), ""
    return "", (
        f"shape {shape}, {np.dtype(spec.dtype).name}: which axes are height, width and "
        f"channels is not certain. Set --agent.image-axes {choices}."
    )


def _one_hot(low: np.ndarray, counts: np.ndarray, num_axes: int) -> Callable[..., Array]:
    def encode(x: Array) -> Array:
        leading = x.shape[: x.ndim - num_axes]
        codes = x.reshape(*leading, -1).astype(jnp.int32) - low.astype(np.int32)
        parts = [jax.nn.one_hot(codes[..., i], n) for i, n in enumerate(counts.tolist())]
        return jnp.concatenate(parts, axis=-1)

    return encode


def _to_numbers(num_axes: int, scale: Any) -> Callable[[Array], Array]:
    def encode(x: Array) -> Array:
        x = x.astype(jnp.float32)
        return flatten(x if scale is None else x / scale, num_axes)

    return encode


def _to_image(axes: str, scale: Any) -> Callable[[Array], Array]:
    def encode(x: Array) -> Array:
        x = x.astype(jnp.float32)
        x = x if scale is None else x / scale
        if axes == "HW":
            return x[..., None]
        if axes == "HWC":
            return x
        if axes == "NHWC":
            x = jnp.moveaxis(x, -4, -2)  # [..., H, W, N, C]
            return x.reshape(*x.shape[:-2], -1)
        if axes == "NCHW":
            x = x.reshape(*x.shape[:-4], -1, *x.shape[-2:])  # [..., N C, H, W]
        return jnp.moveaxis(x, -3, -1)

    return encode
