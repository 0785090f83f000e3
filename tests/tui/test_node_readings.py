"""What a node reads of itself, in lists and on its sheet."""

import io

from ffrtmp_tui.node_view import NODE_COLUMNS, node_sheet, temperature
from ffrtmp_tui.terminal import Terminal
from ffrtmpd.wire.messages.nodes import Gpu, GpuLoad, Hardware, Load, NodeView
from ffrtmpd.wire.vocabulary import NodeStatus

GPUS = (
    GpuLoad(
        name="NVIDIA L4",
        usage_percent=80.0,
        encoder_percent=91.0,
        decoder_percent=12.0,
        memory_used_bytes=3 << 30,
        temperature_celsius=71.0,
        power_watts=66.0,
    ),
    GpuLoad(name="NVIDIA L4", usage_percent=20.0),
)
NODE = NodeView(
    node_id="w-07",
    status=NodeStatus.BUSY,
    hardware=Hardware(hostname="w-07", gpus=(Gpu(name="NVIDIA L4"), Gpu(name="NVIDIA L4"))),
    load=Load(temperature_celsius=61.0, power_watts=310.0, gpus=GPUS),
)
BARE = NodeView(node_id="w-08", status=NodeStatus.OFFLINE)


def shown(node: NodeView) -> dict[str, str]:
    values = {column.name: (column, column.get(node)) for column in NODE_COLUMNS}
    return {name: column.show(value) for name, (column, value) in values.items() if value is not None}


def test_readings_are_means_of_the_gpus_and_the_hottest_of_all() -> None:
    found = shown(NODE)
    assert found["gpu_percent"] == "50.0%"
    assert found["gpu_encoder_percent"] == "91.0%"
    assert found["gpu_decoder_percent"] == "12.0%"
    assert found["power_watts"] == "310.0 W"
    assert found["temperature_celsius"] == "71 °C"


def test_what_is_not_read_is_not_shown() -> None:
    assert temperature(BARE) is None
    assert not {"gpu_percent", "power_watts", "temperature_celsius"} & shown(BARE).keys()
    text = node_sheet(BARE, Terminal(out=io.StringIO(), err=io.StringIO()))
    assert "Temperature" not in text


def test_sheet_tells_each_gpu() -> None:
    text = node_sheet(NODE, Terminal(out=io.StringIO(), err=io.StringIO()))
    assert "80.0% busy, encoder 91.0%, decoder 12.0%, 3.0 GiB in use, 66.0 W, 71 °C" in text
    assert "20.0% busy" in text
