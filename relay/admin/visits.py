"""The metrics of the admin server itself."""

from collections.abc import Sequence

from relay.admin.metric import Metric, one

VISITS: Sequence[Metric] = (
    one("relay_admin_connections_open", "gauge",
        "Connections to the admin server.", lambda admin: len(admin.admission)),
    one("relay_admin_connections_refused_total", "counter",
        "Connections to the admin server closed because there were too many.",
        lambda admin: admin.admission.refused),
    Metric("relay_admin_requests_refused_total", "counter",
           "Requests to the admin server that were not let through, by reason.", ("reason",),
           lambda admin: [((it,), number) for it, number in admin.requests_refused.items()]),
)  # fmt: skip
