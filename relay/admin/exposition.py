"""The metrics as Prometheus reads them: the classic text format or OpenMetrics."""

from collections.abc import Iterable, Iterator
from hashlib import sha256

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from relay.admin.metric import Metric, Sample
from relay.admin.metrics import METRICS
from relay.admin.state import Admin
from relay.wire.escape import printable

Family = CounterMetricFamily | GaugeMetricFamily

LABEL_CHARACTERS_MAX = 256
DIGEST_CHARACTERS = 16  # at the end of a name that was cut

_FAMILIES = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}


class LedgerCollector(Collector):
    """Reads the books. Nothing awaits in between, so all numbers are of one moment."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin

    def collect(self) -> Iterator[Family]:
        self._admin.relay.refresh()
        for metric in METRICS:
            yield family(metric, metric.read(self._admin))


def family(metric: Metric, samples: Iterable[Sample]) -> Family:
    """Names that read the same, in spite of all, have one series: two would spoil the scrape."""
    found: dict[tuple[str, ...], float] = {}
    for names, value in samples:
        labels = tuple(map(label, names))
        found[labels] = found.get(labels, 0.0) + value
    made: Family = _FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)
    for labels, value in found.items():
        made.add_metric(labels, value)
    return made


def label(name: str) -> str:
    """The value of a label. Names come from peers, too, and none of them must spoil a scrape."""
    text = printable(name)
    if len(text) <= LABEL_CHARACTERS_MAX:
        return text
    digest = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_CHARACTERS]
    return f"{text[: LABEL_CHARACTERS_MAX - DIGEST_CHARACTERS - 1]}~{digest}"


def registry_of(admin: Admin) -> CollectorRegistry:
    """Our metrics, and the usual ones of the process and its Python."""
    registry = CollectorRegistry()
    registry.register(LedgerCollector(admin))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def expose(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """The text, in the format that an Accept header asks for, and its content type."""
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is none
        encode, content_type = choose_encoder("")
    return encode(registry), content_type
