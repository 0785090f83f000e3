# `make demo` and `make test` are all a newcomer needs; both install into folders of this checkout and ask for no root.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INPUT ?=
FRAMES ?= 1000000
SEEDS ?= 10000
PEERS ?= huey

# rpms only where they can be built.
PACKAGE_BUILDS := packaging/build_deb.py $(if $(shell command -v rpmbuild),packaging/rpm/build)

.PHONY: help demo test test-packages packages bench simulate fuzz docs picture clean check-python

help:
	@echo "make demo [INPUT=clip.mp4]  a master and two workers on this machine encode a few clips"
	@echo "make test [ARGS=...]        lint, types, import contracts, unit and end-to-end tests"
	@echo "make packages               Debian packages (and rpms) into dist/; docs/install.md tells what that takes"
	@echo "make test-packages          install, run, upgrade and purge them on Debians of their own; takes root and minutes"
	@echo "make bench [PEERS=all]      measure against bare baselines and other job queues; ARGS=--quick for a short look"
	@echo "make simulate [SEEDS=10000] worlds in which much goes wrong, each from its seed"
	@echo "make fuzz [FRAMES=1000000]  broken messages at both sockets of a real master"
	@echo "make docs                   fill the generated parts of docs/ and conf/"
	@echo "make picture                draw docs/console.svg from a real console in front of a real cluster"
	@echo "make clean                  remove what the targets above have made"

check-python:
	@command -v $(PYTHON) >/dev/null || { echo "Python is missing: install Python 3.11 or later (Debian: apt install python3 python3-venv)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is too old: 3.11 or later is needed; name another with make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "python3 -m venv does not work here: install it (Debian: apt install python3-venv)"; exit 1; }

$(BIN)/pip: | check-python
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: setup.py $(BIN)/pip
	@echo "installing into $(VENV) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat --editable '.[ffmpeg]'
	@touch $@

$(BIN)/tox: $(BIN)/pip
	@$(BIN)/pip install --quiet --disable-pip-version-check 'tox>=4'
	@touch $@

demo: $(VENV)/.installed
	@$(BIN)/ffrtmp demo $(if $(INPUT),--input '$(INPUT)')

test: $(BIN)/tox
	@$(BIN)/tox run $(ARGS)

packages:
	@set -e; for build in $(PACKAGE_BUILDS); do $$build; done

test-packages: $(BIN)/tox
	@$(BIN)/tox run -e packages $(ARGS)

bench: $(VENV)/.installed
	@$(BIN)/python -m tests.bench --peers '$(PEERS)' $(ARGS)

fuzz: $(VENV)/.installed
	@$(BIN)/pip install --quiet --disable-pip-version-check hypothesis pytest
	@$(BIN)/python -m tests.fuzz --frames $(FRAMES)

simulate: $(VENV)/.installed
	@$(BIN)/pip install --quiet --disable-pip-version-check hypothesis pytest
	@$(BIN)/python -m tests.simulator --seeds $(SEEDS)

docs: $(VENV)/.installed
	@$(BIN)/python docs/generate.py

picture: $(VENV)/.installed
	@$(BIN)/pip install --quiet --disable-pip-version-check pyte
	@$(BIN)/python docs/picture.py

clean:
	rm -rf $(VENV) .tox build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
