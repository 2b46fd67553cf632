"""Sources that are read again: a reload goes on, and how far they were read is kept."""

import json
import secrets
from pathlib import Path

from relay.system.machine import SystemMachine
from relay.system.position_files import PositionFiles
from tests.supervisor.conftest import BASE, Bench
from tests.system.test_kernel_log import real, write

KERNEL = '\n[listeners.kernel]\ntype = "kmsg"\nstart = "now"\n'
FED = BASE.replace('from = "net"', 'from = ["net", "kernel"]') + KERNEL


def kept(directory: Path) -> dict[str, object]:
    content = (directory / "positions" / "kmsg-kernel.json").read_text()
    found: dict[str, object] = json.loads(content)
    return found


async def test_a_listener_that_changes_goes_and_comes_back_repeats_nothing(
    bench: Bench, tmp_path: Path
) -> None:
    """Also not what the one that went has read to its end, and what nobody read meanwhile comes."""
    real().close()
    bench.machine = SystemMachine(positions=PositionFiles(str(tmp_path)))
    words = [secrets.token_hex(4) for _ in range(4)]

    def ours() -> list[str]:
        return [it.decode() for it in bench.ring() if it.decode() in words]

    async with bench.running(FED) as relay:
        write(f"relay-test {words[0]}")
        await bench.until(lambda: ours() == words[:1])
        await bench.reload(
            FED.replace("[listeners.kernel]", '[listeners.kernel]\nmessage_max = "9KiB"')
        )
        write(f"relay-test {words[1]}")
        await bench.until(lambda: ours() == words[:2])
        await bench.reload(BASE)
        await bench.until(lambda: not relay.leaving)
        write(f"relay-test {words[2]}")
        await bench.reload(FED)
        write(f"relay-test {words[3]}")
        await bench.until(lambda: ours() == words)
        progress = relay.positions["kmsg-kernel"].source("kernel")
        assert relay.ledger.listener("kernel").repeats_possible == 0
        assert not kept(tmp_path)["ended"]
    content = kept(tmp_path)
    assert content["ended"]
    assert content["sources"] == {"kernel": {"place": progress.read, "exact": True}}
