"""Making a file of ours where there may be another."""

from relay.system.ports import Directory, RandomFile


def create(directory: Directory, name: str, told: list[str]) -> RandomFile:
    """Make a file of ours; what somebody else has put there is set aside, whatever it is."""
    try:
        return directory.create(name)
    except FileExistsError:
        directory.set_aside(name)
        told.append(f"{name} was none of ours and in the way: it is in quarantine now")
        return directory.create(name)
