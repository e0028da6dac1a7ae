"""Any cores above each other, each around a residual path.

Shapes: B batch, T time, D features, H size of the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import haiku as hk
import jax
from annotated_types import Ge, MinLen

from tolman.networks.core import (
    CORES,
    Array,
    Diagnostics,
    MemoryCore,
    register_core,
    run_core,
)
from tolman.networks.gating import GRUGate, normalise

FIT = "layers whose settings fit:"
TRUTHS = {"True": True, "False": False}
READERS: dict[type, Callable[[str], Any]] = {
    int: int,
    float: float,
    str: str,
    bool: TRUTHS.__getitem__,
}


@dataclass(frozen=True)
class StackConfig:
    """Settings of a stack.

    Attributes:
      hidden_size: H, of the stream, of every layer and of the output.
      layers: cores from below, each by its name, perhaps with settings of its own:
        mingru?longest_memory=300 or attention?window=64&positions=alibi.
      gate: what joins a layer to the stream: none for their sum, or gru for a gate
        (Parisotto et al. 2019, section 3.2).
      gate_bias: of that gate; above 0 a layer starts near the identity map.
      mlp_size: units of an MLP after each layer, around a residual path of its own; 0 for
        none. Four times `hidden_size` in Vaswani et al. 2017, section 3.3.
    """

    hidden_size: Annotated[int, Ge(1)] = 48
    layers: Annotated[tuple[str, ...], MinLen(1)] = ("mingru", "mingru")
    gate: Literal["none", "gru"] = "none"
    gate_bias: float = 2.0
    mlp_size: Annotated[int, Ge(0)] = 0

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        for layer in self.layers:
            try:
                layer_of(layer, self.hidden_size)
            except ValueError as error:
                yield "layers", str(error)
                return


@register_core("stack")
class Stack(hk.Module):
    """Cores above each other, a norm before each and a residual path or a gate around it.

    GTrXL-, xLSTM- and GPT-like nets are settings of it.

    Source: Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture", for
      the norm before a layer; the gate: see `StackConfig`.
      Departure: the norms have no scale and no offset; the linear maps that follow learn
      them.
    """

    def __init__(self, config: StackConfig, name: str | None = None) -> None:
        super().__init__(name)
        self._config = config
        self._layers: list[MemoryCore] = []
        for number, spelled in enumerate(config.layers):
            core, settings = layer_of(spelled, config.hidden_size)
            self._layers.append(core(settings, name=f"layer_{number}"))
        if any(hasattr(layer, "diagnose") for layer in self._layers):
            self.diagnose = self._run

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        return tuple(layer.initial_state(batch_size) for layer in self._layers)

    def __call__(
        self, x: Array, reset: Array, state: tuple[Any, ...]
    ) -> tuple[Array, tuple[Any, ...]]:
        return self._run(x, reset, state)[:2]

    def unroll(
        self, x: Array, reset: Array, state: tuple[Any, ...]
    ) -> tuple[Array, tuple[Any, ...]]:
        return self._run(x, reset, state)[:2]

    def _run(
        self, x: Array, reset: Array, state: tuple[Any, ...]
    ) -> tuple[Array, tuple[Any, ...], Diagnostics]:
        """Takes a step or T; diagnostics have the layer's number before their names."""
        size, after = self._config.hidden_size, []
        told: dict[str, Array] = {}
        stream = hk.Linear(size, name="input")(x)
        for number, layer in enumerate(self._layers):
            output, layer_state, diagnostics = run_core(
                layer, normalise(stream), reset, state[number]
            )
            after.append(layer_state)
            told |= {f"layer_{number}/{name}": it for name, it in diagnostics.items()}
            if output.shape[-1] != size:
                output = hk.Linear(size, name=f"layer_{number}_output")(output)
            stream = self._join(stream, output, f"layer_{number}_gate")
            if self._config.mlp_size:
                inner = hk.Linear(self._config.mlp_size, name=f"mlp_{number}_inner")
                outer = hk.Linear(size, name=f"mlp_{number}_outer")
                output = outer(jax.nn.gelu(inner(normalise(stream))))
                stream = self._join(stream, output, f"mlp_{number}_gate")
        return stream, tuple(after), told

    def _join(self, stream: Array, output: Array, name: str) -> Array:
        if self._config.gate == "none":
            return stream + output
        return GRUGate(self._config.hidden_size, self._config.gate_bias, name)(
            stream, output
        )


def layer_of(spelled: str, hidden_size: int) -> tuple[Any, Any]:
    """The class of a core, and its config of that size and of the settings spelled out.

    Args:
      spelled: NAME or NAME?KEY=VALUE&KEY=VALUE.
      hidden_size: of a core that has such a setting, where it is not spelled.

    Raises:
      ValueError: saying what one or all of its parts must be.
    """
    name, _, settings = spelled.partition("?")
    if name not in CORES or CORES[name] is Stack:
        known = ", ".join(sorted(CORES.keys() - {"stack"}))
        raise ValueError(f"names of cores: {name!r} is none of {known}")
    kind = get_type_hints(CORES[name].__init__, include_extras=True)["config"]  # type: ignore[misc]
    hints = get_type_hints(kind, include_extras=True)
    keys = [item.name for item in fields(kind)]
    values: dict[str, Any] = {"hidden_size": hidden_size} if "hidden_size" in keys else {}
    for part in filter(None, settings.split("&")):
        key, _, text = part.partition("=")
        if key not in keys:
            told = ", ".join(keys)
            raise ValueError(f"layers with settings of theirs: {name} has {told}")
        values[key] = _read(name, key, text, hints[key])
    config = replace(kind(), **values)
    for key, must_be in getattr(config, "setting_problems", tuple)():
        raise ValueError(f"{FIT} {name}'s {key} must be {must_be}")
    return CORES[name], config


def _read(name: str, key: str, text: str, hint: Any) -> Any:
    """The value that a text spells, within the bounds of the setting."""
    bounds = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    kind = get_args(hint)[0] if bounds else hint
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            allowed = ", ".join(map(str, get_args(kind)))
            raise ValueError(f"{FIT} {name}'s {key} must be one of {allowed}")
        return text
    try:
        value = READERS[kind](text)
    except (KeyError, ValueError):
        told = getattr(kind, "__name__", str(kind))
        raise ValueError(f"{FIT} {name}'s {key} must be {told}") from None
    for bound in bounds:
        low, least = (getattr(bound, side, None) for side in ("gt", "ge"))
        high, most = (getattr(bound, side, None) for side in ("lt", "le"))
        unit = getattr(bound, "multiple_of", None)
        for broken, told in (
            (low is not None and value <= low, f"above {low}"),
            (least is not None and value < least, f"at least {least}"),
            (high is not None and value >= high, f"below {high}"),
            (most is not None and value > most, f"at most {most}"),
            (unit is not None and value % (unit or 1), f"a multiple of {unit}"),
        ):
            if broken:
                raise ValueError(f"{FIT} {name}'s {key} must be {told}")
    return value
