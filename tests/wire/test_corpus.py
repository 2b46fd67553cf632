"""What the field sends, from the header view to every format: one test for each sample."""

import json
import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.dialects import Dialect
from relay.wire.formats import Form, convert
from relay.wire.message import view, well_formed
from relay.wire.normalise import normalise
from relay.wire.priority import priority
from relay.wire.timestamp import rfc3339, zone
from tests.wire.samples import (
    CORPUS,
    FORMATS,
    OUR_NAME,
    RECEIVED_NS,
    SENDER,
    Sample,
    samples,
)

SAMPLES = list(samples())
RECEIVED = rfc3339(RECEIVED_NS, 9).decode()
each = pytest.mark.parametrize("sample", SAMPLES, ids=lambda it: it.name)


def body(message: bytes) -> bytes:
    """What stands behind the PRI part."""
    return message[priority(message)[1] :]


@each
def test_header(sample: Sample) -> None:
    assert sample.fields() == sample.header


@each
def test_preserve(sample: Sample) -> None:
    """What has a PRI part and a stamp of any dialect leaves as it came, octet for octet."""
    assert sample.normalised() == sample.out["preserve"]
    if sample.out["preserve"] == sample.received:
        assert sample.normalised() is sample.received


@each
@pytest.mark.parametrize("to", FORMATS)
def test_conversion(sample: Sample, to: str) -> None:
    assert sample.converted(to) == sample.out[to]  # type: ignore[arg-type]


@each
def test_no_conversion_loses_a_character_of_the_text(sample: Sample) -> None:
    text = view(sample.normalised()).text
    assert sample.normalised().endswith(body(sample.received))
    for to in ("rfc5424", "rfc3164"):
        assert sample.out[to].endswith(text) or sample.out[to] == sample.received
    assert well_formed(sample.out["rfc5424"])
    read = json.loads(sample.out["json"])
    assert read["message"] == text.decode("utf-8", "backslashreplace")


@each
def test_the_next_hop_adds_nothing(sample: Sample) -> None:
    for message in (*(sample.out[it] for it in ("preserve", "rfc5424", "rfc3164")),
                    sample.normalised(restamp=True)):  # fmt: skip
        again, invalid = normalise(
            [message], ["198.51.100.1"], received_ns=0, host=None, local=sample.local
        )
        assert again[0] is message
        assert invalid == 0


@each
def test_the_time_of_receipt_takes_the_place_of_the_stamp_and_of_nothing_else(
    sample: Sample,
) -> None:
    """`timestamp = "received"`: host, program and text are found as before, the moment is ours."""
    kept, restamped = view(sample.normalised()), view(sample.normalised(restamp=True))
    moment = restamped.stamp.to_ns(RECEIVED_NS, zone(sample.timezone)) if restamped.stamp else None
    assert moment == RECEIVED_NS
    assert restamped[5:] == kept[5:]
    assert restamped.priority == kept.priority
    assert sample.normalised(restamp=True).endswith(sample.received[-12:])


def test_every_dialect_has_a_sample() -> None:
    assert {it.header["dialect"] for it in SAMPLES} == set(get_args(Dialect)) - {"none"}


def test_every_family_has_samples_and_every_sample_a_name_of_its_own() -> None:
    families = {it.name.split(":")[0] for it in SAMPLES}
    assert families == {path.stem for path in CORPUS.glob("*.toml")}
    assert len({it.name for it in SAMPLES}) == len(SAMPLES)


CUTS = st.integers(0, 60) | st.integers(0, 300)
PIECES = st.binary(max_size=4) | st.sampled_from(
    [b" ", b"  ", b": ", b":", b"[", b"]", b"<13>", b"1 ", b"-", b"%", b"*", b".", b"=", b'"', b",",
     b"UTC ", b"2026", b"Feb 29", b"60", b"\0", b"\n", b"\xff", b"Z", b"+14:00", b"CPU0:"]
)  # fmt: skip


@given(st.sampled_from(SAMPLES), st.lists(st.tuples(CUTS, CUTS, PIECES), max_size=3))
def test_damaged_samples_keep_every_octet(
    sample: Sample, damages: list[tuple[int, int, bytes]]
) -> None:
    """Whatever is cut out, put in or overwritten: it converts, and no later hop changes it."""
    message = sample.received
    for start, octets, piece in damages:
        message = message[:start] + piece + message[start + octets :]
    first, _ = normalise(
        [message], [SENDER], received_ns=RECEIVED_NS, host=None, local=sample.local
    )
    assert first[0].endswith(body(message))
    text = view(first[0]).text
    for to in FORMATS:
        (result,) = convert(
            first, [SENDER], Form(to, OUR_NAME), received_ns=RECEIVED_NS, zone=zone("UTC")
        )
        if to == "json":
            assert json.loads(result)["message"] == text.decode("utf-8", "backslashreplace")
            continue
        assert result.endswith(text) or result is first[0]
        again, invalid = normalise(
            [result], ["198.51.100.1"], received_ns=0, host=None, local=False
        )
        assert again[0] is result
        assert invalid == 0


@given(st.sampled_from(SAMPLES), st.lists(st.tuples(CUTS, CUTS, PIECES), max_size=3))
def test_damaged_samples_can_be_restamped(
    sample: Sample, damages: list[tuple[int, int, bytes]]
) -> None:
    message = sample.received
    for start, octets, piece in damages:
        message = message[:start] + piece + message[start + octets :]
    kept, invalid = normalise([message], [SENDER], received_ns=RECEIVED_NS, host=None, local=False)
    now, also_invalid = normalise(
        [message], [SENDER], received_ns=RECEIVED_NS, host=None, local=False, restamp=True
    )
    assert invalid == also_invalid
    before, after = view(kept[0]), view(now[0])
    assert after.stamp is not None
    assert after.stamp.to_ns(RECEIVED_NS, zone("UTC")) == RECEIVED_NS
    assert after.text == before.text or before.dialect == "cisco"
    assert after.priority == before.priority


def test_the_page_names_every_dialect() -> None:
    page = (CORPUS.parents[2] / "docs/dialects.md").read_text()
    rows = re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE)
    assert sorted(rows) == sorted(get_args(Dialect))
