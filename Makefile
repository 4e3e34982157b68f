VENV ?= .venv

# The wheels' Python finds by itself what is built into the environment; a sourced ROS has to be told.
ifdef ROS_DISTRO
WITH_VENV := AMENT_PREFIX_PATH="$(abspath $(VENV))$(AMENT_PREFIX_PATH:%=:%)" \
  LD_LIBRARY_PATH="$(abspath $(VENV))/lib$(LD_LIBRARY_PATH:%=:%)"
endif

.PHONY: demo test setup evaluate train packaged-graphs bench load

demo: setup
	@$(WITH_VENV) $(VENV)/bin/python -m perceptiondlm_ros.development.demo.run_demo

test: setup
	@$(WITH_VENV) $(VENV)/bin/pytest -n 2 --dist worksteal

setup:
	@sh tools/setup.sh $(VENV)

evaluate: setup
	@$(WITH_VENV) $(VENV)/bin/python -m perceptiondlm_ros.development.training.evaluate

train: setup
	@$(WITH_VENV) $(VENV)/bin/python -m perceptiondlm_ros.development.training.train

# After training, or when the exporter or the model's code makes other graphs.
packaged-graphs: setup
	@$(WITH_VENV) $(VENV)/bin/python -m perceptiondlm_ros.export.packaged_graphs perceptiondlm_ros/checkpoints/small

# Options in LOAD, as in `make load LOAD=--seconds=600`.
load: setup
	@$(WITH_VENV) $(VENV)/bin/python -m perceptiondlm_ros.development.demo.load.run_load $(LOAD)

# Options in BENCH, as in `make bench BENCH=--quick`.
bench: setup
	@$(WITH_VENV) $(VENV)/bin/python -m perceptiondlm_ros.development.benchmark.run_benchmark $(BENCH)
