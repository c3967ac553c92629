# What people and CI both call. Everything is installed into .venv, pinned by constraints.txt.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet

.DEFAULT_GOAL := help
.PHONY: help demo artifacts test check bench clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	@echo "Installing into $(VENV) (a few minutes the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(STAMP)  ## install, fetch real weights, export, quantize; classify, detect and segment in real photos
	@mkdir -p build/demo
	$(BIN)/mnv2deploy pull mobilenet-v2 ssdlite-coco deeplabv3-voc
	$(BIN)/mnv2deploy pull sample-photos --output build/demo
	$(BIN)/mnv2deploy export models/mobilenet-v2.toml
	$(BIN)/mnv2deploy export models/ssdlite-coco.toml
	$(BIN)/mnv2deploy export models/deeplabv3-voc.toml
	$(BIN)/mnv2deploy classify build/demo/chelsea.png --model models/build/mobilenet-v2.onnx -o build/demo/classified.jpg
	$(BIN)/mnv2deploy detect build/demo/motorcycle_left.png --model models/build/ssdlite-coco.onnx -o build/demo/detected.jpg
	$(BIN)/mnv2deploy quantize models/build/ssdlite-coco.onnx --calib calib/wheel-photos.toml --profile fast --report build/demo/quantized.html
	$(BIN)/mnv2deploy detect build/demo/motorcycle_left.png --model models/build/ssdlite-coco-int8.onnx -o build/demo/detected-int8.jpg
	$(BIN)/mnv2deploy segment build/demo/astronaut.png --model models/build/deeplabv3-voc.onnx -o build/demo
	@echo "Look at the pictures in $(CURDIR)/build/demo"

artifacts: $(STAMP)  ## build, check and publish the releases of every recipe in models/, into models/build/
	$(BIN)/mnv2deploy build
	$(BIN)/mnv2deploy verify models/build

test: check  ## check, and run every test on real weights and real pictures
	@MNV2DEPLOY_CACHE="$${MNV2DEPLOY_CACHE:-$(CURDIR)/build/cache}" $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --cov --cov-report=term

check: $(STAMP)  ## lint, format, types and the floors of the house
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

bench: $(STAMP)  ## time the product beside what it must keep up with or beat
	@$(BIN)/python benchmarks/cold_start.py
	@$(BIN)/python benchmarks/masks.py
	@$(BIN)/python benchmarks/peers.py

clean:  ## remove what was built, keep the downloads
	@rm -rf build/demo models/build dist .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis
