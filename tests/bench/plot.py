"""Two pictures of a run, as SVG: Relay's rate and CPU by row, and the loss of datagrams by rate."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from tests.bench.ratio import Spread, ratios
from tests.bench.run import Run

Curves = Mapping[str, Mapping[int, Spread]]  # by program and rate: the share that was lost

COLOURS = ("#1b6ca8", "#c8553d", "#588157", "#7a5195")
_LABEL, _WIDTH, _HEIGHT, _LINE, _MOST = 330, 900, 360, 18, 4.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A row against one peer: Relay's figures in units of the peer's."""

    label: str
    rate: Spread
    cpu: Spread


def bars(results: Mapping[str, Sequence[Any]]) -> Iterator[Bar]:
    """Of all rows that compare; what other rows have found is left out."""
    for name, rounds in results.items():
        if not all(isinstance(it, Mapping) and len(it) > 1 for it in rounds):
            continue
        relay, *peers = rounds[0]
        runs: dict[str, list[Run]] = {it: [each[it] for each in rounds] for it in rounds[0]}
        for peer in peers:
            rate = ratios(runs[relay], runs[peer], lambda run: run.rate)
            cpu = ratios(runs[relay], runs[peer], lambda run: run.cpu_us)
            yield Bar(f"{name}, × {peer}", rate, cpu)


def bars_svg(found: Sequence[Bar]) -> str:
    """Two bars each, a line from the smallest pair to the largest; cut where the scale ends."""
    parts = [_text(_LABEL, 14, "rate (1, more is better) and CPU per message (2), × the peer's")]
    for place, bar in enumerate(found):
        top = 30 + place * 2 * _LINE
        parts.append(_text(4, top + _LINE, bar.label))
        for line, spread in enumerate((bar.rate, bar.cpu)):
            y = top + line * (_LINE - 4)
            ends = [_LABEL + _along(it) for it in (0.0, spread.median)]
            size = f'width="{ends[1] - ends[0]:.1f}" height="10"'
            parts.append(f'<rect x="{ends[0]:.1f}" y="{y}" {size} fill="{COLOURS[line]}"/>')
            least, most = (_LABEL + _along(it) for it in (spread.minimum, spread.maximum))
            parts.append(_line([(least, y + 5), (most, y + 5)], "#000"))
            parts.append(_text(int(max(ends[1], most)) + 6, y + 10, f"{spread.median:.2f}"))
    bottom = 30 + len(found) * 2 * _LINE
    one = _LABEL + _along(1.0)
    return _svg(bottom + 10, [*parts, _line([(one, 22), (one, bottom)], "#888")])


def curves_svg(shares: Curves) -> str:
    """Offered rate to the right, share lost upwards."""
    fastest = max(rate for by_rate in shares.values() for rate in by_rate)
    left, right, low, high = 60, _WIDTH - 150, _HEIGHT - 40, 20
    parts = [_line([(left, high), (left, low), (right, low)], "#888")]
    parts += [_text(20, int(low - it * (low - high)) + 4, f"{it:.0%}") for it in (0.0, 0.5, 1.0)]
    parts += [
        _text(int(left + rate / fastest * (right - left)) - 20, low + 18, f"{rate:,}")
        for rate in next(iter(shares.values()))
    ]
    for place, (program, by_rate) in enumerate(shares.items()):
        points = [
            (left + rate / fastest * (right - left), low - share.median * (low - high))
            for rate, share in by_rate.items()
        ]
        parts.append(_line(points, COLOURS[place % len(COLOURS)]))
        colour = COLOURS[place % len(COLOURS)]
        parts.append(_text(right + 15, high + 14 + place * _LINE, program, colour))
    return _svg(_HEIGHT, parts)


def _along(value: float) -> float:
    return min(value, _MOST) / _MOST * (_WIDTH - _LABEL - 60)


def _text(x: int, y: int, text: str, colour: str = "#000") -> str:
    return f'<text x="{x}" y="{y}" fill="{colour}">{escape(text)}</text>'


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _svg(height: int, parts: Sequence[str]) -> str:
    head = '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="12"'
    body = "\n".join(parts)
    return f'{head} width="{_WIDTH}" height="{height}">\n{body}\n</svg>\n'
