"""Disks in trouble, on small file systems of their own. Needs root and the right to mount."""

import contextlib
import os
import shutil
import subprocess

DISKS = ("normal", "full", "no_inodes", "read_only", "audit_dead")
MOUNTED = ("full", "no_inodes", "read_only")


def run_mount(*words):
    return subprocess.run(words, capture_output=True, text=True, check=False)


def why_no_mount(folder):
    """ "" when a tmpfs can be mounted here; else why not, for the notice of a skipped test."""
    if os.geteuid() != 0:
        return "not root"
    point = os.path.join(folder, "probe")
    os.makedirs(point, exist_ok=True)
    done = run_mount("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", point)
    if done.returncode:
        return f"mount failed: {done.stderr.strip()}"
    run_mount("umount", point)
    return ""


class Disk:
    """A place for state folders, and the trouble it can be put into and out of."""

    def __init__(self, kind, folder):
        self.kind, self.root = kind, os.path.join(folder, f"disk-{kind}")
        self.home = os.path.join(self.root, "home")  # as the runner sees it
        self.kill_home = self.home  # as `trader kill` sees it
        os.makedirs(self.root, exist_ok=True)

    def __enter__(self):
        options = {"full": "size=256k", "no_inodes": "size=1m,nr_inodes=64", "read_only": "size=1m"}
        if self.kind in MOUNTED:
            words = ("mount", "-t", "tmpfs", "-o", options[self.kind], "tmpfs", self.root)
            done = run_mount(*words)
            if done.returncode:
                raise OSError(done.stderr)
        if self.kind == "read_only":
            self.kill_home = os.path.join(self.root, "seen-read-only")
        return self

    def __exit__(self, *_):
        self.heal()
        if self.kind in MOUNTED:
            run_mount("umount", "-l", self.root)
        shutil.rmtree(self.root, ignore_errors=True)

    def break_down(self):
        """Puts the disk into its trouble, under a runner that is already armed."""
        if self.kind == "full":
            self._fill()
        elif self.kind == "no_inodes":
            with contextlib.suppress(OSError):
                for number in range(1000):
                    open(os.path.join(self.root, f"filler{number}"), "x").close()
        elif self.kind == "read_only":
            # The runner keeps its own view: with its files open the disk cannot be remounted.
            os.makedirs(self.kill_home, exist_ok=True)
            run_mount("mount", "--bind", self.home, self.kill_home)
            run_mount("mount", "-o", "remount,bind,ro", self.kill_home)
        elif self.kind == "audit_dead":
            os.makedirs(os.path.join(self.home, "audit.jsonl"), exist_ok=True)

    def _fill(self):
        with open(os.path.join(self.root, "filler"), "wb", buffering=0) as file:
            for size in (4096, 1):
                with contextlib.suppress(OSError):
                    while file.write(b"x" * size):
                        pass

    def make_room(self):
        """Takes away what filled it."""
        for name in os.listdir(self.root):
            if name.startswith("filler"):
                os.unlink(os.path.join(self.root, name))

    def heal(self):
        """Out of trouble, and empty."""
        if self.kind == "read_only" and os.path.isdir(self.kill_home):
            run_mount("umount", self.kill_home)
        for name in os.listdir(self.root):
            path = os.path.join(self.root, name)
            if os.path.isdir(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.unlink(path)
