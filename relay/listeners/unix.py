"""Syslog from programs on this machine, through a unix socket (as `/dev/log`)."""

import os
import re
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator
from trio_typing import TaskStatus

from relay.core.intake import Intake
from relay.core.values import Mode, Path, listed, or_one
from relay.listeners.credentials import Attribution
from relay.listeners.datagrams import receive_datagrams
from relay.listeners.streams import receive_streams
from relay.listeners.tcp import StreamKeys
from relay.system.ports import Endpoint, Socket, Touch

ROOM_SECONDS_MAX = 1.0  # a sender waits in its syslog(3) call no longer than this for a full pipe
PATH_OCTETS_MAX = 107  # sun_path holds 108 with its NUL: unix(7)


def _fits(path: str) -> str:
    octets = len(path.encode())
    if octets > PATH_OCTETS_MAX:
        raise ValueError(
            f"a socket path of {octets} octets, expected no more than {PATH_OCTETS_MAX}"
        )
    return path


def _owner(owner: str) -> str:
    if not re.fullmatch(r"[\w.-]+|[\w.-]*:[\w.-]+", owner):
        raise ValueError(f'expected "USER", "USER:GROUP" or ":GROUP", not {owner!r}')
    return owner


class UnixListener(StreamKeys):
    """The keys of a `unix` listener."""

    type: Literal["unix"]
    path: Annotated[
        tuple[Annotated[Path, AfterValidator(_fits)], ...],
        BeforeValidator(listed),
        Field(min_length=1, json_schema_extra=or_one),
    ]
    """The socket's file, `fd:NAME` for an inherited socket, or several of them."""
    kind: Literal["datagram", "stream"] = "datagram"
    """The socket's type; syslog(3) tries datagram first."""
    mode: Mode = 0o666
    """Permissions of the file: who may send."""
    owner: Annotated[str, AfterValidator(_owner)] | None = None
    """Owner of the file, `USER:GROUP`; default: who runs Relay."""
    credentials: Literal["off", "verify", "add"] = "off"
    """Mend the process id that a datagram claims; "add" also what it does not say."""

    @field_validator("credentials")
    @classmethod
    def _check_credentials(cls, credentials: str, info: ValidationInfo) -> str:
        if credentials != "off" and info.data.get("kind") == "stream":
            raise ValueError('the kernel tells who sends for kind = "datagram" only')
        return credentials

    @property
    def local(self) -> bool:
        return True

    def touches(self) -> Sequence[Touch]:
        return tuple(
            Touch("write", os.path.dirname(os.path.abspath(path)))
            for path in self.path
            if not path.startswith("fd:")
        )

    def endpoints(self) -> Sequence[Endpoint]:
        kind: Literal["unix-datagram", "unix-stream"] = (
            "unix-datagram" if self.kind == "datagram" else "unix-stream"
        )
        credentials = self.credentials != "off"
        return [
            Endpoint(kind, path, mode=self.mode, owner=self.owner, credentials=credentials)
            for path in self.path
        ]

    async def run(
        self,
        sockets: Sequence[Socket],
        intake: Intake,
        *,
        task_status: TaskStatus[None],
    ) -> None:
        if self.kind == "datagram":
            task_status.started()
            await receive_datagrams(
                sockets,  # type: ignore[arg-type]
                intake,
                room_seconds_max=ROOM_SECONDS_MAX,
                attribution=None
                if self.credentials == "off"
                else Attribution(intake.account, add=self.credentials == "add"),
            )
        else:
            await receive_streams(
                sockets,  # type: ignore[arg-type]
                intake,
                self.limits(),
                partial(self.framer, intake.account.frames),
                room_seconds_max=ROOM_SECONDS_MAX,
                task_status=task_status,
            )
