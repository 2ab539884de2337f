# Each target builds what it needs; on a fresh machine nothing has to be typed before.
PYTHON ?= python3
BIN := .venv/bin
CORPORA := $(or $(DROPCOPY_CORPORA),$(wildcard ../shared/corpora))

.PHONY: run demo test lint bench bench-auth bench-forwards bench-filing bench-imap bench-pages bench-webhook regex-gate fuzz chaos messages screenshots clean

run: .venv/run
	@$(BIN)/python app.py run

demo: .venv/run
	@$(BIN)/python -m tools.demo

test: .venv/test
	@DROPCOPY_CORPORA="$(CORPORA)" $(BIN)/python -m pytest -n $${WORKERS:-auto} --dist loadfile --no-loadscope-reorder $(ARGS)

lint: .venv/test
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: .venv/test
	@$(BIN)/python -m bench

bench-auth: .venv/test
	@$(BIN)/python -m bench.auth

bench-filing: .venv/test
	@$(BIN)/python -m bench.filing

bench-forwards: .venv/test
	@DROPCOPY_CORPORA="$(CORPORA)" $(BIN)/python -m bench.forwards

bench-imap: .venv/test
	@$(BIN)/python -m bench.imap

bench-webhook: .venv/test
	@$(BIN)/python -m bench.webhook

# 1,000 and 100,000 threads; ARGS='--threads 1000 1000000 --keep FOLDER' for more.
bench-pages: .venv/test
	@$(BIN)/python -m bench.pages $(ARGS)

# Every pattern that sees mail, timed on strings made to hurt it; wants a quiet machine.
regex-gate: .venv/test
	@$(BIN)/python -m pytest bench/test_regex_gate.py

# What reads mail, with bytes that a machine thinks of: a minute for each target, FUZZ_SECONDS=600 for more.
fuzz: .venv/test
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-fuzz.txt
	@for target in identity headers mail stream; do $(BIN)/python -m tests.fuzz $$target $${FUZZ_SECONDS:-60} || exit 1; done

chaos: .venv/test
	@$(BIN)/python -m tests.chaos

# Collects the texts, brings each language up to date and compiles it; fails while one lacks a translation.
messages: .venv/test
	@$(BIN)/python -m tools.messages

screenshots: .venv/test
	@$(BIN)/python -m tools.screenshots

# A half-built folder is made anew; the sentence says what to install when venv is missing.
.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "Dropcopy needs Python 3.11 or newer as $(PYTHON): install it, or say make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv package is missing: run  apt install python3-venv  and try again."; exit 1; }
	@echo "Making the environment .venv (once; it takes a minute or two)"
	@rm -rf .venv && $(PYTHON) -m venv .venv
	@touch $@

.venv/run: .venv/made requirements.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --use-pep517 -r requirements.txt
	@touch $@

.venv/test: .venv/run requirements-test.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-test.txt
	@touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis fuzz-corpus screenshots
