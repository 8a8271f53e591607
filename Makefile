# Verbs of the project; `make` alone lists them. ARGS goes through: make demo ARGS=--once
.DEFAULT_GOAL := help
PY := .venv/bin/python
ARGS ?=
TOOLS := .venv-tools/bin
# pip-tools: the lock; cyclonedx-bom: the bill; hatchling: the wheel; argparse-manpage: the package's manual, from the parsers
TOOLS_PINNED := pip-tools==7.6.2 cyclonedx-bom==7.5.0 hatchling==1.33.0 argparse-manpage==4.8

.PHONY: help demo town story test check faults prove power crashpoints seven-days hospital bench bench-cstore bench-deid bench-draft bench-review load central-simulate simulate docs evaluate deid-report system-packages lock sbom wheel boot deb bench-large bench-ingest

help:  ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

PIP := .venv/bin/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt

.venv/made: pyproject.toml constraints.txt
	python3 -m venv .venv
	$(PIP) -e '.[demo]'
	touch $@

.venv/made-test: pyproject.toml constraints.txt  # all of the above and more
	python3 -m venv .venv
	$(PIP) -e '.[test]'
	touch .venv/made $@

system-packages:
	@sh tests/system_packages.sh

demo: .venv/made  ## the whole road on this machine; ARGS=--once ends by itself
	@$(PY) -m sample_dicom.demo $(ARGS)

test: system-packages .venv/made-test  ## everything CI runs
	$(PY) -m ruff format --check -q .
	$(PY) -m ruff check -q .
	$(PY) -m pytest -n 2 --dist worksteal $(ARGS)

check: .venv/made-test  ## ruff and mypy strict
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy

town: system-packages .venv/made-test  ## two appliances and three workers side by side; ARGS='--appliances 2 --workers 3 --postgres'
	@$(PY) -m tests.faults.town $(ARGS)

deb: .venv/made .venv-tools/made  ## the Debian package, into dist/; ARGS='--version 0.1.1'
	@$(PY) systemd/package/make_deb.py $(ARGS)

boot: .venv/made-test .venv-tools/made  ## the package on a Debian 12 that boots, root only, ten minutes; ARGS='--films 10'
	@$(PY) -m tests.faults.boot $(ARGS)

faults: system-packages .venv/made-test .venv-tools/made  ## the campaign, hours; ARGS=--short under 5 minutes; ARGS='--episodes 500 --seed 7'
	@$(PY) -m tests.faults.campaign $(ARGS)
	@case "$(ARGS)" in *--short*) ;; *) $(PY) -m tests.faults.boot ;; esac

prove: system-packages .venv/made  ## this machine, whole trial; ARGS=--quick; writes prove.html and prove.json
	@$(PY) -m appliance prove $(ARGS)

power: system-packages .venv/made-test  ## power cuts on ext4 and xfs, root only; ARGS='--cuts 100'
	@$(PY) -m tests.faults.power $(ARGS)

crashpoints: system-packages .venv/made-test  ## SIGKILL at every durable call; ARGS='--victims receive,triage --every 1'
	@$(PY) -m tests.faults.crashpoints $(ARGS)

simulate: .venv/made-test  ## any number of seeds of the simulated house; ARGS='--seeds 5000 --kills 200'
	@$(PY) -m tests.simulate.campaign $(ARGS)

seven-days: system-packages .venv/made-test  ## a week without a line, then its return; ARGS='--days 7 --a-day 500'
	@$(PY) -m tests.faults.seven_days $(ARGS)

story: system-packages .venv/made-test  ## a model's life: corrections, next version, shadow, certificate, ring, back; ARGS='--measure 300'
	@$(PY) -m tests.faults.story $(ARGS)

hospital: system-packages .venv/made-test  ## scanner over TLS, readers, Orthanc behind a bad line; ARGS='--studies 50 --kills 25'
	@$(PY) -m tests.faults.hospital $(ARGS)

load: system-packages .venv/made-test  ## cases a second by workers, percentiles, fairness, into bench/RESULTS.md
	@$(PY) -m bench.load $(ARGS)

central-simulate: system-packages .venv/made-test  ## splits and balance: simulated appliances, real workers; ARGS='--only thin --keep'
	@$(PY) -m bench.simulate $(ARGS)

bench: system-packages .venv/made-test  ## every promise of bench/budget.toml beside floors and peers, into bench/RESULTS.md; ARGS=--quick
	@$(PY) -m bench.table $(ARGS)

bench-ingest: .venv/made-test  ## ingest to lane beside the bare library calls, by the clock
	$(PY) -m bench.ingest $(ARGS)

bench-review: .venv/made-test  ## the viewer's first image, scroll and drag in Chromium; ARGS='--slices 300 --film 3000'
	$(PY) -m bench.review $(ARGS)

bench-cstore: system-packages .venv/made-test  ## C-STORE in, durable, beside storescp, pynetdicom and Orthanc
	$(PY) -m bench.cstore $(ARGS)

bench-large: system-packages .venv/made-test  ## a CT of 2,000 slices and an object of 1 GiB: memory; ARGS='--slices 2000'
	$(PY) -m bench.large $(ARGS)

bench-deid: .venv/made-test  ## de-identification beside its peers; ARGS='--files 200 --repeats 5'
	$(PY) -m bench.deid $(ARGS)

bench-draft: .venv/made-test  ## a small model on the appliance: memory, seconds, withheld; ARGS='--cases 20'
	$(PY) -m bench.draft $(ARGS)

llm: system-packages .venv/made-test  ## one real case to a real language model; fetches its weights once
	$(PY) -m pytest -m llm tests/central tests/triage $(ARGS)

docs: .venv/made  ## print the generated pages of docs/ anew
	$(PY) -m docs.make

evaluate: .venv/made-test  ## every figure of the model cards again
	$(PY) models/evaluate_cxr_paediatric.py $(ARGS)

deid-report: .venv/made-test  ## the de-identifier on unseen seeds, into docs/deid-report.md; ARGS='--seeds 3 --files 20'
	$(PY) -m tests.deid.report $(ARGS)

.venv-tools/made: Makefile
	python3 -m venv .venv-tools
	$(TOOLS)/pip install --quiet --disable-pip-version-check $(TOOLS_PINNED)
	touch $@

lock: .venv-tools/made  ## requirements.lock anew: every run-time dependency with its hashes, at the pins of constraints.txt
	$(TOOLS)/pip-compile --quiet --generate-hashes --allow-unsafe --no-header --no-annotate --strip-extras \
		--no-emit-options -c constraints.txt -o requirements.lock pyproject.toml

sbom: .venv/made .venv-tools/made  ## CycloneDX bill of materials, into dist/sbom.cdx.json
	$(PY) -m docs.make_sbom $(TOOLS)/cyclonedx-py

wheel: .venv-tools/made  ## the wheel, built twice; fails where the two differ in a byte
	rm -rf build/wheel-1 build/wheel-2
	$(TOOLS)/python -m hatchling build -t wheel -d build/wheel-1
	$(TOOLS)/python -m hatchling build -t wheel -d build/wheel-2
	cmp build/wheel-1/*.whl build/wheel-2/*.whl
	mkdir -p dist && cp build/wheel-1/*.whl dist/ && sha256sum dist/*.whl
