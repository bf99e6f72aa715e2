"""A PEP 517 and PEP 660 backend that turns builds of CUDA extensions for torch (``projects/``) into portable wheels.

A frontend (pip, build, uv) calls only the hooks below. Each hook calls :mod:`mamba_build_backend.pipeline` inside one
error boundary: errors that the user can fix become lines on stderr and an exit code, and bugs keep their traceback.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ._version import __version__ as __version__

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

ConfigSettings = Optional[Mapping[str, Any]]


def _spelled(way: str) -> str:
    from .probe.shell import spelled_for_frontend

    return spelled_for_frontend(way)


def get_requires_for_build_wheel(config_settings: ConfigSettings = None) -> list[str]:
    """List what the build environment still needs: compile tools, and torch, nvcc or a sysroot if missing."""
    from . import pipeline
    from .core import error_boundary
    from .job import Kind, Step, hook_job

    with error_boundary.hook_errors(_spelled):
        return pipeline.wheel_requirements(hook_job(config_settings, Kind.WHEEL, Step.FIRST))


def get_requires_for_build_editable(config_settings: ConfigSettings = None) -> list[str]:
    """List what an editable build still needs; it links against this machine, so it needs no sysroot."""
    from . import pipeline
    from .core import error_boundary
    from .job import Kind, Step, hook_job

    with error_boundary.hook_errors(_spelled):
        return pipeline.wheel_requirements(hook_job(config_settings, Kind.EDITABLE, Step.FIRST))


def get_requires_for_build_sdist(config_settings: ConfigSettings = None) -> list[str]:
    """List what is needed to download upstream's source, if it is not here yet."""
    from . import pipeline
    from .core import error_boundary
    from .job import Kind, Step, hook_job

    with error_boundary.hook_errors(_spelled):
        return pipeline.sdist_requirements(hook_job(config_settings, Kind.SDIST, Step.FIRST))


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: ConfigSettings = None) -> str:
    """Write the .dist-info that the wheel will have; return its folder's name."""
    from . import pipeline
    from .core import error_boundary
    from .job import Kind, Step, hook_job

    with error_boundary.hook_errors(_spelled):
        return pipeline.write_metadata(hook_job(config_settings, Kind.WHEEL, Step.NEXT), metadata_directory)


def prepare_metadata_for_build_editable(metadata_directory: str, config_settings: ConfigSettings = None) -> str:
    """Write the .dist-info that the editable wheel will have; return its folder's name."""
    from . import pipeline
    from .core import error_boundary
    from .job import Kind, Step, hook_job

    with error_boundary.hook_errors(_spelled):
        return pipeline.write_metadata(hook_job(config_settings, Kind.EDITABLE, Step.NEXT), metadata_directory)


def build_wheel(
    wheel_directory: str, config_settings: ConfigSettings = None, metadata_directory: str | None = None
) -> str:
    """Build, repair and audit the wheel; return its file name."""
    from . import pipeline
    from .core import error_boundary
    from .job import Kind, Step, hook_job

    with error_boundary.hook_errors(_spelled):
        return pipeline.build_wheel(
            hook_job(config_settings, Kind.WHEEL, Step.LAST), wheel_directory, metadata_directory
        )


def build_editable(
    wheel_directory: str, config_settings: ConfigSettings = None, metadata_directory: str | None = None
) -> str:
    """Compile into the build folder and write a wheel that points to it; return its file name."""
    from . import pipeline
    from .core import error_boundary
    from .job import Kind, Step, hook_job

    with error_boundary.hook_errors(_spelled):
        return pipeline.build_editable(
            hook_job(config_settings, Kind.EDITABLE, Step.LAST), wheel_directory, metadata_directory
        )


def build_sdist(sdist_directory: str, config_settings: ConfigSettings = None) -> str:
    """Write an sdist that carries the verified upstream source; return its file name."""
    from . import pipeline
    from .core import error_boundary
    from .job import Kind, Step, hook_job

    with error_boundary.hook_errors(_spelled):
        return pipeline.build_sdist(hook_job(config_settings, Kind.SDIST, Step.LAST), sdist_directory)
