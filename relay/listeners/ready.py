"""Telling once that a listener is ready."""

import trio
from trio_typing import TaskStatus


class Ready:
    """Passes on the first time it is told."""

    def __init__(self, task_status: TaskStatus[None]) -> None:
        self._task_status = task_status
        self._told = False

    def tell(self) -> None:
        if not self._told:
            self._told = True
            self._task_status.started()

    async def tell_after(self, seconds: float) -> None:
        """What takes so long is to hold up nobody else."""
        await trio.sleep(seconds)
        self.tell()
