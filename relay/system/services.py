"""SRV records (RFC 2782), as the name servers of this host have them."""

from collections.abc import Sequence

from relay.system.ports import Service, Unreachable

LOOK_UP_SECONDS_MAX = 10.0  # all name servers together, as often as they have to be asked


def look_up_services(name: str) -> tuple[Sequence[Service], float]:
    """What the port `Network.services` says; blocks until there is an answer.

    /etc/resolv.conf is read each time: it changes with the network.
    """
    import dns.exception
    import dns.resolver

    try:
        resolver = dns.resolver.Resolver()
        answer = resolver.resolve(name, "SRV", search=False, lifetime=LOOK_UP_SECONDS_MAX)
    except dns.resolver.NXDOMAIN:
        raise Unreachable(f"{name}: there is no such name") from None
    except dns.resolver.NoAnswer:
        raise Unreachable(f"{name}: there is no SRV record") from None
    except dns.exception.Timeout as exc:
        text = f"no name server answers within {LOOK_UP_SECONDS_MAX:g} s"
        raise Unreachable(f"{name}: {text}") from exc
    except dns.resolver.NoNameservers as exc:
        raise Unreachable(f"{name}: no name server has an answer") from exc
    except (dns.exception.DNSException, OSError) as exc:
        raise Unreachable(f"{name}: {exc}") from exc
    assert answer.rrset is not None, "an answer without records raises NoAnswer"
    services = [
        Service(record.priority, record.weight, record.port, target)
        for record in answer
        if (target := record.target.to_text(omit_final_dot=True)) != "."
    ]
    if not services:
        raise Unreachable(f"{name}: the domain does not offer this service")
    return services, float(answer.rrset.ttl)
