"""Files that a command writes."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from airflow_provider_hubassoc.terminal.arguments import UsageError


def check_target(target: Path) -> None:
    """Check that a file can be written, before any work is done.

    :raises UsageError: if it is a folder, read-only, or in a folder that does not exist.
    """
    real = Path(os.path.realpath(target))
    if real.is_dir():
        raise UsageError(f"{target} is a folder; name a file in it")
    if not real.parent.is_dir():
        raise UsageError(f"{target} cannot be written: the folder {real.parent} does not exist")
    if real.exists() and not os.access(real, os.W_OK):
        raise UsageError(f"{target} cannot be written: it is read-only")
    if is_replaceable(target) and not os.access(real.parent, os.W_OK):
        raise UsageError(f"{target} cannot be written: no permission to create files in {real.parent}")


def is_replaceable(target: Path) -> bool:
    """Return True if a path is a regular file or does not exist. Devices and pipes are written to, never replaced."""
    try:
        return stat.S_ISREG(os.stat(target).st_mode)
    except FileNotFoundError:
        return True


def write_file(target: Path, content: str) -> None:
    """Write a file completely or not at all. Permissions and symbolic links are kept.

    :raises UsageError: if it cannot be written.
    """
    check_target(target)
    try:
        if is_replaceable(target):
            _replace(Path(os.path.realpath(target)), content.encode())
        else:
            target.write_text(content, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{target} could not be written: {error.strerror}") from None


def _replace(target: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name[:100]}.", dir=target.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            existing = target.stat()
            if hasattr(os, "chown") and (existing.st_uid, existing.st_gid) != (os.geteuid(), os.getegid()):
                with contextlib.suppress(PermissionError):
                    os.chown(temporary, existing.st_uid, existing.st_gid)
            os.chmod(temporary, stat.S_IMODE(existing.st_mode))
        else:
            os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    """Return the umask. It can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
