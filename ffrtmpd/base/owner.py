"""Folders that belong to a service's user: the administrator, who is root, must not leave files of root in them."""

import os
import pwd
from pathlib import Path


def owner_of(folder: Path) -> int | None:
    """Return the user id of a folder's owner, None if there is no such folder or it cannot be seen."""
    try:
        return folder.stat().st_uid
    except OSError:
        return None


def is_own(folder: Path) -> bool:
    """Tell whether a folder is there and belongs to the user of this process."""
    return owner_of(folder) == os.geteuid()


def name_of(uid: int) -> str:
    """Return the name of a user, its number if it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def other_owner(folder: Path) -> str | None:
    """Return whose folder this is when root looks at one of another user; None otherwise."""
    uid = owner_of(folder)
    return None if os.geteuid() != 0 or uid in (None, 0) else name_of(uid or 0)


def become_owner(folder: Path) -> None:
    """Give up root for good and be the user whose folder this is; nothing happens to who is not root."""
    name = other_owner(folder)
    if name is None:
        return
    told = folder.stat()
    if name.isdecimal():
        os.setgroups([])
        os.setgid(told.st_gid)
    else:
        entry = pwd.getpwnam(name)
        os.initgroups(name, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.environ["HOME"] = entry.pw_dir
    os.setuid(told.st_uid)
