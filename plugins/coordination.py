"""The built-in ways for several workers to agree: the shared state folder, or Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, SecretStr, field_validator

from ..middleware.hookspecs import hookimpl
from ..middleware.registry import COORDINATION, Build, NoSettings, Registrar, Settings

if TYPE_CHECKING:
    from ..middleware.protocols import Coordination

SCHEMES = ("redis://", "rediss://", "unix://")


class RedisSettings(Settings):
    """The Redis that all workers use.

    Attributes:
        url: ``redis://``, ``rediss://`` or ``unix://``, with user and password where it wants them.
        prefix: of all keys; a digest of the secret follows it, so that deployments do not meet by accident.
        lease_s: how long the places of a worker that was killed stay taken.
        timeout_s: the longest a request waits for Redis; after that the limits are divided until it works again.
        answer_s: how long an answer stays in Redis for the workers that wait for it; less than what was forgotten
            counts as doubtful (30 s).
    """

    url: SecretStr = SecretStr("redis://localhost:6379/0")
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9:._-]{1,64}$")] = "forebay"
    lease_s: Annotated[float, Field(ge=1, le=60)] = 5.0
    timeout_s: Annotated[float, Field(gt=0, le=5)] = 0.25
    answer_s: Annotated[float, Field(ge=1, le=25)] = 10.0

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(SCHEMES):
            msg = f"must start with {', '.join(SCHEMES)}"
            raise ValueError(msg)
        return value


def _make_local(settings: NoSettings, build: Build) -> Coordination:  # noqa: ARG001
    from ..adapters.local.coordination import LocalCoordination

    return LocalCoordination(build.state_dir, serves=build.serves)


def _make_redis(settings: RedisSettings, build: Build) -> Coordination:
    from ..adapters.redis.coordination import RedisCoordination

    return RedisCoordination(
        settings.url.get_secret_value(),
        prefix=f"{settings.prefix}:{build.keyring.digest('coordination')[:8]}",
        folder=build.state_dir,
        lease_s=settings.lease_s,
        timeout_s=settings.timeout_s,
        left_s=settings.answer_s,
        serves=build.serves,
    )


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register the coordinations "local" and "redis"."""
    registry.add(COORDINATION, "local", _make_local, settings=NoSettings)
    registry.add(COORDINATION, "redis", _make_redis, settings=RedisSettings, extra="redis", stability="beta")
