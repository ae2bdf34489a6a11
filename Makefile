# `make run` and `make test` are all a newcomer needs: each sets up .venv on first use.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ENV ?= base
# Environments other than base have their results in data/<environment> (src/blood_kedro/environments.py).
OTHERS := $(filter-out base local,$(notdir $(patsubst %/,%,$(wildcard conf/*/))))
REGIMEN ?= shipped
ACCEPT_LARGE ?= false
COMMA := ,
UV_VERSION := 0.13.8

# Paths reach the programs in variables, as they were typed: `$(value)` leaves a dollar sign alone, and no shell or list of
# make sees blanks, commas or quotes. IMAGES and RAW may begin with ~.
count read-out detect: export BLOOD_KEDRO_IMAGES := $(value IMAGES)
real data bench simulator transfer study train-shipped judge-shipped: \
	export BLOOD_KEDRO_RAW := $(or $(value RAW),$(value BLOOD_KEDRO_RAW),data/01_raw)
export CELL_PX REGIMEN

# kedro-viz 12.5 uses a class of FastAPI that is to go, and is told so at every start.
viz viz-site: export PYTHONWARNINGS := ignore:ORJSONResponse is deprecated

export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
# Empty means no: Python keeps what it has compiled, so that every process after the first starts three times faster.
export PYTHONDONTWRITEBYTECODE :=

$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	touch $(STAMP)

.PHONY: help install run real test attack lint types format viz viz-site mlflow report count detect app data bench simulator transfer study train-shipped judge-shipped pack notebooks docs dist lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(STAMP) ## set up .venv from requirements.lock

run: $(STAMP) ## the demo: every pipeline on generated smears, no download, no GPU
	$(BIN)/kedro run

real: $(STAMP) ## every pipeline on real data: make real RAW=<folder with bccd/ chula/ pbc/>
	$(BIN)/kedro run --env=laptop

test: $(STAMP) ## all tests, two files at a time, slow ones first
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

attack: $(STAMP) ## 1,300 spoiled inputs through all that reads what strangers bring, and 20 kills of each kind of work (15 to 30 minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m tests.attack

lint: $(STAMP) ## style and types
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: $(STAMP) ## put code into the house style
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

viz: $(STAMP) ## lineage in the browser (http://127.0.0.1:4141; PORT=<another>)
	@$(BIN)/python -m blood_kedro.ports viz $(or $(PORT),4141)
	KEDRO_ENV=$(ENV) $(BIN)/kedro viz run --port=$(or $(PORT),4141)

viz-site: $(STAMP) ## lineage as static files, in build/viz
	KEDRO_ENV=$(ENV) $(BIN)/python scripts/viz_site.py build/viz

mlflow: $(STAMP) ## compare runs in the browser (http://127.0.0.1:5000; PORT=<another>): opens at the list of runs
	@$(BIN)/python -m blood_kedro.mlflow_page $(or $(PORT),5000)

report: $(STAMP) ## write the report again from saved results (ENV=laptop for real data)
	$(BIN)/kedro run --env=$(ENV) --pipelines=reporting

count: $(STAMP) ## count smears of your own: make count IMAGES=<picture, folder or slide> (CELL_PX=<width of a red cell>, else measured)
	@test -n "$$BLOOD_KEDRO_IMAGES" || { echo "say which: make count IMAGES=<picture or folder>"; exit 2; }
	@$(BIN)/blood-kedro count $(if $(CELL_PX),--cell-px="$$CELL_PX") --out=data/08_reporting/own_count -- "$$BLOOD_KEDRO_IMAGES"

read-out: $(STAMP) ## differential, shapes, sizes and platelets of one smear: make read-out IMAGES=<its pictures, or a slide> (CELL_PX= likewise)
	@test -n "$$BLOOD_KEDRO_IMAGES" || { echo "say which: make read-out IMAGES=<picture or folder>"; exit 2; }
	@$(BIN)/blood-kedro read-out $(if $(CELL_PX),--cell-px="$$CELL_PX") --out=data/08_reporting/own_read_out -- "$$BLOOD_KEDRO_IMAGES"

detect: $(STAMP) ## find cells in pictures of your own: make detect IMAGES=<picture or folder> (REGIMEN=<trained regimen> in place of the shipped detector, ENV=<whose models>)
	@test -n "$$BLOOD_KEDRO_IMAGES" || { echo "say which: make detect IMAGES=<picture or folder>"; exit 2; }
	@$(if $(filter-out shipped,$(REGIMEN)),$(BIN)/kedro run --env=$(ENV) --pipelines=detection_training --params="detection.regimen=$$REGIMEN",$(BIN)/blood-kedro detect $(if $(CELL_PX),--cell-px="$$CELL_PX") --out=data/08_reporting/own_detection -- "$$BLOOD_KEDRO_IMAGES")

app: $(STAMP) ## a page to drop a smear in (http://127.0.0.1:7860; PORT=<another>); uses the models of earlier runs in ENV
	$(if $(PORT),BLOOD_KEDRO_APP_PORT=$(PORT)) KEDRO_ENV=$(ENV) $(BIN)/python -m blood_kedro.page

data: $(STAMP) ## fetch the public sets of environment ENV into RAW (all of them: ACCEPT_LARGE=true)
	$(BIN)/kedro run --env=$(if $(filter base,$(ENV)),laptop,$(ENV)) --pipelines=ingestion \
		--params=download.enabled=true,download.accept_large=$(ACCEPT_LARGE)

bench: $(STAMP) ## speed and memory, written to docs/benchmarks.md (RAW=<folder> adds real images; PARTS="cells ..." only these)
	PYTHONPATH=. $(BIN)/python benchmarks/bench.py $(PARTS)

simulator: $(STAMP) ## contact sheets and comparison with real images, into docs/ (RAW=<folder>)
	$(BIN)/python benchmarks/simulator.py

transfer: $(STAMP) ## does pre-training on the simulator help? into docs/simulator_transfer.md (RAW=<folder>)
	$(BIN)/kedro run --env=laptop --pipelines=ingestion,standardization,merging \
		--params=sources.bccd.enabled=false,sources.pbc.enabled=false,merging.val_fraction=0.35
	$(BIN)/python benchmarks/transfer.py

study: $(STAMP) ## every shipped regimen with one small budget and three seeds, into docs/study.md; goes on where it stopped (RAW=<folder>)
	test -f data/laptop/05_model_input/unified/coco_val.json || $(BIN)/kedro run --env=laptop \
		--pipelines=ingestion,standardization,merging
	$(BIN)/python benchmarks/study.py

train-shipped: $(STAMP) ## train the models that come with the project again, into data/06_models; goes on where it stopped (RAW=<folder of the public sets>)
	$(BIN)/kedro run --pipelines=shipped_models \
		--to-nodes=cells_all.judge,train_white_cells,train_red_cell_shapes

judge-shipped: $(STAMP) ## and once more without each laboratory, with each change: hours on a CPU, minutes on a GPU; puts all into src/blood_kedro/models
	$(BIN)/kedro run --pipelines=shipped_models

pack: $(STAMP) ## data and regimens for a machine without this project: make pack REGIMENS="regimen_1" ENV=laptop, into build/pack
	$(BIN)/python scripts/pack_detector.py build/pack $(REGIMENS) --env=$(ENV)

notebooks: $(STAMP) ## execute the notebooks on what `make run` has saved, and keep their outputs
	$(BIN)/python scripts/run_notebooks.py

docs: $(STAMP) ## the documentation as a site, in build/docs: open build/docs/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir build/docs

dist: $(STAMP) ## wheel, source distribution and configuration, in dist/
	rm -rf dist
	$(BIN)/uv build --quiet --no-build-isolation --python $(BIN)/python --out-dir dist
	tar --exclude=local --transform 's,^conf,conf-blood_kedro,' -czf dist/conf-blood_kedro.tar.gz conf

lock: ## pin again after a change of pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet --output-file requirements.lock

clean: ## remove what runs have made in any environment (not data/01_raw)
	find data/0[2-8]_* -mindepth 1 ! -name .gitkeep -delete
	rm -rf $(addprefix data/,$(OTHERS)) mlruns mlruns.db* build .viz
