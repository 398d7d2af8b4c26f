"""The public test kit: hubs to test against, brokers and networks that make faults, programmes of them, the checker.

May import everything but `chappe.cli`, which stands beside it; nothing outside tests imports it. The checker is a
package of its own, `chappe.testing.checker`, which also runs from the command line.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chappe.testing.broker_contract import check_broker as check_broker
    from chappe.testing.broker_probe import ContractBroken as ContractBroken
    from chappe.testing.fake_clock import FakeClock as FakeClock
    from chappe.testing.fault_programme import FaultProgramme as FaultProgramme
    from chappe.testing.fault_proxy import FaultProxy as FaultProxy
    from chappe.testing.faulty_broker import EVERYTHING as EVERYTHING
    from chappe.testing.faulty_broker import HARMLESS as HARMLESS
    from chappe.testing.faulty_broker import Faults as Faults
    from chappe.testing.faulty_broker import FaultyBroker as FaultyBroker
    from chappe.testing.hub_process import HubProcess as HubProcess
    from chappe.testing.kill_programme import KillProgramme as KillProgramme
    from chappe.testing.kill_programme import Victim as Victim
    from chappe.testing.load import Load as Load
    from chappe.testing.partition_programme import Partition as Partition
    from chappe.testing.partition_programme import PartitionProgramme as PartitionProgramme
    from chappe.testing.partition_programme import partitioned as partitioned
    from chappe.testing.running import RunningHub as RunningHub
    from chappe.testing.running import running_hub as running_hub

_HOMES = {
    "ContractBroken": "broker_probe",
    "EVERYTHING": "faulty_broker",
    "FakeClock": "fake_clock",
    "FaultProgramme": "fault_programme",
    "FaultProxy": "fault_proxy",
    "Faults": "faulty_broker",
    "FaultyBroker": "faulty_broker",
    "HARMLESS": "faulty_broker",
    "HubProcess": "hub_process",
    "KillProgramme": "kill_programme",
    "Load": "load",
    "Partition": "partition_programme",
    "PartitionProgramme": "partition_programme",
    "RunningHub": "running",
    "Victim": "kill_programme",
    "check_broker": "broker_contract",
    "partitioned": "partition_programme",
    "running_hub": "running",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    """Load what is asked for: the checker's command line needs no server."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
