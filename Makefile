# make install   .venv and nothing else
# make demo      the whole workflow on the built-in cohort, 2 cores, no GPU, no data
# make test      unit tests and a tiny workflow
# make test-all  the slow tests; as root on Debian also those on a SLURM cluster, whose packages they install
# make lint      the linters; make pythons tries the package on each installed Python, make lock pins requirements anew
# make equivalents BASE=<commit> [SAME=<file or text>]   after a refactor: results that BASE made stay finished
# Each sets up .venv by itself from the pinned requirements.
PYTHON ?= python3.11
CORES ?= 2
BIN := .venv/bin
# A file's tests stay in one process, so that a whole run of the workflow is made once for all of them; files begin in
# the order of tests/conftest.py.
PYTEST = PYTHONDONTWRITEBYTECODE=1 GOMP_SPINCOUNT=10000 $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder \
    --durations=25

.PHONY: install demo test test-all lint docs equivalents pythons lock clean

install: .venv/.ready

demo: .venv/.ready
	$(BIN)/snakemake --cores $(CORES) --configfile config/demo.yaml

test: .venv/.ready
	$(PYTEST) --numprocesses $(CORES) -m "not slow"

test-all: .venv/.ready
	$(PYTEST) --numprocesses $$(($(CORES) + 2)) -m slow  # two more than cores: some wait for SLURM

lint: .venv/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	env PYTHONPATH=workflow/scripts $(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile workflow/Snakefile workflow/rules
	$(BIN)/snakemake --lint --configfile config/demo.yaml

docs: .venv/.ready
	$(BIN)/python docs/make_config_readme.py
	$(BIN)/python docs/make_bad_inputs.py

equivalents: .venv/.ready
	$(BIN)/python -m tools.equivalents --base "$(BASE)" --same "$$SAME" --cores $(CORES)

pythons:
	$(PYTHON) tools/pythons.py

# torch first and alone: a later package that asks for any torch is then satisfied by the pinned one. The logger is the
# repository's own, without a hash; what an earlier build of it left would be installed with it.
.venv/.ready: requirements-torch.txt requirements.txt $(wildcard tools/logger/*.toml tools/logger/*/*.py)
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements-torch.txt
	$(BIN)/pip install --quiet --requirement requirements.txt
	rm -rf tools/logger/build
	$(BIN)/pip install --quiet --force-reinstall --no-deps --no-build-isolation ./tools/logger
	touch $@

# Pins that still fit stay; one is moved by `make lock MOVE=--upgrade-package=numpy==2.4.7`.
lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet uv
	.venv-lock/bin/uv pip compile --quiet --generate-hashes --no-annotate --strip-extras --python-version 3.11 \
	    --all-extras --constraint requirements-torch.txt --no-emit-package torch --no-emit-index-url \
	    --custom-compile-command "make lock" --output-file requirements.txt $(MOVE) pyproject.toml
	rm -r .venv-lock

clean:
	rm -rf .venv
