"""Under root the server runs as an ordinary user, for Postgres refuses to run as root.

That is the user who owns the home, or, for root's own home, a system user made for it. Data and programs may lie under
folders that only root may enter (``/root``, a private temporary folder): this user alone is let through them, by an
access control list; where the file system has none, by the traverse bit for others (``o+x``, never ``o+r``), with a
warning.
"""

from __future__ import annotations

import errno
import logging
import os
import pwd
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import ServerError

log = logging.getLogger(__name__)

NAME = "workbench"
_ACL = "system.posix_acl_access"
# linux/posix_acl_xattr.h: version, then (tag, permissions, id) per entry, in the order of the tags.
_USER_OBJ, _USER, _GROUP_OBJ, _MASK, _OTHER, _NO_ID = 0x01, 0x02, 0x04, 0x10, 0x20, 0xFFFFFFFF
_EXECUTE = 0o1


@dataclass(frozen=True, slots=True)
class SystemUser:
    """Who the server runs as. ``is_other``: not as we do, so what it needs is given to it."""

    uid: int
    gid: int
    is_other: bool

    @classmethod
    def of(cls, folder: Path) -> SystemUser:
        """The user for the server whose files are in this folder."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), is_other=False)
        owner = folder.stat().st_uid
        try:
            entry = pwd.getpwuid(owner) if owner != 0 else _made()
        except KeyError:  # a number without a name (a container's volume): Postgres wants a name
            entry = _made()
        return cls(entry.pw_uid, entry.pw_gid, is_other=True)

    def popen(self) -> dict[str, Any]:
        """Keywords for :class:`subprocess.Popen`."""
        if not self.is_other:
            return {"umask": 0o077}
        return {"user": self.uid, "group": self.gid, "extra_groups": [], "umask": 0o077}

    def give(self, path: Path) -> None:
        """Make this user the owner."""
        if self.is_other:
            os.chown(path, self.uid, self.gid)

    def let_through(self, *paths: Path) -> None:
        """Let this user pass every folder above these paths."""
        if not self.is_other:
            return
        for path in paths:
            for folder in reversed(path.resolve().parents):
                if not self._may_pass(folder.stat()):
                    _let_pass(folder, self.uid)

    def _may_pass(self, found: os.stat_result) -> bool:
        if found.st_uid == self.uid:
            return bool(found.st_mode & 0o100)
        if found.st_gid == self.gid:
            return bool(found.st_mode & 0o010)
        return bool(found.st_mode & 0o001)


def _made() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        pass
    program = shutil.which("useradd") or shutil.which("adduser") or "useradd"
    arguments = ["--system", "--no-create-home", "--shell", "/usr/sbin/nologin", NAME]
    if program.endswith("adduser"):  # busybox
        arguments = ["-S", "-D", "-H", NAME]
    try:
        said = subprocess.run([program, *arguments], capture_output=True, text=True, check=False).stderr.strip()
    except OSError as error:
        said = str(error)
    try:
        return pwd.getpwnam(NAME)  # ours, or made at the same time by somebody else
    except KeyError:
        raise ServerError(
            f"Postgres cannot run as root, and a system user {NAME!r} for it could not be made ({said})."
            f" Make one (useradd --system {NAME}), run as an ordinary user, or give a server's URL."
        ) from None


def _let_pass(folder: Path, user: int) -> None:
    mode = folder.stat().st_mode
    try:
        entries = _read_acl(folder) or {
            (_USER_OBJ, _NO_ID): mode >> 6 & 7,
            (_GROUP_OBJ, _NO_ID): mode >> 3 & 7,
            (_OTHER, _NO_ID): mode & 7,
        }
        mask = entries.get((_MASK, _NO_ID), entries[_GROUP_OBJ, _NO_ID])
        # A chmod of the folder takes the mask away and leaves the entry: both are looked at.
        if entries.get((_USER, user), 0) & mask & _EXECUTE:
            return
        entries[_USER, user] = _EXECUTE
        entries[_MASK, _NO_ID] = mask | _EXECUTE
        packed = b"".join(struct.pack("<HHI", tag, bits, id) for (tag, id), bits in sorted(entries.items()))
        os.setxattr(folder, _ACL, struct.pack("<I", 2) + packed)
    except (OSError, AttributeError) as error:  # no lists on this file system, or in this operating system
        log.warning("%s: made passable for others (o+x), as it has no access control lists (%s)", folder, error)
        folder.chmod(mode | 0o001)


def _read_acl(folder: Path) -> dict[tuple[int, int], int]:
    try:
        data = os.getxattr(folder, _ACL)
    except OSError as error:
        if error.errno == errno.ENODATA:
            return {}
        raise
    return {(tag, id): bits for tag, bits, id in struct.iter_unpack("<HHI", data[4:])}
