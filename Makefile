# Everything happens in virtual environments of this checkout; needed are Python >= 3.10 with venv, and Rust.
#
#   make build   the wheel, in build/wheel, when its sources changed
#   make check   what each change must pass before it is committed: the tests with fewer random edits, in minutes
#   make test    the whole, as in CI (lint, Rust, Python, the source distribution, each installed Python x pytest)
#   make demo    pytest and pytest --hotreload on examples/shop, side by side
#   make bench   the benchmarks; writes docs/benchmarks.md (SUITES="heavy light" for some of them)
#   make docs    the documentation site, in build/site
#   make wheels  the wheels of a release, in build/wheels, each checked (WHEEL_TARGETS="…" for some of them)
#   make clean   forget all of it

PYTHON ?= $(shell sh scripts/find-python)
PYTEST_VERSION ?= 9.2.0
# What the matrix runs between its oldest and its newest combination: does the extension load, is every kind of test
# reported as plain pytest does, is each file in a child? With two workers, two files of equal length.
INNER_TESTS ?= tests/unit/test_native_stub.py tests/acceptance/test_output_kinds.py \
	tests/acceptance/test_reports_isolation.py
# What it runs on these two: a folder, or anything else that pytest takes.
MATRIX_TESTS ?= $(INNER_TESTS) tests/acceptance/test_process_deaths.py \
	tests/acceptance/test_plugin_xdist.py tests/acceptance/test_apart_template.py tests/acceptance/test_isolate_calls.py \
	tests/acceptance/test_records_functions.py tests/acceptance/test_records_slots.py \
	tests/mutation/test_mutations.py::test_nothing_that_a_function_changes_is_missed
# Given on the command line it runs on all of them.
INNER := $(if $(filter file,$(origin MATRIX_TESTS)),$(INNER_TESTS),$(MATRIX_TESTS))
# `make test` has run everything on its own Python and pytest; `make matrix` by itself has not.
TESTED := $(if $(filter test,$(MAKECMDGOALS)),--tested=$(PYTEST_VERSION))
# The tests wait for processes more than they compute.
PYTEST_WORKERS ?= -n 4 --dist loadfile --no-loadscope-reorder
# The longest file first: begun last, it would keep one worker busy when the others have done.
TESTS ?= tests/mutation tests/fuzz tests/acceptance tests/unit
SUITES ?=
WHEEL_TARGETS ?=
# What CI installs beside the wheel that another job built, and runs: "part" (as the matrix does) or "whole".
WHEEL_PYTEST ?= $(PYTEST_VERSION)
WHEEL_TESTS ?= part

# Tests and benchmarks depend on bytecode being written, as it is for everyone who does not set this.
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(PATH):$(HOME)/.cargo/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

VENV := .venv
BIN := $(VENV)/bin
WHEEL_SOURCES := Cargo.toml Cargo.lock pyproject.toml LICENSE $(wildcard README.md) \
	$(shell find rust pytest_hotreload pytest_hotreload_client -name '*.rs' -o -name '*.py' -o -name '*.pyi' -o -name '*.css' -o -name '*.js' -o -name '*.json' \
	-o -name 'py.typed')
COMMA := ,
# The wheel's name is known when it is built, not when this file is read.
WHEEL = $$(echo build/wheel/*.whl)

.PHONY: build demo test check checks lint lint-python lint-rust lint-workflows rust test-rust test-python test-sdist \
	test-wheel matrix bench docs wheels clean

build: build/wheel.stamp

test: checks test-sdist test-python matrix
	@echo 'make test: all passed'

# Other random edits, another case of each parametrised acceptance test, and other slow tests, each time. A failure names its seed: HOTRELOAD_SEED=… make check repeats it.
check: export HOTRELOAD_SEED ?= $(shell date +%j%H%M)
check: export HOTRELOAD_EDITS ?= 300
check: export HOTRELOAD_SAVES ?= 30
check: export HOTRELOAD_SUITES ?= 20
check: export HOTRELOAD_NAMES ?= 6
check: export HOTRELOAD_LIVE_EDITS ?= 8
check: export HOTRELOAD_CASES_PER_TEST ?= 1
check: export HOTRELOAD_CHECK := yes
check: PYTEST_WORKERS += --timeout=120
check: checks test-python
	@echo "make check: all passed, seed $$HOTRELOAD_SEED"

lint: lint-python lint-workflows lint-rust

# Compiling the crate keeps one core busy, installing and type-checking another.
checks: $(VENV)/python.stamp
	$(MAKE) --jobs=2 SIDE_BY_SIDE=yes lint-python lint-workflows rust

# One after the other: cargo's folder is one.
rust:
	$(MAKE) lint-rust
	$(MAKE) test-rust

# Else not parallel under -j: the steps share two cores with the tests' own processes, and output is read from top to
# bottom.
ifndef SIDE_BY_SIDE
.NOTPARALLEL:
endif

lint-python: $(VENV)/tools.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Without the network: the schemas are part of check-jsonschema, and zizmor asks no service.
lint-workflows: $(VENV)/tools.stamp
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml \
		examples/ci/github-actions.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms \
		$(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.gitlab-ci --data-transform gitlab-ci examples/ci/gitlab-ci.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.circle-ci examples/ci/circleci.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.buildkite examples/ci/buildkite.yml
	$(BIN)/zizmor --quiet --offline --no-progress --persona pedantic --config .github/zizmor.yml .github \
		examples/ci/github-actions.yml

lint-rust:
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

test-rust: $(VENV)/python.stamp
	PYO3_PYTHON=$(abspath $(BIN)/python) cargo test --locked

test-python: $(VENV)/installed.stamp
	$(BIN)/pytest $(PYTEST_WORKERS) $(TESTS)

test-sdist: build/sdist.stamp

# The wheel in build/wheel is not built here. The newest Python may lack wheels of some plugins, whose tests are skipped.
test-wheel:
	$(PYTHON) -m venv --clear .venv-wheel
	.venv-wheel/bin/pip install --quiet -c tests/constraints.txt pytest==$(WHEEL_PYTEST) \
		"$(WHEEL)[test$(if $(filter whole,$(WHEEL_TESTS)),$(COMMA)plugins)]"
	.venv-wheel/bin/pytest -p no:cacheprovider $(PYTEST_WORKERS) $(if $(filter whole,$(WHEEL_TESTS)),$(TESTS),$(MATRIX_TESTS))

matrix: build/wheel.stamp $(VENV)/tools.stamp
	$(BIN)/python scripts/matrix.py $(WHEEL) $(TESTED) --inner='$(PYTEST_WORKERS) $(INNER)' \
		-- $(PYTEST_WORKERS) $(MATRIX_TESTS)

demo: .venv-demo/installed.stamp
	.venv-demo/bin/python scripts/demo.py

bench: .venv-bench/installed.stamp
	.venv-bench/bin/python -m benchmarks.run $(SUITES)

docs: .venv-docs/installed.stamp
	.venv-docs/bin/python scripts/build_site.py build/site

wheels: .venv-wheels/installed.stamp
	.venv-wheels/bin/python scripts/wheels.py build/wheels $(WHEEL_TARGETS)

clean:
	rm -rf build dist target .venv .venv-demo .venv-bench .venv-docs .venv-matrix .venv-wheel .venv-wheels .mypy_cache .ruff_cache .pytest_cache

$(VENV)/python.stamp:
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet 'pip>=24'
	touch $@

# The tools alone, without the wheel: linting must not wait for Rust's optimiser.
$(VENV)/tools.stamp: $(VENV)/python.stamp tests/constraints.txt scripts/extras.py pyproject.toml
	$(BIN)/python scripts/extras.py test plugins lint dev > $(VENV)/tools.txt
	$(BIN)/pip install --quiet -c tests/constraints.txt pytest==$(PYTEST_VERSION) -r $(VENV)/tools.txt
	touch $@

build/wheel.stamp: $(WHEEL_SOURCES) | $(VENV)/python.stamp
	rm -rf build/wheel
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir build/wheel .
	touch $@

# The source distribution must build the same wheel. Cargo's folder is shared, so that only this crate compiles again.
build/sdist.stamp: build/wheel.stamp $(VENV)/tools.stamp
	rm -rf build/sdist
	$(BIN)/python scripts/sdist.py build/sdist $(WHEEL)
	touch $@

$(VENV)/installed.stamp: build/wheel.stamp $(VENV)/tools.stamp
	$(BIN)/pip install --quiet --no-deps --force-reinstall $(WHEEL)
	touch $@

.venv-demo/installed.stamp: build/wheel.stamp examples/shop/requirements.txt
	test -x .venv-demo/bin/python || $(PYTHON) -m venv .venv-demo
	.venv-demo/bin/pip install --quiet -r examples/shop/requirements.txt
	.venv-demo/bin/pip install --quiet --no-deps --force-reinstall $(WHEEL)
	touch $@

.venv-bench/installed.stamp: build/wheel.stamp benchmarks/requirements.txt
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet -r benchmarks/requirements.txt
	.venv-bench/bin/pip install --quiet --no-deps --force-reinstall $(WHEEL)
	touch $@

# The documentation and the wheels need little, and no pytest.
.venv-docs/installed.stamp .venv-wheels/installed.stamp: .venv-%/installed.stamp: tests/constraints.txt scripts/extras.py pyproject.toml
	$(PYTHON) -m venv --clear .venv-$*
	.venv-$*/bin/python scripts/extras.py --only $* > .venv-$*/tools.txt
	.venv-$*/bin/pip install --quiet -c tests/constraints.txt -r .venv-$*/tools.txt
	touch $@
