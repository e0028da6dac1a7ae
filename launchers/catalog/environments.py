"""Where the environments of a run come from: nothing is built that is not then stepped.

The first copy is built when something must be known of it that its factory does not tell:
its specs, or whether it runs on the device. It is kept, and is copy 0 of the first vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

import numpy as np

from tolman.launchers.catalog.names import ENV, Named, find

if TYPE_CHECKING:
    import dm_env

    from tolman.envs.environment import Environment
    from tolman.envs.host import HostVector

HOST_BASES = {"dm_env._environment.Environment", "gymnasium.core.Env"}


def vector_seeds(seed: int, steps: int, number: int) -> list[int]:
    """Seeds of the vectors that an actor begins with after so many steps of a run."""
    words = np.random.SeedSequence([seed, steps]).generate_state(number)
    return [int(word) for word in words]


@dataclass(frozen=True)
class Specs:
    """The specs of an environment that is somewhere else, or not built yet."""

    observation: Any
    action: Any

    def observation_spec(self) -> Any:
        """Of one copy."""
        return self.observation

    def action_spec(self) -> Any:
        """Of one copy."""
        return self.action


class _RunsOnDevice(ValueError):
    """A factory that was called to make a host environment made one in pure JAX."""

    def __init__(self, environment: Environment) -> None:
        super().__init__("runs on the device")
        self.environment = environment


class EnvironmentSource:
    """Makes the environments of one name and settings, singly or as a vector.

    Attributes:
      named: what makes them.
      settings: of `named.settings_type`.
      first_seed: of the first vector that will be asked for.
    """

    def __init__(
        self,
        named: Named,
        settings: Any,
        first_seed: int = 0,
        on_error: str = "fail",
        timeout_seconds: float = 60.0,
        num_processes: int = 0,
    ) -> None:
        """Builds nothing.

        Args:
          named: an environment that was looked up.
          settings: of `named.settings_type`.
          first_seed: of the first vector that will be asked for, so that a copy built
            before is one of it.
          on_error: "fail" or "restart"; see `SerialVector`. On-device environments and
            Atari know no faults; other vectors that are stepped as one fail as one, unless
            their family mends copies.
          timeout_seconds: see `SerialVector`.
          num_processes: that step the copies of a vector; 0 for this one.
        """
        self.named, self.settings = named, settings
        self.first_seed = first_seed
        self._on_error, self._timeout_seconds = on_error, timeout_seconds
        self._specs: Specs | None = None  # Once they are known.
        self._num_processes = num_processes
        self._environment: Environment | None = None  # Pure, so one is enough.
        self._first: Any = None  # A vector of the first copy, not handed out yet.

    @property
    def is_on_device(self) -> bool:
        """Whether it is pure JAX, so that the on-device launcher runs it.

        Raises:
          ValueError: if it must be built to be known, and cannot.
        """
        told = _told_by_factory(self.named.thing)
        if told is not None:
            return told
        self._build_first()
        return self._environment is not None

    def check_processes(self) -> None:
        """Raises ValueError where processes were asked for and cannot help."""
        if not self._num_processes:
            return
        reason = ""
        if self._vector_family() is not None:
            reason = "steps many copies as one by itself"
        elif self.is_on_device:
            reason = "is pure JAX"
        if reason:
            raise ValueError(
                f"env_processes={self._num_processes}: env {self.named.name!r} {reason}. "
                "Leave --env-processes out."
            )

    @property
    def mends_copies(self) -> bool:
        """Whether one copy of a vector can be restarted after a fault."""
        family = self._vector_family()
        return not self.is_on_device if family is None else family.mends_copies

    @property
    def releases_gil(self) -> bool:
        """Whether its vectors step outside Python."""
        family = self._vector_family()
        return family is not None and family.releases_gil

    def observation_spec(self) -> Any:
        """Of one copy."""
        return self.specs().observation

    def action_spec(self) -> Any:
        """Of one copy."""
        return self.specs().action

    def specs(self) -> Specs:
        """Those of one copy, which is built where nothing else tells them."""
        specs = self.known_specs()
        if specs is None:
            self._build_first()
            first: Any = self._environment if self._first is None else self._first
            specs = self._specs = Specs(first.observation_spec(), first.action_spec())
        return specs

    def known_specs(self) -> Specs | None:
        """The specs; None where a copy that is to be stepped must be built for them."""
        if self._specs is None:
            family = self._vector_family()
            if family is not None:
                self._specs = Specs(*family.specs(self.named.name, self.settings))
            elif _told_by_factory(self.named.thing):
                first = self.environment()
                self._specs = Specs(first.observation_spec(), first.action_spec())
        return self._specs

    def environment(self) -> Environment:
        """The on-device environment.

        Raises:
          ValueError: if it cannot be built from these settings, or is a host environment.
        """
        if self.is_on_device:
            self._build_first()
        if self._environment is None:
            self.close()
            raise ValueError(
                f"env {self.named.name!r} is not an on-device environment (pure JAX; "
                "`tolman list envs`): it runs on the host, with --launcher local."
            )
        return self._environment

    def host_environment(self, seed: int) -> dm_env.Environment:
        """Builds one environment of any kind as a `dm_env.Environment`.

        Raises:
          ValueError: if it cannot be built from these settings, or is no environment.
        """
        from tolman.envs.adapters import DmEnvAdapter

        try:
            return self._build_host(seed)
        except _RunsOnDevice as found:
            return DmEnvAdapter(found.environment, seed)

    def make_vector(self, seed: int, num_envs: int) -> HostVector:
        """Makes E copies, of any kind, to be stepped on the host.

        Copies of an on-device environment have the keys that `OnDeviceRunner.init` gives a
        population of one from `PRNGKey(seed)`: equal actions, equal trajectories.

        Args:
          seed: of all chance in them, in [0, 2**32).
          num_envs: E.

        Raises:
          ValueError: if it cannot be built from these settings, or is no environment.
          EnvironmentFault: if building it fails otherwise.
        """
        family = self._vector_family()
        if family is not None:
            more = {"on_error": self._on_error} if family.mends_copies else {}
            name, settings = self.named.name, self.settings
            return family.make_vector(name, settings, num_envs, seed, **more)
        if _told_by_factory(self.named.thing) is not True and self._environment is None:
            first, first_seed = self._first, self.first_seed
            self._first = None
            if first is None or first_seed != seed:
                if first is not None:
                    first.close()
                first = self._start_vector(seed)
            if first is not None:
                first.extend(num_envs)
                return first
        return self._on_device_vector(seed, num_envs)

    def close(self) -> None:
        """Closes a first copy that nothing has asked for."""
        if self._first is not None:
            self._first.close()
            self._first = None

    def _vector_family(self) -> Any:
        """The family that makes many copies as one; None where they are stepped in turn."""
        family = getattr(self.named.thing, "family", None)
        if family is None or family.make_vector is None:
            return None
        return family if family.is_vector(self.settings) else None

    def _build_first(self) -> None:
        if self._environment is not None or self._first is not None:
            return
        if _told_by_factory(self.named.thing):
            built = self.named.build(self.settings, 0)
            if not _runs_on_device(built):
                raise _no_environment(self.named.name, built)
            self._environment = built
        else:
            self._first = self._start_vector(self.first_seed)

    def _start_vector(self, seed: int) -> Any:
        """A vector of one host environment; None, and it is kept, if it is on-device."""
        from tolman.envs.process_vector import ProcessVector
        from tolman.envs.serial_vector import SerialVector

        settings = (seed, self.named.name, self._on_error, self._timeout_seconds)
        try:
            if self._num_processes:
                number = self._num_processes
                return ProcessVector(self._build_host, 1, number, *settings)
            return SerialVector(self._build_host, 1, *settings)
        except _RunsOnDevice as found:
            self._environment = found.environment
            return None

    def _on_device_vector(self, seed: int, num_envs: int) -> HostVector:
        import jax

        from tolman.envs.host import OnDeviceVector

        _, _, key = jax.random.split(jax.random.PRNGKey(seed), 3)
        return OnDeviceVector(self.environment(), jax.random.split(key, num_envs))

    def _build_host(self, seed: int) -> dm_env.Environment:
        import dm_env

        from tolman.envs.adapters import GymnasiumAdapter

        environment = self.named.build(self.settings, seed)
        if isinstance(environment, dm_env.Environment):
            if hasattr(environment, "reseed"):
                environment.reseed(seed)
            return environment
        if hasattr(environment, "observation_space"):
            return GymnasiumAdapter(environment, seed)
        if _runs_on_device(environment):
            raise _RunsOnDevice(environment)
        raise _no_environment(self.named.name, environment)


def find_environments(name: str, settings: Any = None) -> EnvironmentSource:
    """The source of a named environment; settings None for the default ones."""
    named = find(ENV, name)
    return EnvironmentSource(
        named, named.default_settings() if settings is None else settings
    )


def _told_by_factory(factory: Any) -> bool | None:
    """Whether it makes on-device environments; None where that is not plain from it."""
    from tolman.envs.families import Member

    if isinstance(factory, Member):
        return factory.family.is_on_device
    made = factory
    if not isinstance(factory, type):
        try:
            made = get_type_hints(factory).get("return")
        except Exception:  # Names in annotations may stand for nothing at run time.
            return None
    if not (isinstance(made, type) and callable(getattr(made, "step", None))):
        return None
    bases = {f"{base.__module__}.{base.__name__}" for base in made.__mro__}
    return not bases & HOST_BASES


def _runs_on_device(environment: Any) -> bool:
    """False for dm_env's and Gymnasium's too, whose `reset` takes no key."""
    import dm_env

    from tolman.envs.environment import Environment

    is_host = isinstance(environment, dm_env.Environment)
    is_host = is_host or hasattr(environment, "observation_space")
    return isinstance(environment, Environment) and not is_host


def _no_environment(name: str, got: Any) -> ValueError:
    return ValueError(
        f"env {name!r}: is a {type(got).__name__}; must be an on-device environment, a "
        "dm_env.Environment or a gymnasium.Env."
    )
