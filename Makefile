# make demo    a dashboard with finished and live trainings, from nothing
# make test    everything that is checked before a change lands
# make faults  kill, freeze, fill and cut everything there is, and compare; ROWS="clock forks" SHARE=0.1 for less
# make lint    ruff and mypy; make format lets ruff rewrite
#
# Each sets up .venv with what it needs, once, and again when pyproject.toml has changed.

PYTHON ?= python3
# Three workers, each with a database server of its own: most tests wait for processes and browsers, not for the CPU.
# Files in the order of tests/conftest.py, the longest first, so that no worker is alone with one at the end.
PYTEST ?= -n 3 --dist loadfile --no-loadscope-reorder
# How much of the whole fault table: 0 is what the test suite does. ROWS are words of its rows' names, all when empty.
SHARE ?= 1
ROWS ?=
PIP := .venv/bin/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test faults lint format clean

demo: .venv/has-demo
	@.venv/bin/python examples/demo.py

# Debian's packages come while ruff and mypy look at the code: neither waits for the other.
test: .venv/has-dev
	@(.venv/bin/python tests/install_chromium.py && .venv/bin/python tests/install_directory.py) & installing=$$!; \
		$(MAKE) --no-print-directory lint && wait $$installing
	@.venv/bin/python -m pytest $(PYTEST)

# From tests/, where the program is a package of its own.
faults: .venv/has-dev
	@cd tests && ../.venv/bin/python -m faults --share $(SHARE) $(ROWS)

# mypy names modules after their folder, and a checkout's folder may have any name: it looks at the package through a link.
lint: .venv/has-dev
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@mkdir -p .venv/lint && ln -sfn ../.. .venv/lint/cloister
	@MYPYPATH=.venv/lint .venv/bin/mypy -p cloister.observer -p cloister.decorators -p cloister.viewer \
		-m cloister -m cloister.__main__

format: .venv/has-dev
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

clean:
	rm -rf .venv build dist ./*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/has-%: pyproject.toml | .venv/bin/pip
	@echo "Installing Cloister with what 'make $(if $(filter dev,$*),test,$*)' needs into .venv (this once)"
	@$(PIP) --editable '.[$*]'
	@touch $@

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 10) else \
		f"Cloister needs Python 3.10 or newer, and $(PYTHON) is {sys.version.split()[0]}. Try: make PYTHON=python3.12")'
	@$(PYTHON) -m venv .venv
