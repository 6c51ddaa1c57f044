# Needs the environment that the README's first command makes.
PYTHON = .venv/bin/python

.PHONY: test lint ci soak reference clean

test: .venv
	$(PYTHON) -m pytest -n 2

lint: .venv
	.venv/bin/ruff check .
	.venv/bin/mypy --strict

# Machine code and Python calling each other for ten minutes, under everything that may go wrong.
soak: .venv
	$(PYTHON) -m tests.soak

# docs/reference.md, from the docstrings; a test fails where it is not up to date.
reference: .venv
	$(PYTHON) docs/make_reference.py

ci:
	.ci/run

.venv:
	python3 -m venv --without-pip .venv
	python3 -m pip --python .venv/bin/python install --quiet -e '.[test]'

clean:
	rm -rf .venv .ci/venvs build dist .pytest_cache .mypy_cache .ruff_cache
