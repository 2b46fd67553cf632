"""A network of its own, behind a cable that can be pulled and a filter that can be set."""

import itertools
import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from typing import Self

_names = itertools.count()


class NetworkNamespace:
    """Joined to ours by a pair of interfaces; gone when left."""

    def __init__(self) -> None:
        number = next(_names)
        self.name = f"relay-{os.getpid()}-{number}"
        self._ours, self._theirs = f"rl{os.getpid()}o{number}", f"rl{os.getpid()}t{number}"
        network = f"10.{os.getpid() % 200 + 20}.{number % 250}"
        self.our_address, self.address = f"{network}.1", f"{network}.2"

    def __enter__(self) -> Self:
        run("ip", "netns", "add", self.name)
        try:
            run("ip", "link", "add", self._ours, "type", "veth",
                "peer", "name", self._theirs, "netns", self.name)  # fmt: skip
            run("ip", "address", "add", f"{self.our_address}/30", "dev", self._ours)
            run("ip", "link", "set", self._ours, "up")
            self._inside("ip", "address", "add", f"{self.address}/30", "dev", self._theirs)
            self._inside("ip", "link", "set", "lo", "up")
            self.plug_in()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["ip", "link", "delete", self._ours], capture_output=True, check=False)
        run("ip", "netns", "delete", self.name)

    @property
    def launcher(self) -> Sequence[str]:
        """What stands before a command that is to run inside."""
        return ("ip", "netns", "exec", self.name)

    def pull(self) -> None:
        """The cable: nothing passes, and nobody is told."""
        self._inside("ip", "link", "set", self._theirs, "down")

    def plug_in(self) -> None:
        self._inside("ip", "link", "set", self._theirs, "up")

    def filter(self, *rules: str) -> None:
        """What arrives inside passes these rules of nft(8), which replace those before."""
        script = "add table inet test; delete table inet test\n"
        script += "table inet test { chain arriving { type filter hook input priority 0;\n"
        script += "\n".join(rules) + "\n}\n}\n"
        subprocess.run(
            [*self.launcher, "nft", "-f", "-"],
            input=script, text=True, check=True, capture_output=True,
        )  # fmt: skip

    def _inside(self, *command: str) -> None:
        run(*self.launcher, *command)


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@cache
def cannot_have_networks() -> str:
    """Why there is no `NetworkNamespace` here; empty when there is."""
    if not shutil.which("ip"):
        return "ip (iproute2) is not installed"
    try:
        with NetworkNamespace():
            return ""
    except subprocess.CalledProcessError as failed:
        return f"network namespaces are not permitted here: {failed.stderr.decode().strip()}"
