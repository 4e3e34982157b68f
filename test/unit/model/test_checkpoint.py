"""Reading and writing weights: strict about names and shapes, sparing with memory."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_checkpoint import CONFIG, random_model, save_checkpoint
from torch import Tensor

from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.model.checkpoint import load_model, save_model
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.perceptiondlm import PerceptionDLM
from perceptiondlm_ros.model.published import INDEX, WEIGHTS, published_shapes

CPU = torch.device("cpu")
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
QUERY = "language_model.model.layers.0.self_attn.q_proj.weight"
KEY = "language_model.model.layers.0.self_attn.k_proj.weight"
PATCHES = "vision_model.vision_model.embeddings.patch_embedding.weight"
HEAD = "language_model.lm_head.weight"


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    save_checkpoint(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path, dirs_exist_ok=True))


def load(folder: Path, dtype: torch.dtype = torch.float32) -> PerceptionDLM:
    return load_model(folder, ModelConfig.from_folder(folder), dtype=dtype, device=CPU)


def rewrite(folder: Path, changes: Mapping[str, Tensor | None]) -> None:
    """Replace tensors of the file, or take them out."""
    tensors = load_file(folder / WEIGHTS) | changes
    save_file({n: t for n, t in tensors.items() if t is not None}, folder / WEIGHTS)


def shard(folder: Path) -> dict[str, str]:
    """Split the weights in two files; returns the index's map."""
    tensors = load_file(folder / WEIGHTS)
    names = sorted(tensors)
    halves = {FIRST: names[: len(names) // 2], SECOND: names[len(names) // 2 :]}
    for file, part in halves.items():
        save_file({name: tensors[name] for name in part}, folder / file)
    (folder / WEIGHTS).unlink()
    weight_map = {name: file for file, part in halves.items() for name in part}
    write_index(folder, weight_map)
    return weight_map


def write_index(folder: Path, weight_map: object) -> None:
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))


def assert_equal_weights(actual: PerceptionDLM, expected: PerceptionDLM) -> None:
    expected_weights = dict(expected.named_parameters())
    assert dict(actual.named_parameters()).keys() == expected_weights.keys()
    for name, parameter in actual.named_parameters():
        assert torch.equal(parameter, expected_weights[name].to(parameter.dtype)), name


@pytest.mark.parametrize(
    "changes", [{}, {"vision_select_layer": -1}, {"vision_select_layer": -3}], ids=str
)
def test_what_was_saved_is_loaded(tmp_path: Path, changes: dict[str, int]) -> None:
    config = save_checkpoint(tmp_path, seed=3, **changes)
    model = load(tmp_path)
    assert_equal_weights(model, random_model(config, seed=3))
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_the_file_holds_the_published_names_and_shapes(folder: Path) -> None:
    shapes = {name: list(tensor.shape) for name, tensor in load_file(folder / WEIGHTS).items()}
    assert shapes[PATCHES] == [16, 3, 16, 16]
    assert shapes[QUERY] == [32, 32] and shapes[KEY] == [16, 32]
    assert shapes["mask_id_embedding.weight"] == [6, 16]
    assert shapes["vision_abstractor.projection.2.weight"] == [32, 32]
    assert shapes["vision_model.vision_model.encoder.layers.1.mlp.fc1.bias"] == [32]
    assert shapes["language_model.model.layers.1.mlp.gate_proj.weight"] == [48, 32]


@pytest.mark.parametrize("layer", [-1, -2, -3])
@pytest.mark.parametrize("bias", [False, True])
def test_shapes_without_torch_are_those_that_are_saved(
    tmp_path: Path, layer: int, bias: bool
) -> None:
    language = CONFIG["language_model_config"] | {"attention_bias": bias}
    config = save_checkpoint(tmp_path, language_model_config=language, vision_select_layer=layer)
    saved = {name: tuple(tensor.shape) for name, tensor in load_file(tmp_path / WEIGHTS).items()}
    assert published_shapes(config) == saved


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("wanted", [torch.float32, torch.float16, torch.bfloat16])
def test_any_precision_is_stored_and_loaded(
    tmp_path: Path, stored: torch.dtype, wanted: torch.dtype
) -> None:
    config = save_checkpoint(tmp_path)
    model = random_model(config)
    save_model(model, tmp_path / WEIGHTS, dtype=stored)
    loaded = load(tmp_path, wanted)
    assert {parameter.dtype for parameter in loaded.parameters()} == {wanted}
    assert_equal_weights(loaded, model.to(stored))


def test_tensors_that_the_computation_does_not_use_are_left_out(folder: Path) -> None:
    unused = {
        name: torch.zeros(2)
        for name in (
            "vision_model.text_model.embeddings.token_embedding.weight",
            "vision_model.logit_scale",
            "vision_model.logit_bias",
            "vision_model.vision_model.head.probe",
            "vision_model.vision_model.post_layernorm.weight",
            "vision_model.vision_model.encoder.layers.2.mlp.fc1.weight",
        )
    }
    before = load(folder)
    rewrite(folder, unused)
    assert_equal_weights(load(folder), before)


QUERY_LAYER = QUERY.removesuffix(".weight")
POSITIONS = "vision_model.vision_model.embeddings.position_embedding.weight"
Changes = dict[str, Tensor | None]
FP8 = torch.zeros(32, 32).to(torch.float8_e4m3fn)


def refused() -> Iterator[tuple[Changes, str]]:
    """Changes of the file's tensors, and what is said of them."""
    one, int32, uint8 = torch.ones(1, 1), torch.int32, torch.uint8
    of_4_bits: dict[str, Changes] = {
        f"{QUERY_LAYER}.qweight tells (GPTQ or AWQ": {
            QUERY: None,
            f"{QUERY_LAYER}.qweight": torch.zeros(4, 32, dtype=int32),
            f"{QUERY_LAYER}.qzeros": torch.zeros(1, 4, dtype=int32),
        },
        f"{QUERY}.absmax tells (bitsandbytes": {
            QUERY: torch.zeros(512, 1, dtype=uint8),
            f"{QUERY}.absmax": torch.zeros(16),
            f"{QUERY}.quant_state.bitsandbytes__nf4": torch.zeros(8, dtype=uint8),
        },
    }
    quantised: dict[str, Changes] = {
        f"{QUERY} tells (its elements are F8_E4M3": {QUERY: FP8},
        f"{QUERY}_scale_inv tells (scales": {QUERY: FP8, f"{QUERY}_scale_inv": one},
        f"{QUERY} tells (its elements are I8": {QUERY: torch.zeros(32, 32, dtype=torch.int8)},
        f"{QUERY_LAYER}.input_scale tells": {f"{QUERY_LAYER}.input_scale": one},
        **of_4_bits,
    }
    for says, changes in quantised.items():
        yield changes, f"quantised weights, as tensor {says}"
    for name in (QUERY, PATCHES, HEAD, "mask_id_embedding.weight"):
        yield {name: None}, f"lacks tensor {name} "
    for name in (
        "surprise",
        "language_model.model.layers.2.input_layernorm.weight",
        "vision_model.vision_model.encoder.layers.3.mlp.fc1.weight",
        "language_model.model.layers.0.self_attn.q_proj.bias",
    ):
        yield {name: torch.zeros(1)}, f"unexpected tensor {name} "
    for name, right, shape in (
        (HEAD, [320, 32], (319, 32)),
        (HEAD, [320, 32], (32, 320)),
        (QUERY, [32, 32], (16, 32)),
        (PATCHES, [16, 3, 16, 16], (16, 768)),
        (PATCHES, [16, 3, 16, 16], (16, 16, 16, 3)),
        ("language_model.model.norm.weight", [32], ()),
        ("mask_id_embedding.weight", [6, 16], (5, 16)),
        (POSITIONS, [16, 16], (1, 16, 16)),
    ):
        says = f"tensor {name} has shape {[*shape]}, expected {right}"
        yield {name: torch.zeros(shape)}, says
    # Wrong shapes that add up are still wrong.
    yield {QUERY: torch.zeros(16, 32), KEY: torch.zeros(32, 32)}, f"{QUERY} has shape [16, 32]"


@pytest.mark.parametrize(("changes", "says"), list(refused()), ids=lambda value: str(value)[:60])
def test_other_tensors_than_those_of_the_config_are_refused_by_name(
    folder: Path, changes: Changes, says: str
) -> None:
    rewrite(folder, changes)
    with pytest.raises(CheckpointError, match=re.escape(says)):
        load(folder)


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_truncated_file_is_named(folder: Path, kept: int) -> None:
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=f"{re.escape(str(path))} is damaged or cut off"):
        load(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    before = load(folder)
    shard(folder)
    assert_equal_weights(load(folder), before)
    (folder / SECOND).unlink()
    with pytest.raises(CheckpointError, match=f"{re.escape(SECOND)} is missing"):
        load(folder)
    (folder / INDEX).unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors is missing"):
        load(folder)


@pytest.mark.parametrize("outside", ["../weights.safetensors", "sub/weights.safetensors", "/w", 7])
def test_an_index_may_not_name_files_outside_its_folder(
    saved: Path, tmp_path: Path, outside: str | int
) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "inner"))
    weight_map = shard(folder)
    if isinstance(outside, str) and not outside.startswith("/"):
        (folder / outside).parent.mkdir(exist_ok=True)
        (folder / FIRST).rename(folder / outside)
    write_index(folder, {n: outside if file == FIRST else file for n, file in weight_map.items()})
    with pytest.raises(CheckpointError, match=r"names the shard .* expected a file of the same"):
        load(folder)


@pytest.mark.parametrize("weight_map", [None, [], {}, "model.safetensors"])
def test_an_index_without_a_map(folder: Path, weight_map: object) -> None:
    write_index(folder, weight_map)
    with pytest.raises(CheckpointError, match=r"index\.json holds no weight_map"):
        load(folder)


@pytest.mark.parametrize("file", [SECOND, None])
def test_an_index_that_disagrees_with_its_shards_names_the_tensor(
    folder: Path, file: str | None
) -> None:
    weight_map = shard(folder)
    name = next(name for name, where in weight_map.items() if where == FIRST)
    changed = {n: f for n, f in weight_map.items() if n != name}
    write_index(folder, changed if file is None else changed | {name: file})
    with pytest.raises(CheckpointError, match=f"disagree about tensor {re.escape(name)};"):
        load(folder)


MEASURE = """
    import re, sys, torch
    from pathlib import Path
    from perceptiondlm_ros.model.checkpoint import load_model
    from perceptiondlm_ros.model.config import ModelConfig

    for folder in map(Path, sys.argv[1:]):
        config, cpu = ModelConfig.from_folder(folder), torch.device("cpu")
        model = load_model(folder, config, dtype=torch.float32, device=cpu)
        print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
    print("torch._dynamo" in sys.modules)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_a_checkpoint_is_never_held_twice(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    for path in (small, large):
        path.mkdir()
    save_checkpoint(small)
    language = {"vocab_size": 8000, "hidden_size": 1024, "intermediate_size": 2816}
    language |= {"num_hidden_layers": 5, "num_attention_heads": 8}
    (large / "config.json").write_text(json.dumps({**CONFIG, "language_model_config": language}))
    with torch.device("meta"):
        model = PerceptionDLM(ModelConfig.from_folder(large))
    save_model(model.to_empty(device=CPU), large / WEIGHTS, dtype=torch.float32)
    del model
    size = (large / WEIGHTS).stat().st_size
    assert size > 300e6
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEASURE), small, large],
        capture_output=True,
        text=True,
        check=True,
    )
    (large / WEIGHTS).unlink()  # pytest keeps temporary folders of several runs
    *told, compiler = run.stdout.split()
    before, peak = (int(kilobytes) * 1024 for kilobytes in told)
    assert peak - before < 1.3 * size, f"{(peak - before) / size:.2f} times the file's size"
    assert compiler == "False", "building the model imported torch's compiler, which takes a second"
