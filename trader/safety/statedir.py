"""Where the latch lives: the state folder, its fallbacks, and whether it may be trusted.

Law: standard library only. One state folder for all runs of a user: `TRADER_HOME`, else the
platform's user state folder. Folders are private (0700) unless the owner has opened the state
folder to a group (0770): then who is in the group may stop, and still only the owner re-arms.

When the state folder cannot be written, the latch goes to every fallback folder that can be:
`$XDG_RUNTIME_DIR`, `/run/user/<uid>`, `$TMPDIR/trader-<uid>`, `/tmp/trader-<uid>`. All of them
are read at every start. In each, the latch of a state folder is in a folder named by its path.
"""

import os
import stat
import sys
import zlib
from collections.abc import Mapping

GROUP_MODE = 0o2770  # with the bit that hands the folder's group on
REGISTRY, KILLS, REARMS, SPOOL = "registry", "kills", "rearms", "audit-spool"
ENTRY_PREFIX = "live-"  # of a run's folder in the registry: no run folder has such a name
# Whatever stands in a state folder. It may be any folder: nothing else in it is ours.
OURS = (REGISTRY, KILLS, REARMS, SPOOL, "claims", "kill.page", "PERMIT", "HALT", "latch.lock",
        "audit.jsonl")  # fmt: skip
OLD_REGISTRY = "runs"  # of the versions before
OLD_MARK = "kill.page"  # in each entry of theirs
# On these a lock or a write may not be what another process sees at the same moment.
REMOTE = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "glusterfs", "lustre", "fuse.sshfs", "ncpfs")
NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def home_path(environ: Mapping[str, str] = os.environ) -> str:
    """The state folder, absolute. It need not exist."""
    named = environ.get("TRADER_HOME")
    user = _user_folder()
    if named:  # what is not absolute is in the user's folder: the same from every working folder
        return os.path.abspath(os.path.join(user, os.path.expanduser(named)))
    if sys.platform == "darwin":  # pragma: no cover - the place on Apple's platform
        return os.path.join(user, "Library", "Application Support", "trader")
    state = environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):  # the XDG specification: a relative path is to be ignored
        state = os.path.join(user, ".local", "state")
    return os.path.join(os.path.abspath(state), "trader")


def _user_folder() -> str:
    """The user's folder, absolute: where HOME does not name one, as the system has it."""
    home = os.environ.get("HOME", "")
    if os.path.isabs(home):
        return home.rstrip("/") or "/"
    import pwd

    try:
        return os.path.join("/", pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:  # a user without an entry
        return "/"


def run_folder(home: str, run_id: str) -> str:
    """The registry's folder of a run in a state folder; the old place while it is only there.

    ValueError for a name that is no folder name.
    """
    if not is_run_name(run_id):
        raise ValueError(
            f"not a run id: {run_id!r} (1 to 128 letters, digits, '.', '_', '-'; no leading '.')"
        )
    folder = registry_folder(home, run_id)
    old = old_folder(home, run_id)
    is_old = os.path.lexists(os.path.join(old, OLD_MARK)) and not os.path.lexists(folder)
    return old if is_old else folder


def registry_folder(home: str, run_id: str) -> str:
    """`registry/live-<run_id>` of a state folder."""
    return os.path.join(home, REGISTRY, ENTRY_PREFIX + run_id)


def old_folder(home: str, run_id: str) -> str:
    """Where the versions before had it: `runs/<run_id>`, which may be a run folder as well."""
    return os.path.join(home, OLD_REGISTRY, run_id)


def registered(home: str) -> list[str]:
    """Run ids in the registry, in name order. OSError where it cannot be listed."""
    found = {
        name.removeprefix(ENTRY_PREFIX)
        for name in _names(os.path.join(home, REGISTRY))
        if name.startswith(ENTRY_PREFIX)
    }
    return sorted(filter(is_run_name, found.union(old_entries(home))))


def old_entries(home: str) -> list[str]:
    """Run ids that the versions before registered. OSError where their place cannot be listed."""
    place = os.path.join(home, OLD_REGISTRY)
    if not os.path.isdir(place):  # or a file of that name, which is somebody else's
        return []
    return [
        name
        for name in sorted(_names(place))
        if is_run_name(name) and os.path.lexists(os.path.join(place, name, OLD_MARK))
    ]


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def is_run_name(run_id: str) -> bool:
    """Whether a text can name a run: 1 to 128 letters, digits, `._-`, the first not a dot."""
    return (
        0 < len(run_id) <= 128 and not run_id.startswith(".") and NAME_CHARACTERS.issuperset(run_id)
    )


def make_folder(path: str) -> None:
    """Makes a folder (and its parents) private, or open to the group as the one it stands in."""
    parent = os.path.dirname(path)
    if not os.path.isdir(parent):
        make_folder(parent)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
        return
    sync_folder(parent)
    give_to_owner(path)
    above = os.stat(parent)
    if stat.S_IMODE(above.st_mode) & 0o077 == 0o070:
        os.chown(path, -1, above.st_gid)
        os.chmod(path, GROUP_MODE)


def give_to_owner(path: str) -> None:
    """What root makes in a user's folder is that user's: `sudo trader kill` locks nobody out."""
    above = os.stat(os.path.dirname(path))
    if os.geteuid() == 0 and above.st_uid != 0:
        os.chown(path, above.st_uid, above.st_gid, follow_symlinks=False)


def share_with_group(home: str) -> None:
    """What is made in a state folder that is open to its group becomes the group's.

    So does, once, what was in it before its owner opened it: who may stop must reach it all.
    """
    found = os.stat(home)
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid != os.getuid() or mode & 0o077 != 0o070 or mode == GROUP_MODE:
        return
    for name in sorted(set(OURS).intersection(os.listdir(home))):  # not what else is in there
        _hand_to_group(os.path.join(home, name), found.st_gid)
        for folder, folders, files in os.walk(os.path.join(home, name)):  # goes through no link
            for inside in folders + files:
                _hand_to_group(os.path.join(folder, inside), found.st_gid)
    os.chmod(home, GROUP_MODE)


def _hand_to_group(path: str, gid: int) -> None:
    made = os.lstat(path)
    if made.st_uid == os.getuid() and not stat.S_ISLNK(made.st_mode):
        os.chown(path, -1, gid)
        if stat.S_ISDIR(made.st_mode):
            os.chmod(path, GROUP_MODE)


def sync_folder(path: str) -> None:
    """Flushes the names in a folder, as far as this user may open it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return  # a parent that may be passed and not read; the folder itself is flushed later
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def owner_of(home: str) -> int:
    """Uid of the owner of a state folder; ours where there is none yet or that cannot be told."""
    try:
        return os.stat(home).st_uid
    except OSError:
        return os.getuid()


def fallback_folders(home: str, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Where the latch of a state folder goes when the folder itself cannot be written.

    The folders of its owner, whose starts read them, whoever is stopping.
    """
    uid = owner_of(home)
    runtime = [environ.get("XDG_RUNTIME_DIR") if uid == os.getuid() else "", f"/run/user/{uid}"]
    places = [os.path.join(place, "trader") for place in runtime if place and os.path.isdir(place)]
    shared = [environ.get("TMPDIR"), "/tmp"]
    places += [os.path.join(place, f"trader-{uid}") for place in shared if place]
    real = os.fsencode(os.path.realpath(home))
    key = f"{zlib.crc32(real):08x}{zlib.crc32(real[::-1]):08x}"
    return [os.path.join(place, key) for place in dict.fromkeys(places)]


def trusted_fallbacks(home: str, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Those fallback folders that exist and that nobody else can have prepared."""
    found, uid = fallback_folders(home, environ), owner_of(home)
    return [path for path in found if _is_of(uid, os.path.dirname(path)) and _is_of(uid, path)]


def make_fallback(path: str, uid: int | None = None) -> str:
    """Makes one fallback folder of a user ready to be written. "" or why it is not to be used."""
    uid = os.getuid() if uid is None else uid
    if os.getuid() not in (uid, 0):
        return f"{path}: only uid {uid}, whose starts look there, or root can make it"
    for folder in (os.path.dirname(path), path):
        try:
            os.mkdir(folder, 0o700)
            os.chown(folder, uid, -1)
        except FileExistsError:
            pass
        except OSError as error:
            return f"{folder}: {error.strerror}"
        if not _is_of(uid, folder):
            return f"{folder}: not a folder that only uid {uid} can write"
    return ""


def _is_of(uid: int, folder: str) -> bool:
    """A real folder (no link), of that user, closed to everyone else."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        found = os.fstat(fd)
    finally:
        os.close(fd)
    return found.st_uid == uid and stat.S_IMODE(found.st_mode) & 0o077 == 0


def unsafe_because(home: str) -> str:
    """Why a run may not trade with this state folder; "" when it may."""
    found = os.stat(home)
    if stat.S_IMODE(found.st_mode) & 0o002:
        return f"{home} can be written by everyone; run: chmod o-w {home}"
    kind = mount_type(home)
    if kind.startswith(REMOTE):
        return (
            f"{home} is on a {kind} file system, whose locks and writes may come late; "
            "set TRADER_HOME to a folder on a local disk"
        )
    return ""


def mount_type(path: str, mountinfo: str = "/proc/self/mountinfo") -> str:
    """File system type of the mount a path is on ("ext4"); "" where that cannot be told."""
    try:
        with open(mountinfo, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return ""
    real, longest, kind = os.path.realpath(path), -1, ""
    for line in lines:
        fields, _, rest = line.partition(" - ")
        point = _unescaped(fields.split()[4])
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= longest:
            longest, kind = len(point), rest.split()[0]
    return kind


def _unescaped(point: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(code, character)
    return point
