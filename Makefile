# make demo · make test · make check; every target makes .venv first if it is missing
PYTHON ?= python3.11
BIN := .venv/bin
# headless rendering
export MUJOCO_GL ?= egl
CODE := ambient_policy envs datasets scripts tests

.PHONY: demo test check tests format

demo: .venv/ready
	@echo "== 1/3 trusted demonstrations: 50 smooth plans (Drake GCS), executed in MuJoCo"
	$(BIN)/python scripts/collect.py expert=gcs episodes=50 path=data/demo/gcs.zarr
	@echo "== 2/3 suboptimal demonstrations: 1000 jagged plans (OMPL RRT), executed in MuJoCo"
	$(BIN)/python scripts/collect.py expert=rrt episodes=1000 path=data/demo/rrt.zarr
	@echo "== 3/3 three arms trained, evaluated on the same starts, compared"
	$(BIN)/python scripts/compare.py comparison=demo
	@cp runs/demo/report.html report.html && echo "wrote report.html"

test: check tests

# everything but the tests: fast enough before every commit
check: .venv/ready
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/mypy scripts tests
	$(BIN)/python -m pytest tests/test_arrows.py

tests: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

format: .venv/ready
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[planners,pusht,lerobot,video,robomimic,rlds,sweep,slurm,ray,dev]'
	@touch $@
