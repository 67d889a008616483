# Two commands for a fresh clone: `make demo` and `make test`. Everything lands in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
MARK := $(VENV)/.installed

.PHONY: demo test check lint types floors unit machine benchmark lock wheel clean dovecot
.DEFAULT_GOAL := demo

demo: $(MARK)-demo ## the whole thing on a machine that has nothing (ARGS=--keep leaves the servers up)
	@$(BIN)/crm-sync demo $(ARGS)

test: $(MARK)-dev dovecot ## everything that must pass before a change lands
	@$(MAKE) --no-print-directory check
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: lint types floors

lint: $(MARK)-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .

types: $(MARK)-dev
	@$(BIN)/mypy

floors: $(MARK)-dev
	@$(BIN)/lint-imports --no-cache

machine: $(MARK)-dev ## the state machines for longer, with a new seed (EXAMPLES=2000)
	@CRMSYNC_EXAMPLES=$(or $(EXAMPLES),2000) $(BIN)/python -m pytest tests/flow -k machine --timeout 3600 -s

benchmark: $(MARK)-dev dovecot ## all figures beside those of peers (ARGS="sync delivery idle million": some)
	@$(BIN)/python -m tests.benchmarks $(ARGS)

wheel: $(MARK)-dev
	@$(BIN)/python -m build --wheel --no-isolation

COMPILE := $(BIN)/uv pip compile --quiet pyproject.toml --group build --universal --python-version 3.11 \
  --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links --upgrade

lock: $(MARK)-dev ## new versions into the lock files
	@$(PIP) install --quiet uv
	@$(COMPILE) --extra demo -o requirements.lock
	@$(COMPILE) --extra demo --extra dev -o tests/requirements.lock

$(MARK)-demo: requirements.lock pyproject.toml | $(BIN)/pip
	@echo "Installing crm-sync and the demo's servers into $(VENV) ..."
	@$(PIP) install --quiet --require-hashes -r requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(MARK)-dev: tests/requirements.lock pyproject.toml | $(BIN)/pip
	@echo "Installing crm-sync, its servers and its tools into $(VENV) ..."
	@$(PIP) install --quiet --require-hashes -r tests/requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Debian keeps venv in a package of its own; it is installed where that is allowed.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "crm-sync needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@rm -rf $(VENV); $(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); \
	  $(call apt,python3-venv) && $(PYTHON) -m venv $(VENV) >/dev/null 2>&1; } \
	  || { rm -rf $(VENV); echo "$(PYTHON) -m venv does not work here; first run: sudo apt-get install python3-venv" >&2; exit 1; }

# Without Dovecot its tests are skipped by name (and fail where CI=true).
dovecot:
	@command -v dovecot >/dev/null || test -x /usr/sbin/dovecot || $(call apt,dovecot-imapd) || true

define apt
{ as=""; test "$$(id -u)" = 0 || as="sudo -n"; command -v apt-get >/dev/null && $$as true 2>/dev/null \
  && echo "Installing Debian's $(1) ..." && { $$as apt-get update -qq >/dev/null 2>&1; \
  $$as env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(1) >/dev/null 2>&1; }; }
endef

clean:
	@rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis demo-crm-sync
