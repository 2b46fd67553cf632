"""The certificates in the files of all tables `tls`, and which of them have little time left."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from relay.system.ports import Certificate

DAY_SECONDS = 86_400
SOON_DAYS = 14  # so long before its end a certificate is told


@dataclass(slots=True, eq=False, repr=False)
class Certificates:
    """As the files were when they were looked at last; a file that is damaged keeps what it had."""

    files: Mapping[str, Sequence[Certificate]] = field(default_factory=dict)
    _told: set[tuple[Certificate, str]] = field(default_factory=set)  # and what was told

    def not_after(self) -> Mapping[tuple[str, str], float]:
        """By file and subject; of several with one subject the newest, which replaces them."""
        return {
            (file, subject): it.not_after
            for file, certificates in self.files.items()
            for subject, it in _newest(certificates).items()
        }

    def due(self, now: float) -> Iterator[str]:
        """What is to be told at this time: that the end of a certificate is near, or has come."""
        there = {it for each in self.files.values() for it in _newest(each).values()}
        self._told = {(it, what) for it, what in self._told if it in there}
        for it in sorted(there, key=lambda it: (it.file, it.subject)):
            what = _trouble(it, now)
            if what and (it, what) not in self._told:
                self._told.add((it, what))
                yield f"{it.file}: certificate {it.subject} {standing(it, now)}"


def standing(certificate: Certificate, now: float) -> str:
    """Whether it is valid at this time, in words: `expired 3 days ago`."""
    if now < certificate.not_before:
        return f"is valid only in {_days(certificate.not_before - now)}"
    if now < certificate.not_after:
        return f"expires in {_days(certificate.not_after - now)}"
    return f"expired {_days(now - certificate.not_after)} ago"


def _newest(certificates: Sequence[Certificate]) -> Mapping[str, Certificate]:
    """By subject."""
    return {it.subject: it for it in sorted(certificates, key=lambda it: it.not_after)}


def _trouble(certificate: Certificate, now: float) -> str:
    if now < certificate.not_before:
        return "not yet"
    if now >= certificate.not_after:
        return "over"
    return "soon" if certificate.not_after - now < SOON_DAYS * DAY_SECONDS else ""


def _days(seconds: float) -> str:
    days = int(seconds // DAY_SECONDS)
    return f"{days} day{'s' * (days != 1)}" if days else f"{seconds / 3600:.1f} hours"
