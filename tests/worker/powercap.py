"""A powercap tree of real files, in the form of /sys/class/powercap, whose counters a test moves."""

import os
from pathlib import Path

RANGE_UJ = 262_143_328_850


class Powercap:
    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()

    def zone(self, number: str, name: str, *, range_uj: int = RANGE_UJ, uj: int = 0) -> Path:
        """Make such as ``intel-rapl:0:1``; with a slash in it the zone lies inside another's folder."""
        folder = self.root / number
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
        self.set(number, uj)
        return folder

    def set(self, number: str, uj: float) -> None:
        """Move a counter; whoever reads meanwhile finds the old value or the new one."""
        file = self.root / number / "energy_uj"
        fresh = file.with_name("fresh")
        fresh.write_text(f"{round(uj)}\n")
        fresh.replace(file)

    def set_j(self, number: str, joules: float) -> None:
        self.set(number, joules * 1e6)

    def remove(self, number: str) -> None:
        folder = self.root / number
        for file in os.scandir(folder):
            Path(file).unlink()
        folder.rmdir()


def server(root: Path) -> Powercap:
    """Two packages with cores and memory."""
    tree = Powercap(root)
    for package in range(2):
        tree.zone(f"intel-rapl:{package}", f"package-{package}")
        tree.zone(f"intel-rapl:{package}:0", "core")
        tree.zone(f"intel-rapl:{package}:1", "dram")
    return tree
