# make demo · make test · make check · make validate
# The first of them makes .venv; demo installs what the demo needs, the others everything.
PYTHON ?= python3.11
BIN := .venv/bin
# headless rendering
export MUJOCO_GL ?= egl
# keep what Python compiles: the tests start hundreds of processes
unexport PYTHONDONTWRITEBYTECODE
CODE := ambient_policy envs datasets scripts tests
# --no-compile: Python compiles what it imports, and of most packages that is little
INSTALL := $(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e
EXTRAS := dev
# a worker each; one that has nothing left to do takes tests from the other
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: demo test check quick validate repeat format

demo: .venv/demo
	@echo "== 1/3 trusted: 50 demonstrations of the right goal (Drake GCS), executed in MuJoCo"
	$(BIN)/ambient-policy collect expert=gcs episodes=50 path=data/demo/right_goal.zarr jobs.workers=2
	@echo "== 2/3 suboptimal: 1000 demonstrations of another goal: right motions, wrong task"
	$(BIN)/ambient-policy collect expert=gcs goals=another episodes=1000 seed=1 path=data/demo/wrong_goal.zarr jobs.workers=2
	@echo "== 3/3 three arms trained, evaluated on the same starts, compared"
	$(BIN)/ambient-policy compare comparison=demo
	@cp runs/demo/report.html report.html && echo "wrote report.html"

# what decides whether a change lands: the same tests with the same examples each time
test: check quick

# everything but the tests: fast enough before every commit
check: .venv/ready
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/mypy scripts tests
	$(BIN)/python -m pytest tests/test_arrows.py

quick: .venv/ready
	$(PYTEST) -m "not slow"

# every test, the slow ones too, and new examples for the property tests: before a release
validate: check
	$(PYTEST) --hypothesis-profile=fresh

# does a test fail by chance? (make repeat RUNS=10; once more beside processes that keep the machine busy)
RUNS ?= 10
repeat: .venv/ready
	for run in $$(seq $(RUNS)); do $(MAKE) quick || exit 1; done

format: .venv/ready
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

.venv/demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) '.[planners]'
	@touch $@

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) '.[$(EXTRAS)]'
	@touch .venv/demo $@
