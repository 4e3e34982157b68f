VENV ?= .venv

.PHONY: demo test setup evaluate train

demo: setup
	@$(VENV)/bin/python -m perceptiondlm_ros.demo.run

test: setup
	@$(VENV)/bin/pytest

setup:
	@sh tools/setup.sh $(VENV)

evaluate: setup
	@$(VENV)/bin/python -m perceptiondlm_ros.training.evaluate

train: setup
	@$(VENV)/bin/python -m perceptiondlm_ros.training.train
