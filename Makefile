# Everything that one does here. `make` alone says what there is.
PYTHON ?= python3
BIN := .venv/bin
NAME ?= mine
ARGS ?=

.PHONY: $(shell grep -oE '^[a-z-]+:' $(firstword $(MAKEFILE_LIST)) | tr -d :)

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

.venv/ready: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[data,dev,report,numba,tensorflow,tinygrad,dask,optax,mlx]' triton
	@touch $@

CHOSEN := numpy_manual,torch_manual,torch_autograd,torch_nn,jax_jit,jax_scan,numba_fused

bench: .venv/ready ## measure seven implementations here until decided, 5 minutes at most, save, answer, write the report; others: ARGS='--impl A,B'
	@status=0; $(BIN)/python -m pytest benchmarks --benchmark-save=$(NAME) $(FOR) $(ARGS) || status=$$?; \
	if [ $$status -le 1 ]; then $(BIN)/python -m results report; fi; exit $$status
bench: FOR = --until-decided --minutes 4.8 --impl $(CHOSEN)

ab: .venv/ready ## did an implementation get slower? FILE=impls/torch_nn.py (default: all that differ), BASE=main (default: HEAD), MINUTES=5
	@FILE='$(FILE)' BASE='$(BASE)' MINUTES='$(MINUTES)' SLOWER='$(SLOWER)' ARGS='$(ARGS)' .ci/ab

OUT ?= build
BIG ?= 3000000x100
GPU_SECONDS ?= 400
GPU_BASELINE ?= torch_manual
WARM ?= torch jax cupy triton
comma := ,
GPU_PROBLEMS := $(BIG),huge,large,medium,small,tiny,medium@256,huge@4096,small@100,large@1024
JAX_BUFFERS := benchmarks/extra/loops/jax_scan_no_buffers.py,benchmarks/extra/loops/jax_scan_all_buffers.py
GPU_IMPLS := torch_manual,numpy_manual,triton_fused,torch_graph,jax_scan,cupy_manual,torch_compile_graphs,torch_compile,jax_jit,triton_descent,$(JAX_BUFFERS),torch_autograd,torch_nn,jax_grad

define gpu_report
{ $(PYTHON) -m results report $(1).json --baseline $(GPU_BASELINE) --format md > $(1).md 2> /dev/null \
	|| $(PYTHON) -m results report $(1).json --format md > $(1).md; } && echo "wrote $(1).md"
endef

bench-gpu: ## on a machine with a GPU, by the Python that is there, nothing installed: within 8 minutes, what matters most first
	@mkdir -p $(OUT) && rm -f $(OUT)/gpu.json $(OUT)/gpu.md; $(PYTHON) -m benchmarks.machine.gpu; \
	for module in $(WARM); do timeout 60 $(PYTHON) -c "import $$module" 2>/dev/null & done; wait; status=0; \
	PYTHONUNBUFFERED=1 timeout -s INT -k 30 --preserve-status $(GPU_SECONDS) $(PYTHON) -m pytest benchmarks --benchmark-quiet --preset quick --timeout 100 \
	--benchmark-json=$(OUT)/gpu.json --benchmark-save=gpu --device gpu$(comma)cpu --in-order --aa torch_manual --impl $(GPU_IMPLS) \
	--problem $(GPU_PROBLEMS) -k "(-gpu- and not numpy) or numpy_manual-cpu or (jax_scan-cpu and not $(BIG))" $(ARGS) || status=$$?; \
	if [ -s $(OUT)/gpu.json ]; then $(PYTHON) -m results show $(OUT)/gpu.json; $(call gpu_report,$(OUT)/gpu); \
	else echo "no report: nothing was measured, and the lines above say why"; fi; exit $$status

verdicts-gpu: ## on a machine with a GPU: a few implementations in 4 blocks, for verdicts, and CPU against GPU: 7 minutes
	@mkdir -p $(OUT) && rm -f $(OUT)/gpu-verdicts.json $(OUT)/gpu-verdicts.md; status=0; \
	PYTHONUNBUFFERED=1 timeout -s INT -k 30 --preserve-status 420 $(PYTHON) -m pytest benchmarks --benchmark-quiet --preset quick --timeout 100 \
	--no-limits --benchmark-json=$(OUT)/gpu-verdicts.json --benchmark-save=gpu-verdicts --device gpu$(comma)cpu --aa $(GPU_BASELINE) \
	--blocks 4 --minutes 6 --impl $(GPU_FEW) --problem large,medium,small,tiny \
	-k "(-gpu- and not numpy) or numpy_manual-cpu or $(GPU_BASELINE)-cpu" $(ARGS) || status=$$?; \
	if [ -s $(OUT)/gpu-verdicts.json ]; then $(call gpu_report,$(OUT)/gpu-verdicts); \
	$(PYTHON) -m results crossover $(GPU_BASELINE) --over device --job-steps 1000 --run $(OUT)/gpu-verdicts.json || status=$$?; \
	else echo "no report: nothing was measured, and the lines above say why"; fi; exit $$status
GPU_FEW := torch_manual,numpy_manual,triton_fused,torch_graph,jax_scan

profile-gpu: ## on a machine with a GPU: launches of a step and the GPU's busy time, each case in a process of its own: 8 minutes
	@$(MAKE) --no-print-directory bench-gpu OUT=$(OUT)/profile GPU_PROBLEMS=tiny,medium,large ARGS='--profile --no-limits $(ARGS)'

test-gpu: ## on a machine with a GPU, by the Python that is there: contract, mutants and iterates on it, 5 minutes at most
	@$(PYTHON) -m benchmarks.machine.gpu || exit 1; \
	PYTHONUNBUFFERED=1 XLA_PYTHON_CLIENT_PREALLOCATE=false DESCENTBENCH_DEVICE=gpu timeout -s INT -k 5 --preserve-status 290 sh -c 'status=0; \
	for file in contract mutants iterates; do [ "$$(find tests -name test_$$file.py)" ] || exit 1; $(PYTHON) -m pytest -q -p no:cacheprovider --benchmark-disable \
	$$(find tests -name test_$$file.py) -k "$(GPU_TESTS)" $(ARGS) || status=$$?; done; exit $$status' \
	|| { status=$$?; echo "failed, or cut after 290 seconds: the last lines above say which"; exit $$status; }
test-gpu: GPU_TESTS = not numba and not tensorflow and not tinygrad and not dask

gpu-first: ## the first look at a machine with a GPU: facts, kernels alone, contract tests, a short run, all saved under OUT: 9 minutes
	@$(PYTHON) -m benchmarks.extra.gpu_first $(OUT)/gpu-first

campaign: .venv/ready ## all implementations in 13 blocks, for small differences as well: an hour on 2 cores
	@$(MAKE) --no-print-directory bench NAME=$(NAME) FOR='--blocks 13 --aa numpy_manual,torch_nn,jax_scan'
campaign: NAME = my-campaign

test: lint types check ## lint, types and tests

QUICK := $(addprefix project/test_,layers.py readme.py reference_pages.py) $(addprefix results/,stats store commands)

SLOW := commands/test_scaling stats/test_changes stats/test_statistics_rates

quick: lint types ## lint, types and the fast tests: for the desk, a minute and a half
	$(BIN)/python -m pytest -q -W error -n 3 --dist loadfile --benchmark-disable $(QUICK:%=tests/%) $(SLOW:%=--ignore tests/results/%.py)

growth sweep readme:
	@echo "make $@ is called make $(NOW_$@) now" >&2; exit 2
NOW_growth := many-files
NOW_sweep := map
NOW_readme := docs

lint: .venv/ready ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready ## mypy
	$(BIN)/mypy

check: .venv/ready ## the tests alone: two at a time, then those that measure; or ARGS=tests/results/stats
ifeq ($(ARGS),)
	$(BIN)/python -m pytest -q -W error -n 3 --dist loadfile --no-loadscope-reorder --benchmark-disable -m "not measures"
	$(BIN)/python -m pytest -q -W error -m measures
else
	$(BIN)/python -m pytest -q -W error $(ARGS)
endif

fix: .venv/ready ## format, and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

LOOPS := benchmarks/extra/loops
SLOWED := $(LOOPS)/five_per_cent_numpy.py,$(LOOPS)/five_per_cent_torch.py,$(LOOPS)/five_per_cent_jax.py,$(LOOPS)/five_per_cent_numba.py
TWICE := numpy_manual,torch_autograd,jax_scan,numba_fused,tinygrad_autograd

acceptance: .venv/ready ## do the verdicts hold here? 10 campaigns of the same code twice and of 5 % more work, 10 of the same code: 2 hours
	@rm -rf build/acceptance && mkdir -p build/acceptance
	@for i in $$(seq 20); do echo "campaign $$i of 20"; \
	if [ $$((i % 2)) = 1 ]; then set -- $(TWICE),$(SLOWED) $(BLOCKS); else set -- $(TWICE) 12; fi; \
	$(BIN)/python -m pytest benchmarks -q --benchmark-quiet --preset quick --impl $$1 --aa $(TWICE) --problem small --blocks $$2 --no-limits \
	--seed $$i --benchmark-json=build/acceptance/$$i.json > build/acceptance/$$i.txt || [ $$? -eq 1 ] || { cat build/acceptance/$$i.txt; exit 1; }; done
	$(BIN)/python -m results acceptance build/acceptance/*.json --format json --out results/acceptance.json
acceptance: BLOCKS = 24

PLANTED = build/acceptance-environments

BLOCKS ?= 220

acceptance-environments: .venv/ready ## are 5 % more work in a new version found, and the same version is not? 10 campaigns of 220 blocks: an hour and a half
	@rm -rf $(PLANTED) && mkdir -p $(PLANTED)/runs && $(BIN)/python -m benchmarks.extra.planted_versions $(PLANTED)/versions > $(PLANTED)/python
	@for i in $$(seq 10); do echo "campaign $$i of 10"; $(BIN)/python -m pytest benchmarks -q --benchmark-quiet --preset quick \
	--impl $(LOOPS)/planted_numpy.py --python "$$(cat $(PLANTED)/python)" --aa none --problem small,small@100 --blocks $(BLOCKS) --minutes 10 \
	--no-limits --seed $$i --benchmark-json=$(PLANTED)/runs/$$i.json $(ARGS) > $(PLANTED)/runs/$$i.txt || [ $$? -eq 1 ] || { cat $(PLANTED)/runs/$$i.txt; exit 1; }; done
	$(BIN)/python -m results.upkeep.acceptance_environments results/acceptance-environments.json $(PLANTED)/runs/*.json

cold: .venv/ready ## seconds from nothing to the first weights, in fresh processes
	$(BIN)/python -m pytest benchmarks/extra/bench_cold.py --problem line --blocks 8 --benchmark-quiet --benchmark-json=results/cold.json

FRAMEWORK ?= jax
VERSIONS ?= 0.6.2 0.7.2 0.8.3 0.9.2 0.10.2
IMPL ?= $(subst $() ,$(comma),$(patsubst impls/%.py,%,$(wildcard impls/$(FRAMEWORK)_*.py)))

versions: .venv/ready ## which release made this loop slower? FRAMEWORK=numpy VERSIONS='1.26.4 2.4.6' IMPL=numpy_manual, in the same blocks
	$(BIN)/python -m pytest benchmarks --benchmark-save=$(FRAMEWORK)-versions --preset quick --blocks 8 --minutes 20 --impl $(IMPL) \
	$(foreach version,$(VERSIONS),--with $(FRAMEWORK)==$(version)) $(ARGS) || [ $$? -eq 1 ]
	$(BIN)/python -m results compare --over environment

map: .venv/ready ## the fastest framework by rows and features, and python -m results crossover; GRID=256 for mini-batches: half an hour
	$(BIN)/python -m pytest benchmarks --benchmark-save=$(NAME) --until-decided --minutes 25 --preset quick --grid $(GRID) \
	--impl $(CHOSEN) $(ARGS)
map: NAME = map
map: GRID = all

frameworks: .venv/ready ## Keras, Optax, MLX and scikit-learn beside torch, JAX and NumPy: 15 minutes; needs the extra keras
	$(BIN)/python -m pytest benchmarks --benchmark-save=frameworks --until-decided --minutes 14 --preset quick --no-limits \
	--impl numpy_manual,torch_manual,torch_nn,keras_torch,keras_jax,jax_jit,jax_optax,jax_optax_eager,mlx_compile,sklearn_sgd \
	--problem 100x10,1000x10,10000x10,100000x10,1000x10@1 $(ARGS)

limits: .venv/ready ## how near the implementations come to what this machine can do, and 1,000 steps on tall problems: half an hour
	$(BIN)/python -m pytest benchmarks --benchmark-quiet --benchmark-save=limits --blocks 6 --preset quick --dtype float32,float64 --aa none \
	--impl numpy_manual,numpy_blocked,numba_fused,torch_compile,jax_scan --problem 10000x100,1000000x16,1000000x100,100000x1000 $(ARGS)
	$(BIN)/python -m pytest benchmarks --benchmark-quiet --benchmark-save=tall --blocks 6 --preset quick --steps 1000 --aa none \
	--impl numpy_gram,numba_fused --problem 100000x16,1000000x16 $(ARGS)

closed: .venv/ready ## the closed form, for users who need only the solution
	$(BIN)/python -m pytest benchmarks/extra/bench_closed_form.py --benchmark-quiet --benchmark-json=results/closed.json --blocks 3 --no-limits \
	--dtype float32,float64 --impl numpy_manual --aa none --problem small,10000x100,1000000x16,1000000x100

layers: .venv/ready ## what each layer adds to a step, where there is next to nothing to compute
	$(BIN)/python -m pytest benchmarks --benchmark-quiet --benchmark-save=layers --blocks 8 --preset quick --problem tiny --impl \
	numpy_manual,numba_fused,torch_manual,torch_autograd,torch_nn,torch_compile,jax_grad,jax_jit,jax_scan $(ARGS)

loops: .venv/ready ## our implementations against the tutorials' own loops, as ratios in one run
	$(BIN)/python -m pytest benchmarks --benchmark-quiet --benchmark-json=results/loops.json --problem line,medium --blocks 8 --impl \
	numpy_manual,torch_autograd,torch_nn,benchmarks/extra/loops/numpy_tutorial.py,benchmarks/extra/loops/torch_tutorial.py,benchmarks/extra/loops/torch_builtins.py
	@for pair in numpy_tutorial,numpy_manual torch_tutorial,torch_autograd torch_builtins,torch_nn; do \
	$(BIN)/python -m results compare $${pair%,*} $${pair#*,} --run results/loops.json; done

overhead: .venv/ready ## reported times against bare loops in fresh processes, as ratios in one run
	$(BIN)/python -m pytest benchmarks/extra/bench_overhead.py --threads 1 --benchmark-quiet --benchmark-json=results/overhead.json

scaling: .venv/ready ## how ranks scale over the cores here, and what a model says of more of them: 15 minutes on 2 cores
	$(BIN)/python -m pytest benchmarks/extra/bench_scaling.py --no-limits --aa none --benchmark-quiet --benchmark-json=results/scaling.json \
	--blocks 4 --preset quick --impl torch_ddp,jax_sharded --problem 1000000x100,500000x100,100000x100,10000x100,1000x10,1000x2000 $(ARGS)
	$(BIN)/python -m results scaling results/scaling.json

faults: .venv/ready ## every fault at every point where it can strike, and what is left: results/endurance/faults.md, 6 to 15 minutes
	$(BIN)/python tests/endurance/faults.py --out results/endurance/faults.md $(ARGS)

kills: .venv/ready ## 200 SIGKILLs of campaigns at random moments, resumed each time: results/endurance/kills.md, 8 to 20 minutes
	$(BIN)/python tests/endurance/kills.py --kills 200 --out results/endurance/kills.md $(ARGS)

soak: .venv/ready ## 1,000 cases in one process, its memory and descriptors: results/endurance/soak.md, 5 minutes
	$(BIN)/python tests/endurance/soak.py --cases 1000 --out results/endurance/soak.md $(ARGS)

fuzz: .venv/ready ## 100,000 mutated result files through load, compare and report: results/fuzz.md, 20 minutes
	$(BIN)/python tests/endurance/fuzz.py --files 100000 --out results/fuzz.md $(ARGS)

five-minutes: .venv/ready ## do five minutes say what a campaign says? ten runs like `make bench`, five beside a busy loop: 50 minutes
	@rm -rf build/five-minutes; mkdir -p build/five-minutes; loop=; trap 'kill $$loop 2>/dev/null' EXIT; \
	for i in 1 2 3 4 5 6 7 8 9 10; do echo "run $$i of 10"; \
	cp -r $(firstword $(wildcard results/runs/$(firstword $(subst /, ,$(CAMPAIGN)))*)) build/five-minutes/$$i || exit 1; \
	if [ $$i = 6 ]; then $(BIN)/python -c 'while True: pass' & loop=$$!; fi; \
	$(BIN)/python -m pytest benchmarks --benchmark-quiet --benchmark-storage=build/five-minutes/$$i --benchmark-save=five-minutes-check \
	--until-decided --minutes 4.8 --impl $(CHOSEN) > build/five-minutes/$$i.txt || [ $$? -eq 1 ] || { cat build/five-minutes/$$i.txt; exit 1; }; done; \
	$(BIN)/python -m results.upkeep.five_minutes results/five-minutes.json $(CAMPAIGN) \
	--idle build/five-minutes/[1-5]/*/*_five-minutes-check.json --beside build/five-minutes/[6-9]/*/*_five-minutes-check.json build/five-minutes/10/*/*_five-minutes-check.json
five-minutes: CAMPAIGN = intel-xeon-2c-e60e65/campaign

rates: .venv/ready ## simulate how often the verdicts err, and what they decide: results/rates.json, some minutes
	$(BIN)/python -m results.upkeep.rates intel-xeon-2c-e60e65/campaign results/rates.json

many-files: .venv/ready ## what loading and reporting 10, 100 and 1,000 files of 100 rows take
	$(BIN)/python -m results.upkeep.many_files results/many-files.json

quiet-check: .venv/ready ## what a run records of its machine beside 0 to 3 busy loops: results/quiet.json, 3 minutes when idle
	$(BIN)/python -m results.upkeep.quiet_check results/quiet.json

report: .venv/ready ## the page, its Markdown and its charts about the committed runs: docs/report
	$(BIN)/python -m results report $(addprefix intel-xeon-2c-e60e65/,campaign map) --out docs/report

site: .venv/ready ## a static site of all saved runs: the machines, a page for each, their comparison: build/site
	$(BIN)/python -m results site

browser: ## what the tests of the page need beside Python: Chromium (Debian's) and axe-core (npm's)
	command -v chromium >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; }
	npm install --silent --no-audit --no-fund --prefix build axe-core@4.14.1

sshd: ## what the tests of ranks on other hosts need: openssh-server and iproute2 (Debian's)
	command -v /usr/sbin/sshd >/dev/null && command -v ip >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openssh-server openssh-client iproute2 >/dev/null; }

clang: ## what tinygrad compiles with: clang (Debian's)
	command -v clang >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends clang >/dev/null; }

gallery: .venv/ready ## plots of the tutorials' descents by every implementation: results/gallery/, 2 to 4 minutes
	$(BIN)/python -m benchmarks gallery --out results/gallery

docs: .venv/ready ## make the generated parts of README.md and docs/ anew
	$(BIN)/python -m results readme README.md docs/questions.md docs/results.md docs/roofline.md docs/simulations.md docs/statistics.md
	$(BIN)/python -m results.reference_pages docs

notebook: .venv/ready ## execute results/tour.ipynb again
	$(BIN)/python tests/project/notebooks.py results/tour.ipynb

constraints: ## pin what is installed now
	{ sed -n 1p constraints.txt; $(BIN)/pip freeze --exclude-editable | sed 's/+cpu//'; } > constraints.new && mv constraints.new constraints.txt

clean: ## remove what was installed and cached
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info build
