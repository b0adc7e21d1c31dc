"""Where the store of a round is: a directory, or a file system whose power can be cut."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

# <linux/ext4.h>: _IOR('X', 125, __u32), and its flag for neither journal nor data.
EXT4_IOC_SHUTDOWN = 0x8004587D
NOLOGFLUSH = 2
IMAGE_BYTES = 128 << 20


def run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"`{' '.join(map(str, command))}`: {done.stderr.strip() or done.returncode}")


class Directory:
    """An ordinary directory: only the process is killed."""

    def __init__(self, path: Path) -> None:
        self.store = path

    def renew(self) -> None:
        shutil.rmtree(self.store, ignore_errors=True)
        self.store.mkdir()

    def cut(self) -> None:
        """The child is killed by who started it."""

    def power_on(self) -> None:
        pass

    def close(self) -> None:
        shutil.rmtree(self.store, ignore_errors=True)


class Image:
    """An ext4 file system in a file, on a loop device."""

    def __init__(self, folder: Path) -> None:
        self.image = folder / "ext4.img"
        self.mount_point = folder / "mounted"
        self.store = self.mount_point / "store"
        self.mounted = False
        self.mount_point.mkdir()

    def renew(self) -> None:
        """Empty, and mounted."""
        self.unmount()
        self.image.unlink(missing_ok=True)
        with open(self.image, "wb") as file:
            file.truncate(IMAGE_BYTES)
        run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.image)
        self.mount()
        self.store.mkdir()
        os.sync()

    def mount(self) -> None:
        run("mount", "-o", "loop", self.image, self.mount_point)
        self.mounted = True

    def unmount(self) -> None:
        if self.mounted:
            run("umount", self.mount_point)
            self.mounted = False

    def cut(self) -> None:
        """From now on nothing gets onto the disk: no cached page, no journal. Writers get an I/O error."""
        fd = os.open(self.mount_point, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        finally:
            os.close(fd)

    def power_on(self) -> None:
        """As at the next start: what has not reached the disk is forgotten, the journal is replayed."""
        self.unmount()
        self.mount()

    def close(self) -> None:
        self.unmount()


def why_no_power_cuts() -> str | None:
    """Tries one: `None` where it works, else what is missing."""
    if not sys.platform.startswith("linux"):
        return "needs Linux"
    if os.geteuid() != 0:
        return "needs root, to mount a loop device"
    for tool in ("mkfs.ext4", "mount", "umount"):
        if not shutil.which(tool):
            return f"needs `{tool}`"
    with tempfile.TemporaryDirectory(prefix="powercut-") as folder:
        image = Image(Path(folder))
        try:
            image.renew()
            (image.store / "forgotten").write_bytes(b"x" * 10_000)
            image.cut()
            image.power_on()
            if (image.store / "forgotten").exists():
                return "the file system keeps what was never synced"
        except OSError as error:
            return f"needs loop devices and ext4 ({error})"
        finally:
            image.close()
    return None
