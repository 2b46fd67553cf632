"""The dialects of network gear, from the header view to every format."""

import json

import pytest

from relay.wire.formats import Form, Format, convert
from relay.wire.message import view
from relay.wire.normalise import normalise
from relay.wire.timestamp import zone

SENDER = "192.0.2.7"
RECEIVED = 1795418925_123_456_789  # 2026-11-23T07:28:45

# the shapes of network gear; message; host, program, procid, text
DIALECTS = [
    # Cisco IOS with a clock that is not set, counters, an origin-id
    (
        b"<189>88: *Mar  1 00:20:10.663: %SYS-5-CONFIG_I: Configured from vty0",
        None, None, None, b"88: *%SYS-5-CONFIG_I: Configured from vty0",
    ),
    (
        b"<189>89: *Mar  1 2010 00:20:10.663 UTC: %SYS-5-CONFIG_I: Configured",
        None, None, None, b"89: *%SYS-5-CONFIG_I: Configured",
    ),
    (
        b"<180>782431: edge-sw1: .Nov 18 21:03:22.631 GMT: %CDP-4-MISMATCH: native vlan",
        b"edge-sw1", None, None, b"782431: .%CDP-4-MISMATCH: native vlan",
    ),
    (
        b"<189>29: r1: 000030: Nov 18 21:03:22 MSK: %LINK-3-UPDOWN: up",
        b"r1", None, None, b"29: 000030: %LINK-3-UPDOWN: up",
    ),
    (
        b"<190>421370: 421366: Nov 23 22:23:27: %SEC-6-IPACCESSLOGP: list 1",
        None, None, None, b"421370: 421366: %SEC-6-IPACCESSLOGP: list 1",
    ),
    (
        b"<190>589265: Feb  8 18:55:31.306: %SEC-6-IPACCESSLOGP: list 177 denied udp",
        None, None, None, b"589265: %SEC-6-IPACCESSLOGP: list 177 denied udp",
    ),
    (
        b"<189>: 2020 Nov 23 04:42:22 EDT: %L2FM-4-L2FM_MAC_MOVE: Mac e4c7.1",
        None, None, None, b"%L2FM-4-L2FM_MAC_MOVE: Mac e4c7.1",
    ),
    # Cisco ASA
    (
        b"<166>2018-06-27T12:17:46Z asa : %ASA-3-710003: TCP denied",
        b"asa", None, None, b"%ASA-3-710003: TCP denied",
    ),
    (
        b"<166>2018-06-27T12:17:46Z: %ASA-3-710003: TCP denied",
        None, None, None, b"%ASA-3-710003: TCP denied",
    ),
    (
        b"<164>Jan 31 2020 17:24:03: %ASA-4-402119: IPSEC: Received",
        None, None, None, b"%ASA-4-402119: IPSEC: Received",
    ),
    (
        b"<164>:Jan 31 17:24:03 UTC: %ASA-session-4-402119: IPSEC: Received",
        None, None, None, b"%ASA-session-4-402119: IPSEC: Received",
    ),
    # Cisco Meraki, Cisco ISE
    (
        b"<134>1 1563249630.774247467 mx84 security_event ids_alerted sig=1",
        b"mx84", None, None, b"security_event ids_alerted sig=1",
    ),
    (
        b"<181>Oct 24 12:00:00 ise01 CISE_Passed_Authentications 0001939187 4 1  Acs=1",
        b"ise01", None, None, b"CISE_Passed_Authentications 0001939187 4 1  Acs=1",
    ),
    # Juniper: a 5424 head, a 3164 tail
    (
        b"<165>1 2007-02-15T09:17:15.719Z mib2d[1484]: SNMP_TRAP_LINK_UP: ifIndex 584",
        None, b"mib2d", b"1484", b"SNMP_TRAP_LINK_UP: ifIndex 584",
    ),
    (
        b"<165>1 2007-02-15T09:17:15.719Z mib2d[1484]: one two three - four",
        None, b"mib2d", b"1484", b"one two three - four",
    ),
    # Palo Alto, VMware ESXi, Mikrotik
    (
        b"<14>Aug 19 14:18:00 pa.example.com 1,2022/08/19 14:18:00,0125,TRAFFIC,end",
        b"pa.example.com", None, None, b"1,2022/08/19 14:18:00,0125,TRAFFIC,end",
    ),
    (
        b"<167>2020-11-23T19:01:51.316Z esxi-1 Rhttpproxy: verbose rhttpproxy[24] [sub=Proxy 8] x",
        b"esxi-1", b"Rhttpproxy", None, b"verbose rhttpproxy[24] [sub=Proxy 8] x",
    ),
    (
        b"<30>Nov 23 04:42:22 router forward: in:ether1 out:bridge, proto TCP (SYN)",
        b"router", b"forward", None, b"in:ether1 out:bridge, proto TCP (SYN)",
    ),
    # UniFi, EdgeSwitch
    (
        b"<14>Aug  7 22:21:57 AP-1 aabbccddeeff,U7-Pro-XG-8.6.11+18870: hostapd[6885]: wifi0: STA",
        b"AP-1", b"aabbccddeeff,U7-Pro-XG-8.6.11+18870", None, b"hostapd[6885]: wifi0: STA",
    ),
    (
        b"<13>Jan 22 04:52:53 sw TRAPMGR[trapTask]: traputil.c(735) 43784 %% Session 0\0",
        b"sw", b"TRAPMGR", b"trapTask", b"traputil.c(735) 43784 %% Session 0\0",
    ),
    # Huawei, Citrix, embedded
    (
        b"<148>Jun  4 2022 11:14:24 RMT-N-T03H %%01INFO/4/IM_LOGFILE(s):CID=0x80600417;x",
        b"RMT-N-T03H", None, None, b"%%01INFO/4/IM_LOGFILE(s):CID=0x80600417;x",
    ),
    (
        b"<12> 01/10/2001:01:01:01 GMT netscaler ABC-D : SSLVPN HTTPREQUEST 1234567 : x",
        b"netscaler", None, None, b"ABC-D : SSLVPN HTTPREQUEST 1234567 : x",
    ),
    (
        b"<20>Jan 02 17:32:18 10.0.0.99 An example message!",
        b"10.0.0.99", None, None, b"An example message!",
    ),
]  # fmt: skip


# no stamp that says a date
HEADLESS = [
    b"<189>82: 00:20:10: %SYS-5-CONFIG_I: Configured from vty0",  # Cisco IOS, uptime
    b'<189>date=2023-10-11 time=15:44:14 devname="FG81" tz="-0400"',  # Fortinet
    b"<14>MiniSwitch 7483c04f9d75,USW_FLEX_MINI-1.8.6.694: NETDEV: done",  # Ubiquiti
    b'<166>id=firewall sn=C0EF time="2026-11-23 00:00:00 UTC" fw=192.0.2.1',  # SonicWall
    b'<30>device="SFW" date=2022-04-25 time=15:27:08 timezone="CDT"',  # Sophos
]


def normal(message: bytes) -> tuple[bytes, int]:
    messages, invalid = normalise([message], [SENDER], received_ns=RECEIVED, host=None, local=False)
    return messages[0], invalid


@pytest.mark.parametrize(("message", "host", "program", "procid", "text"), DIALECTS)
def test_every_dialect_is_understood(
    message: bytes,
    host: bytes | None,
    program: bytes | None,
    procid: bytes | None,
    text: bytes,
) -> None:
    header = view(message)
    assert header.kind == "rfc3164"
    assert header.stamp is not None
    assert header[5:] == (host, program, procid, None, None, text)


@pytest.mark.parametrize("message", [row[0] for row in DIALECTS])
def test_a_dialect_with_a_stamp_is_forwarded_as_it_came(message: bytes) -> None:
    result, invalid = normal(message)
    assert result is message
    assert invalid == 0


@pytest.mark.parametrize("message", HEADLESS)
def test_a_dialect_without_a_stamp_gets_one(message: bytes) -> None:
    header = view(message)
    assert header.kind == "none"
    expected = b"<%d>2026-11-23T07:28:45.123Z 192.0.2.7 %b" % (header.priority or 0, header.text)
    assert normal(message) == (expected, 1)
    assert view(expected).host == SENDER.encode()
    assert view(expected).text == header.text


@pytest.mark.parametrize("to", ["rfc5424", "rfc3164", "json"])
@pytest.mark.parametrize("message", [*(row[0] for row in DIALECTS), *HEADLESS])
def test_no_conversion_loses_text_or_host(message: bytes, to: Format) -> None:
    before, _ = normal(message)
    origin = view(before)
    host = origin.host or SENDER.encode()
    (result,) = convert(
        [before], [SENDER], Form(to, SENDER), received_ns=RECEIVED, zone=zone("Europe/Berlin")
    )
    if to == "json":
        read = json.loads(result)
        assert read["message"] == origin.text.decode()
        assert read["host"] == host.decode()
        return
    after = view(result)
    assert result.endswith(origin.text)
    assert (after.kind, after.host, after.program, after.procid, after.text) == (
        to, host, origin.program, origin.procid, origin.text,
    )  # fmt: skip
