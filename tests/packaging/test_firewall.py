"""The firewall's files open the ports that the programs use, and no other."""

import configparser
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ffrtmp_worker.metrics import PORT as WORKER_METRICS
from ffrtmpd.metrics import PORT as MASTER_METRICS
from ffrtmpd.wire.vocabulary import CLIENTS_PORT, WORKERS_PORT

FIREWALL = Path(__file__).parents[2] / "packaging" / "firewall"


@pytest.mark.parametrize(
    ("name", "ports"),
    [
        ("ffrtmp-master", [WORKERS_PORT, CLIENTS_PORT]),
        ("ffrtmp-master-metrics", [MASTER_METRICS]),
        ("ffrtmp-worker-metrics", [WORKER_METRICS]),
    ],
)
def test_firewalld_service_opens_the_ports_of_its_program(name: str, ports: list[int]) -> None:
    service = ElementTree.parse(FIREWALL / "firewalld" / f"{name}.xml").getroot()  # noqa: S314
    assert service.tag == "service"
    assert [(port.get("protocol"), port.get("port")) for port in service.iter("port")] == [
        ("tcp", str(port)) for port in ports
    ]
    assert service.findtext("short")
    assert service.findtext("description")


@pytest.mark.parametrize(
    ("name", "section", "ports"),
    [
        ("ffrtmp-master", "ffrtmp-master", [WORKERS_PORT, CLIENTS_PORT]),
        ("ffrtmp-master", "ffrtmp-master-workers", [WORKERS_PORT]),
        ("ffrtmp-master", "ffrtmp-master-clients", [CLIENTS_PORT]),
        ("ffrtmp-master", "ffrtmp-master-metrics", [MASTER_METRICS]),
        ("ffrtmp-worker", "ffrtmp-worker-metrics", [WORKER_METRICS]),
    ],
)
def test_ufw_profile_opens_the_ports_of_its_program(name: str, section: str, ports: list[int]) -> None:
    profile = configparser.ConfigParser()
    profile.read(FIREWALL / "ufw" / name)
    assert profile[section]["ports"] == ",".join(map(str, ports)) + "/tcp"
    assert profile[section]["title"]
    assert profile[section]["description"]


@pytest.mark.parametrize(
    ("name", "rules", "offers"),
    [
        ("ffrtmp-master", [WORKERS_PORT, CLIENTS_PORT], [MASTER_METRICS]),
        ("ffrtmp-worker", [], [WORKER_METRICS]),
    ],
)
def test_nftables_rules_open_the_ports_of_their_program(name: str, rules: list[int], offers: list[int]) -> None:
    text = (FIREWALL / "nftables" / f"{name}.nft").read_text()
    assert [int(port) for port in re.findall(r"^tcp dport (\d+) accept", text, re.MULTILINE)] == rules
    assert [int(port) for port in re.findall(r"^# .*tcp dport (\d+) accept", text, re.MULTILINE)] == offers
