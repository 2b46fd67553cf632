"""Patterns that are compiled when they are first needed."""

import re

import pytest

from relay.wire.rare import rare


def test_it_is_compiled_once_and_not_before_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[bytes] = []

    def compile_(pattern: bytes) -> re.Pattern[bytes]:
        compiled.append(pattern)
        return original(pattern)

    original = re.compile
    monkeypatch.setattr(re, "compile", compile_)
    digits = rare(rb"\d+")
    assert compiled == []
    assert digits() is digits()
    assert compiled == [rb"\d+"]


def test_it_matches_as_any_pattern_does() -> None:
    found = rare(rb"(\d+)-(\d+)")().match(b"x2026-11", 1)
    assert found is not None
    assert found.groups() == (b"2026", b"11")
