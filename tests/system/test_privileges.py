"""What the kernel says of a process that has given up root, and what it answers to it."""

import pytest

from relay.system.privileges import Identity
from tests.system.lockedin import needs_root, run

BIND, SYSLOG = 1 << 10, 1 << 34


@needs_root
@pytest.mark.parametrize(
    ("keep", "bits"),
    [([], 0), (["CAP_SYSLOG"], SYSLOG), (["CAP_SYSLOG", "CAP_NET_BIND_SERVICE"], SYSLOG | BIND)],
)
def test_identity_and_capabilities_are_gone_for_good(keep: list[str], bits: int) -> None:
    answers = run(
        f"""
        drop(Identity.of("nobody", None), {keep!r})
        answers.update(
            status=status(), uid=attempt(os.setuid, 0), gid=attempt(os.setgid, 0),
            groups=attempt(os.setgroups, [0]), shadow=attempt(os.open, "/etc/shadow", os.O_RDONLY),
            umask=os.umask(0),
        )
        """
    )
    identity = Identity.of("nobody", None)
    status = answers.pop("status")
    assert isinstance(status, dict)
    assert status["Uid"] == [str(identity.uid)] * 4
    assert status["Gid"] == [str(identity.gid)] * 4
    assert {int(it) for it in status["Groups"]} == identity.groups
    assert [int(status[name][0], 16) for name in ("CapPrm", "CapEff", "CapBnd")] == [bits] * 3
    assert [int(status[name][0], 16) for name in ("CapInh", "CapAmb")] == [0, 0]
    assert status["NoNewPrivs"] == ["1"]
    assert answers == {
        "uid": "EPERM", "gid": "EPERM", "groups": "EPERM", "shadow": "EACCES", "umask": 0o077,
    }  # fmt: skip


@needs_root
def test_nobody_of_the_same_user_looks_into_it() -> None:
    answers = run(
        """
        drop(Identity.of("nobody", None), [])
        answers["dumpable"] = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
        """
    )
    assert answers == {"dumpable": 0}


@needs_root
@pytest.mark.parametrize("lost", ["setresuid", "setresgid", "setgroups"])
def test_a_step_that_has_no_effect_is_found(lost: str) -> None:
    """The C library or a filter around us may say yes and do nothing."""
    answers = run(
        f"""
        os.{lost} = lambda *_: None
        try:
            drop(Identity.of("nobody", None), [])
        except NotDropped as exc:
            answers["text"] = str(exc)
        """
    )
    assert str(answers["text"]).startswith("privileges ")


def test_without_root_there_is_nothing_to_drop() -> None:
    answers = run(
        """
        if os.geteuid() == 0:
            drop(Identity.of("nobody", None), [])
        try:
            drop(Identity.of("daemon", None), [])
        except NotDropped as exc:
            answers["text"] = str(exc)
        """
    )
    assert answers == {"text": "privileges cannot be dropped: Operation not permitted"}


def test_who_is_unknown_is_nobody_to_become() -> None:
    with pytest.raises(LookupError):
        Identity.of("no-such-user", None)
    with pytest.raises(LookupError):
        Identity.of("nobody", "no-such-group")


def test_user_and_group_by_number() -> None:
    by_name = Identity.of("daemon", None)
    assert Identity.of(str(by_name.uid), str(by_name.gid)) == by_name
