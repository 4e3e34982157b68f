"""The torch backend: groups, caches, precision, and failures of the device."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from tiny_checkpoint import (
    picture,
    random_model,
    rectangles,
    save_checkpoint,
    tiny_config,
    tiny_tokenizer,
)

from perceptiondlm_ros.errors import BackendError, OutOfMemoryError
from perceptiondlm_ros.model.contract import BoolArray, IntArray, ModelInputs
from perceptiondlm_ros.model.perceptiondlm import PerceptionDLM
from perceptiondlm_ros.processing.model_inputs import group_regions, prepare_inputs
from perceptiondlm_ros.processing.regions import Region
from perceptiondlm_ros.runtime.backend import CacheMode, DenoisingState
from perceptiondlm_ros.runtime.denoising import denoise
from perceptiondlm_ros.runtime.torch_backend import TorchBackend, resolve_device

HEIGHT, WIDTH, TOKENS, STEPS = 60, 80, 6, 6
MASKS = [Region.of_mask(mask) for mask in rectangles(HEIGHT, WIDTH, 7)]
PUBLISHED = tiny_config()
OWN = tiny_config(prefix_sees_captions=False, corrected_roi_replay=True)
CACHES: list[CacheMode] = ["exact", "prefix"]


@cache
def backend(own: bool = False) -> TorchBackend:
    return TorchBackend(random_model(OWN if own else PUBLISHED))


def inputs(groups: list[list[BoolArray]], own: bool = False) -> ModelInputs:
    return prepare_inputs(
        picture(HEIGHT, WIDTH),
        groups,
        config=OWN if own else PUBLISHED,
        tokenizer=tiny_tokenizer(),
        prompt="what?",
        caption_tokens=TOKENS,
    )


def run(loaded: TorchBackend, of: ModelInputs, mode: CacheMode, steps: int = STEPS) -> IntArray:
    """The captions' tokens, int64 [B, N, M]."""
    return denoise(loaded.start(of, mode, steps)).token_ids


def states(
    loaded: TorchBackend, of: ModelInputs, mode: CacheMode, steps: int = STEPS
) -> list[DenoisingState]:
    """The state after each step."""
    session = loaded.start(of, mode, steps)
    seen: list[DenoisingState] = []
    denoise(session, dict.fromkeys(range(1, session.steps + 1), seen.append))
    return seen


def all_masks(of: ModelInputs) -> np.ndarray:
    shape = (len(of.regions), of.layout.slots, of.layout.caption_tokens)
    return np.full(shape, tiny_tokenizer().mask_id)


class TestGroups:
    @pytest.mark.parametrize("own", [False, True], ids=["published", "own"])
    @pytest.mark.parametrize("cache", CACHES)
    def test_a_padded_group_gives_what_it_gives_alone(self, own: bool, cache: CacheMode) -> None:
        groups = [[MASKS[index] for index in group] for group in group_regions(MASKS, 6)]
        assert [len(group) for group in groups] == [4, 3]
        together = inputs(groups, own)
        session = backend(own).start(together, cache, STEPS)
        logits = session.logits(all_masks(together)).unflatten(1, (4, TOKENS))
        captions = run(backend(own), together, cache)
        for index, group in enumerate(groups):
            alone = inputs([group], own)
            regions = len(group)
            expected = backend(own).start(alone, cache, STEPS).logits(all_masks(alone))
            expected = expected.unflatten(1, (regions, TOKENS))
            assert (logits[index, :regions] - expected[0]).abs().max() < 1e-4
            ids = run(backend(own), alone, cache)
            np.testing.assert_array_equal(captions[index, :regions], ids[0])

    def test_the_captions_of_the_groups_differ(self) -> None:
        """Else the test above could not fail."""
        groups = [MASKS[0:6:2], MASKS[1:6:2]]
        ids = run(backend(), inputs(groups), "exact")
        assert len({tuple(caption) for caption in ids.reshape(-1, TOKENS).tolist()}) > 1


class TestCaches:
    def test_prefix_gives_the_same_tokens_where_the_prefix_does_not_see_captions(self) -> None:
        of = inputs([MASKS[:5]], own=True)
        exact, prefix = (states(backend(own=True), of, mode) for mode in CACHES)
        for a, b in zip(exact, prefix, strict=True):
            np.testing.assert_array_equal(a.token_ids, b.token_ids)
            np.testing.assert_array_equal(a.best_ids, b.best_ids)
            np.testing.assert_allclose(a.best_confidence, b.best_confidence, atol=1e-4)

    def test_prefix_is_an_approximation_where_the_prefix_sees_captions(self) -> None:
        of = inputs([MASKS[:5]])
        first = all_masks(of)
        changed = first.copy()
        changed[0, 0, :3] = 7
        sessions = [backend().start(of, mode, STEPS) for mode in CACHES]
        firsts = [session.logits(first) for session in sessions]
        torch.testing.assert_close(firsts[0], firsts[1])
        exact, kept = (session.logits(changed) for session in sessions)
        assert (exact - kept).abs().max() > 1e-3

    def test_with_the_prefix_cache_later_steps_compute_the_captions_alone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        of = inputs([MASKS[:2]], own=True)
        model = random_model(OWN)
        rows: list[int] = []
        forward = model.language.forward

        def counted(embeddings: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            rows.append(embeddings.shape[1])
            return forward(embeddings, *args, **kwargs)

        monkeypatch.setattr(model.language, "forward", counted)
        run(TorchBackend(model), of, "prefix", steps=3)
        captions = of.layout.length - of.layout.captions_start
        assert rows == [of.layout.length, captions, captions]


class TestPredictions:
    def test_the_most_probable_token_and_its_probability(self) -> None:
        of = inputs([MASKS[:3]])
        session = backend().start(of, "exact", STEPS)
        probabilities = session.logits(all_masks(of)).double().softmax(dim=-1)
        session.step()
        state = session.state()
        best, ids = (part.reshape(1, 3, TOKENS).numpy() for part in probabilities.max(dim=-1))
        np.testing.assert_array_equal(state.best_ids, ids)
        np.testing.assert_allclose(state.best_confidence, best, atol=1e-6)
        assert state.best_ids.dtype == np.int64
        assert state.best_confidence.dtype == np.float32

    def test_probabilities_stay_within_0_and_1(self) -> None:
        model = random_model(PUBLISHED)
        model.language.lm_head.weight.data *= 1000
        of = inputs([MASKS[:3]])
        confidence = states(TorchBackend(model), of, "exact")[0].best_confidence
        assert confidence.max() > 0.999, "the case is about numbers at the limit"
        assert ((confidence >= 0) & (confidence <= 1)).all()

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_it_runs_in_half_precision(self, tmp_path: Path, dtype: torch.dtype) -> None:
        config = save_checkpoint(tmp_path)
        of = inputs([MASKS[:3], MASKS[3:5]])
        loaded = TorchBackend.load(tmp_path, config, "cpu", dtype)
        assert str(dtype).removeprefix("torch.") in loaded.description
        for mode in CACHES:
            confidence = states(loaded, of, mode)[-1].confidence
            assert np.isfinite(confidence).all()


class TestDevices:
    def test_cpu(self) -> None:
        assert resolve_device("cpu") == torch.device("cpu")

    def test_auto_is_a_device_that_is_there(self) -> None:
        expected = "cuda" if torch.cuda.is_available() else "cpu"
        assert resolve_device("auto").type == expected

    @pytest.mark.parametrize(
        "device", ["cuda:99", "gpu", "", "meta", "mps", "cuda:-1", "CPU", None]
    )
    def test_others_are_refused_by_name(self, device: Any) -> None:
        with pytest.raises(BackendError, match=r"device is "):
            resolve_device(device)

    def test_a_missing_cuda_says_what_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
        with pytest.raises(BackendError, match=r"torch sees 0 CUDA devices; use 'cpu' or 'auto'"):
            resolve_device("cuda")


@contextmanager
def failing(model: PerceptionDLM, part: str, error: BaseException) -> Iterator[None]:
    """Make a part of the model raise."""

    def fail(*_: Any) -> None:
        raise error

    handle = model.get_submodule(part).register_forward_pre_hook(fail)
    try:
        yield
    finally:
        handle.remove()


class TestFailures:
    @pytest.mark.parametrize(
        ("error", "kind", "message"),
        [
            (torch.OutOfMemoryError("tried 20 GiB"), OutOfMemoryError, "ran out of memory; use"),
            (MemoryError(), OutOfMemoryError, "cpu ran out of memory; use fewer regions"),
            (
                RuntimeError("can't allocate memory"),
                OutOfMemoryError,
                "running: can't alloc",
            ),
            (RuntimeError("device-side assert"), BackendError, "failed while running: device-side"),
        ],
    )
    def test_of_the_device_become_errors_of_ours(
        self, error: Exception, kind: type[BackendError], message: str
    ) -> None:
        model = random_model(PUBLISHED)
        loaded, of = TorchBackend(model), inputs([MASKS[:2]])
        with failing(model, "projector", error), pytest.raises(BackendError, match=message) as told:
            loaded.start(of, "exact", STEPS)
        assert told.type is kind
        session = loaded.start(of, "exact", STEPS)
        with failing(model, "language.norm", error), pytest.raises(BackendError, match=message):
            session.step()

    def test_a_failure_leaves_the_backend_usable(self) -> None:
        model = random_model(PUBLISHED)
        loaded, of = TorchBackend(model), inputs([MASKS[:2]])
        with failing(model, "projector", RuntimeError("once")), pytest.raises(BackendError):
            loaded.start(of, "exact", STEPS)
        assert run(loaded, of, "exact").shape == (1, 2, TOKENS)

    @pytest.mark.parametrize(
        "error",
        [MemoryError(), torch.OutOfMemoryError("full"), RuntimeError("can't allocate memory")],
    )
    def test_of_loading_say_that_memory_is_short(
        self, tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = save_checkpoint(tmp_path)

        def fail(*_: Any, **__: Any) -> None:
            raise error

        monkeypatch.setattr("perceptiondlm_ros.model.checkpoint.torch.empty", fail)
        with pytest.raises(OutOfMemoryError, match=r"cpu can't hold .* in float32.*free memory"):
            TorchBackend.load(tmp_path, config, "cpu")

    def test_mistakes_of_our_own_are_not_hidden(self) -> None:
        model = random_model(PUBLISHED)
        of = inputs([MASKS[:2]])
        with failing(model, "projector", KeyError("bug")), pytest.raises(KeyError):
            TorchBackend(model).start(of, "exact", STEPS)


def test_torch_computes_with_them_and_the_rest_of_the_process_as_before() -> None:
    model = random_model(PUBLISHED)
    seen: list[int] = []
    for part in (model.projector, model.language):
        part.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    session = TorchBackend(model, threads=before + 2).start(inputs([MASKS[:2]]), "exact", 2)
    session.step()
    assert set(seen) == {before + 2}
    others: list[int] = []
    thread = Thread(target=lambda: others.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert [torch.get_num_threads(), *others] == [before, before]


class TestClose:
    def test_the_model_is_gone_before_the_devices_cache_is_emptied(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loaded = TorchBackend(random_model(PUBLISHED))
        assert loaded._model is not None
        loaded._model.itself = [loaded._model]  # type: ignore[assignment]  # only gc frees a cycle
        model = weakref.ref(loaded._model)
        emptied: list[object] = []
        monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(model()))
        loaded._device = torch.device("cuda")
        loaded.close()
        assert emptied == [None]

    def test_without_cuda_its_cache_is_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "empty_cache", lambda: pytest.fail("there is none"))
        loaded = TorchBackend(random_model(PUBLISHED))
        model = weakref.ref(loaded._model)
        loaded.close()
        loaded.close()
        assert model() is None
        with pytest.raises(BackendError, match=r"the backend was closed.*load another one"):
            loaded.start(inputs([MASKS[:2]]), "exact", STEPS)

    def test_a_session_that_runs_is_not_broken(self) -> None:
        loaded, of = TorchBackend(random_model(PUBLISHED)), inputs([MASKS[:2]])
        expected = run(loaded, of, "exact")
        session = loaded.start(of, "exact", STEPS)
        session.step()
        loaded.close()
        for _ in range(STEPS - 1):
            session.step()
        np.testing.assert_array_equal(session.state().token_ids, expected)

    def test_a_state_before_the_first_step_is_refused(self) -> None:
        session = backend().start(inputs([MASKS[:2]]), "exact", STEPS)
        with pytest.raises(BackendError, match="no denoising step was run yet"):
            session.state()


def test_sessions_do_not_share_anything_that_changes() -> None:
    first, second = inputs([MASKS[:2]], own=True), inputs([MASKS[2:5]], own=True)
    expected = [run(backend(own=True), of, "prefix") for of in (first, second)]
    sessions = [backend(own=True).start(of, "prefix", STEPS) for of in (first, second)]
    for _ in range(STEPS):
        for session in sessions[::-1]:
            session.step()
    for session, ids in zip(sessions, expected, strict=True):
        np.testing.assert_array_equal(session.state().token_ids, ids)
