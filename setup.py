"""ffrtmp: a video transcoding and streaming cluster."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "ffrtmpd/__init__.py").read_text(), re.MULTILINE)[1]

setup(
    name="ffrtmp",
    version=VERSION,
    description="Video transcoding and streaming cluster: master, workers and a console for the terminal",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["ffrtmpd*", "ffrtmp_worker*", "ffrtmp_tui*"]),
    package_data={"ffrtmpd": ["py.typed"], "ffrtmp_worker": ["py.typed"], "ffrtmp_tui": ["py.typed"]},
    data_files=[
        ("share/ffrtmp/conf", ["conf/scenarios.toml", "conf/ffrtmpd.toml", "conf/worker.toml"]),
        ("share/man/man1", sorted(str(path.relative_to(HERE)) for path in HERE.glob("docs/man/*.1"))),
        ("share/man/man8", sorted(str(path.relative_to(HERE)) for path in HERE.glob("docs/man/*.8"))),
        ("share/bash-completion/completions", ["conf/completion/ffrtmp"]),
        ("share/zsh/site-functions", ["conf/completion/_ffrtmp"]),
        ("share/fish/vendor_completions.d", ["conf/completion/ffrtmp.fish"]),
    ],
    # The lower bounds are Debian 12's versions; docs/dependencies.md says what each is for.
    install_requires=[
        "pyzmq>=24.0.1",
        "msgpack>=1.0.3",
        "peewee>=3.14.10",
        "prometheus-client>=0.16",
        "psutil>=5.9.4",
        "urwid>=2.1.2",
    ],
    extras_require={
        "ffmpeg": ["imageio-ffmpeg>=0.8", "av"],
        "nvidia": ["nvidia-ml-py"],
    },
    entry_points={
        "console_scripts": [
            "ffrtmpd = ffrtmpd.main:main",
            "ffrtmp-worker = ffrtmp_worker.main:main",
            "ffrtmp = ffrtmp_tui.cli:main",
        ]
    },
)
