"""A network of two hosts whose link can be cut; needs root."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Link:
    """This host, and a namespace that stands for the other; a veth pair between the two."""

    name: str
    near: str
    far: str

    @property
    def launcher(self) -> Sequence[str]:
        """What runs a command on the other host."""
        return ("ip", "netns", "exec", self.name)

    def cut(self) -> None:
        """From now on nothing that one side sends arrives, and neither is told."""
        _ip("-n", self.name, "link", "set", self.name, "down")

    def mend(self) -> None:
        _ip("-n", self.name, "link", "set", self.name, "up")


@contextmanager
def linked() -> Iterator[Link]:
    """Two hosts, in a network that no other process of the tests has at the same time."""
    network = f"10.{64 + os.getpid() // 256 % 64}.{os.getpid() % 256}"
    link = Link(f"relay{os.getpid()}", f"{network}.1", f"{network}.2")
    near = f"n{os.getpid()}"
    _ip("netns", "add", link.name)
    try:
        _ip("link", "add", near, "type", "veth", "peer", "name", link.name, "netns", link.name)
        _ip("addr", "add", f"{link.near}/30", "dev", near)
        _ip("link", "set", near, "up")
        _ip("-n", link.name, "addr", "add", f"{link.far}/30", "dev", link.name)
        _ip("-n", link.name, "link", "set", link.name, "up")
        _ip("-n", link.name, "link", "set", "lo", "up")
        yield link
    finally:
        if Path(f"/sys/class/net/{near}").exists():
            _ip("link", "del", near)  # at once; the namespace takes its time
        _ip("netns", "del", link.name)


@cache
def impossible() -> str:
    """Why there is no such network here; empty when there is."""
    try:
        with linked():
            return ""
    except (OSError, subprocess.CalledProcessError) as fault:
        return f"no network namespaces here: {fault}"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
