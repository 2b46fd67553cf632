"""What a message's sender is called, wherever one is named: in batches, on disk and in tables.

`ADDRESS`, or `local` for programs of this machine; of one that has proved who it is by a
certificate `CERTIFICATE@ADDRESS`. An address holds no `@`, so the last one divides.
"""

CERTIFICATE_MAX = 255

LOCAL = "local"


def named(address: str, certificate: str) -> str:
    """The sender who has that name in its certificate, if any; in it what is not graphic is `_`."""
    if not certificate:
        return address
    graphic = "".join(each if "!" <= each <= "~" else "_" for each in certificate)
    return f"{graphic[:CERTIFICATE_MAX]}@{address}"


def address_of(sender: str) -> str:
    return sender.rpartition("@")[2]


def certificate_of(sender: str) -> str:
    """The name that its certificate bears; "" where none was verified."""
    return sender.rpartition("@")[0]
