"""What the hub does wrong on purpose, so that readers can be tried: nothing unless it is asked."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from random import Random
from typing import Any, Self

from batching.errors import SettingError

REDELIVERED_EVENTS = 200  # at most, in one slice


@dataclass(frozen=True)
class Faults:
    """Shares, 0 to 1, of the slices of events that a reader is sent.

    Args:
        redeliver: slices that begin with events which the link has had before, up to 200.
        drop: slices after which the link is detached, as if the hub moved elsewhere.
        seed: of the chances; the same seed and the same calls give the same faults.

    """

    redeliver: float = 0.0
    drop: float = 0.0
    seed: int = 0

    @classmethod
    def read(cls, texts: Sequence[str]) -> Self:
        """Read `NAME=NUMBER`, each at most once.

        Raises:
            SettingError: there is no such fault, or it cannot have that number.

        """
        chosen: dict[str, Any] = {}
        for text in texts:
            name, _, value = text.partition("=")
            if name not in {field.name for field in fields(cls)}:
                raise SettingError(
                    f"--fault {text}: write redeliver=SHARE, drop=SHARE or seed=NUMBER, "
                    "such as redeliver=0.1"
                )
            try:
                number = int(value) if name == "seed" else float(value)
            except ValueError:
                raise SettingError(f"--fault {text}: {value!r} is no number") from None
            if name != "seed" and not 0 <= number <= 1:
                raise SettingError(f"--fault {text}: a share is a number from 0 to 1")
            chosen[name] = number
        return cls(**chosen)


class Mishaps:
    """The faults of one link, drawn one after another."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._chance = Random(faults.seed)  # noqa: S311 - not for secrets

    def back(self) -> int:
        """Give by how many events the next slice begins earlier; mostly none."""
        faults, chance = self._faults, self._chance
        if not faults.redeliver or chance.random() >= faults.redeliver:
            return 0
        return chance.randint(1, REDELIVERED_EVENTS)

    def drops(self) -> bool:
        """Tell whether the link ends now."""
        return bool(self._faults.drop) and self._chance.random() < self._faults.drop
