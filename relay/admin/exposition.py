"""The metrics as Prometheus reads them: the classic text format or OpenMetrics."""

from collections.abc import Iterator

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from relay.admin.metrics import METRICS
from relay.admin.state import Admin

Family = CounterMetricFamily | GaugeMetricFamily

_FAMILIES = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}


class LedgerCollector(Collector):
    """Reads the books. Nothing awaits in between, so all numbers are of one moment."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin

    def collect(self) -> Iterator[Family]:
        self._admin.relay.refresh()
        for metric in METRICS:
            family = _FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)
            for labels, value in metric.read(self._admin):
                family.add_metric(labels, value)
            yield family


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
