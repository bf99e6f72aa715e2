"""What nvcc is told."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..core.errors import SettingsError

PREPEND, APPEND = "NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS"
"""Variables whose words nvcc takes in front of and behind its arguments (nvcc's documentation, "NVCC Environment Variables")."""


@dataclass(frozen=True)
class EnvironmentFlags:
    """Words that reach nvcc from the environment."""

    prepend: tuple[str, ...] = ()
    append: tuple[str, ...] = ()

    def notes(self) -> list[str]:
        """A sentence for each variable that is not empty."""
        named = ((PREPEND, self.prepend), (APPEND, self.append))
        return [f"{name}={shlex.join(words)} reaches nvcc" for name, words in named if words]


def environment_flags(environ: Mapping[str, str], changed: Iterable[tuple[str, str | None]] = ()) -> EnvironmentFlags:
    """The words that reach nvcc from ``environ``, after the changes that a plan makes (``BuildPlan.environment``).

    Raises SettingsError for a quote that is not closed.
    """
    variables = {**environ, **dict(changed)}
    return EnvironmentFlags(_words(PREPEND, variables.get(PREPEND)), _words(APPEND, variables.get(APPEND)))


def _words(name: str, text: str | None) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text or ""))
    except ValueError as error:
        needed = "nvcc's options with blanks between are needed, each quote closed"
        raise SettingsError(f"{name}={text}: {error}", needed, f"unset {name}") from None
