"""Histories of a spool whose disk is well: crashes are all that happens to it."""

from collections.abc import Callable

from tests.spool.enumeration.story import Story


def first_writes(story: Story) -> None:
    story.put(1)
    story.commit()
    story.put(1, 1)
    story.commit()


def rotation(story: Story) -> None:
    story.put(1, 1, 1, 1)
    story.commit()
    story.put(2, 1)
    story.put(1)
    story.commit()


def cursor_saves(story: Story) -> None:
    story.put(5)
    story.commit()
    for _ in range(4):
        story.settle(1)
        story.save()
    story.put(1)
    story.commit()
    story.save()
    story.save(sync=True)
    story.settle(1)
    story.save()
    story.save()


def passed_segments(story: Story) -> None:
    story.put(1, 1, 1)
    story.commit()
    story.put(1, 1)
    story.commit()
    story.settle(3)
    story.save()
    story.put(1)
    story.commit()
    story.settle(3)
    story.save(sync=True)
    story.put(1)
    story.save()
    story.commit()


def short_passed(story: Story) -> None:
    story.put(1, 1, 1, 1)
    story.commit()
    story.settle(3)
    story.save(sync=True)
    story.put(1)
    story.commit()


def dropped_segments(story: Story) -> None:
    for _ in range(3):
        story.put(1, 1)
        story.commit()
    story.put(1)
    story.commit()
    story.drop(1)
    story.put(1)
    story.save()
    story.commit()
    story.save()
    story.drop(0)
    story.put(1)
    story.commit()


def dropped_newest(story: Story) -> None:
    story.put(*[1] * 5)
    story.commit()
    story.drop(len(story.store.segments()) - 1)
    story.put(1)
    story.save()
    story.commit()
    story.save()
    story.power_cut(0.5)
    story.put(1)
    story.commit()


def dropped_and_saved(story: Story) -> None:
    story.put(*[1] * 5)
    story.commit()
    story.drop(0)
    for _ in range(4):
        story.settle(1)
        story.save()


def skipped_numbers(story: Story) -> None:
    story.put(1, 1)
    story.commit()
    story.skip(3)
    story.commit()
    story.settle(1)
    story.save()
    story.skip(2)
    story.save()
    story.commit()


def power_cuts(share: float) -> Callable[[Story], None]:
    def run(story: Story) -> None:
        story.put(1, 1)
        story.commit()
        story.put(1, 1)
        story.settle(1)
        story.save()
        story.power_cut(share)
        story.put(1, 1)
        story.save()
        story.power_cut(share)
        story.put(1)
        story.commit()
        story.settle(1)
        story.save(sync=True)
        story.put(1)

    return run


def recovered_and_served(story: Story) -> None:
    story.put(1)
    story.commit()
    story.put(1, 1, 1)
    story.save()
    story.kill(page=False)
    story.put(1)
    story.commit()
    story.settle(2)
    story.save()
    story.kill()
    story.put(1)
    story.commit()


def page_is_ahead(story: Story) -> None:
    story.put(1, 1)
    story.commit()
    story.settle(1)
    story._batch(story.store.next, 2)  # numbers that were handed out, and not written
    story.kill()
    story.put(1, 1)
    story.commit()
    story.save()
    story.kill()
    story.put(1)
    story.commit()


def killed_while_opening(story: Story) -> None:
    story.put(4)
    story.commit()
    for changes in range(1, 12):
        story.put(1)
        story.settle(1)
        story.save()
        if not story.kill_opening(changes):
            break


def groups(story: Story) -> None:
    story.group(1, 1)
    story.group(1, delivered=1)
    story.group(1, 1, 1, delivered=1)
    story.group(delivered=1)
    story.group(1, drop=[1])
    story.group(1, delivered=1)
