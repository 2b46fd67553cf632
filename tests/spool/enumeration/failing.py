"""Histories of a spool whose disk fails for a while."""

import errno
from collections.abc import Callable

from tests.spool.enumeration.story import Story


def failed_sync(share: int) -> Callable[[Story], None]:
    """Of the writes of a sync that fails every so-many-th has reached the disk all the same."""

    def run(story: Story) -> None:
        count = 0

        def survives(_: object) -> bool:
            nonlocal count
            count += 1
            return bool(share) and count % share == 0

        story.put(1)
        story.commit()
        story.put(1, 1, 1)
        with story.fault("sync", ".seg", survives=survives):
            story.commit()
        story.restart()
        story.put(1, 1, 1)
        story.commit()
        story.put(1)
        story.commit()

    return run


def failed_sync_and_kill(story: Story) -> None:
    story.put(1)
    story.commit()
    story.put(1)
    with story.fault("sync", ".seg"):
        story.commit()
    story.kill()
    story.put(1)
    story.commit()


def failed_cursor(story: Story) -> None:
    story.put(1, 1, 1)
    story.commit()
    story.settle(1)
    story.save()
    story.settle(1)
    with story.fault("sync", "cursor"):
        story.save(sync=True)
    story.save(sync=True)
    story.settle(1)
    story.save()
    story.put(1)
    story.commit()


def failed_cursor_and_kill(story: Story) -> None:
    story.put(1, 1, 1)
    story.commit()
    story.settle(2)
    with story.fault("sync", "cursor"):
        story.save(sync=True)
    story.kill(page=False)
    story.save(sync=True)


def failed_hole(story: Story) -> None:
    """The cursor that tells of a hole cannot be saved; what is behind it is written later."""
    story.put(1, 1)
    story.commit()
    with story.fault("sync", "cursor"):
        story.skip(2)
    story.skip(2)
    story.commit()
    with story.fault("write", "cursor", errno.ENOSPC):
        story.drop(0)
    story.put(1)
    story.commit()


def failed_names(story: Story) -> None:
    story.put(1)
    with story.fault("sync", ""):
        story.commit()
    story.restart()
    story.put(1, 1, 1)
    story.commit()


def full_disk(story: Story) -> None:
    story.put(1)
    story.commit()
    for after in range(3):
        with story.fault("write", ".seg", errno.ENOSPC, after=after):
            story.put(1)
            story.put(1)
            story.put(1)
        story.commit()
    with story.fault("allocate", ".seg", errno.ENOSPC):
        story.put(*[1] * 4)
    story.commit()


def failing_groups(story: Story) -> None:
    story.group(1)
    with story.fault("sync", ".seg"):
        story.group(1, 1, delivered=1)
    story.group(1)
    with story.fault("write", ".seg", errno.ENOSPC, after=1):
        story.group(1, 1, 1)
    story.group()
    with story.fault("sync", ".seg"):
        story.group(1, 1, delivered=4)
    story.group(1, delivered=1)
    story.group(1)


def failing_cursor_groups(story: Story) -> None:
    story.group(1, 1, 1)
    with story.fault("sync", "cursor"):
        story.group(1, delivered=3)
    story.group(1)
    story.group(1, delivered=1)
