"""Caches of the engine: a cached answer is the same samples, and what is kept on disk survives a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kokoro_lab.engine.audio_cache import Rendered, RenderedFolder, RenderedKey
from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.engine import Engine
from kokoro_lab.errors import SettingError
from kokoro_lab.runtime.session import Inference
from kokoro_lab.text.phonemize import Word
from kokoro_lab.text.segment import Segment

TEXT = "Hello world! This is the second sentence, a little longer than the first. And a third."


def rendered(samples: int = 1000) -> Rendered:
    segment = Segment(0, "Hi", "hˈI", (1, 2, 3), 0.1, (Word("Hi", "hˈI", "lexicon", 0),), {"phonemise": 0.5})
    audio = np.random.default_rng(samples).standard_normal(samples).astype(np.float32)
    return Rendered((segment,), (Inference(audio, np.array([1, 2, 3], np.int64), 0.25),))


def key(text: str) -> RenderedKey:
    return RenderedKey((text,), "voice", 1.0, "en-us", 0)


def test_a_cached_answer_is_the_same_samples_and_says_so() -> None:
    with Engine.load(EngineConfig(model="tiny", audio_cache_mb=10)) as engine:
        fresh, cached = engine.synthesize(TEXT), engine.synthesize(TEXT)
        assert (fresh.cached, cached.cached) == (False, True)
        assert np.array_equal(fresh.samples, cached.samples)
        assert (cached.tokens, cached.phonemes, cached.speech_s) == (fresh.tokens, fresh.phonemes, fresh.speech_s)
        assert cached.word_times == fresh.word_times
        assert cached.timings.infer_s == 0
        assert cached.timings.total_s < fresh.timings.total_s / 5
        for other in ({"speed": 1.1}, {"seed": 1}, {"voice": "af_bella"}, {"lang": "en-gb"}):
            assert not engine.synthesize(TEXT, **other).cached  # type: ignore[arg-type]
        counted = engine.status().audio_cache
        assert counted is not None
        assert (counted.hits, counted.misses, counted.entries) == (1, 5, 5)
        assert counted.size >= 5 * fresh.samples.nbytes * 0.5
        assert engine.clear_caches() >= 5
        assert not engine.synthesize(TEXT).cached


def test_a_cached_stream_is_the_same_chunks() -> None:
    with Engine.load(EngineConfig(model="tiny", audio_cache_mb=10, primer_chars=10)) as engine:
        fresh, cached = list(engine.stream(TEXT)), list(engine.stream(TEXT))
        assert [one.text for one in fresh if one.text] == [one.text for one in cached if one.text]
        assert all(np.array_equal(a.samples, b.samples) for a, b in zip(fresh, cached, strict=True))
        assert engine.status().calls.segments == len([one for one in fresh if one.text])
        with engine.stream("Nobody hears the end of this text. It goes on.") as unheard:
            next(unheard)
        status = engine.status()
        assert status.audio_cache is not None
        assert (status.audio_cache.hits, status.audio_cache.entries) == (1, 1)
        assert (status.calls.streamed, status.calls.cancelled, status.calls.running) == (2, 1, 0)


def test_without_caches_nothing_is_counted_and_everything_is_made_again() -> None:
    with Engine.load(EngineConfig(model="tiny")) as engine:
        engine.synthesize("Hello.")
        assert not engine.synthesize("Hello.").cached
        status = engine.status()
        assert (status.phoneme_cache, status.audio_cache, status.audio_folder, status.primer_cache) == (None,) * 4
        assert status.calls.segments == 2


def test_the_phoneme_cache_spares_the_phonemiser() -> None:
    with Engine.load(EngineConfig(model="tiny", phoneme_cache=100)) as engine:
        first, second = engine.synthesize(TEXT), engine.synthesize(TEXT)
        assert first.phonemes == second.phonemes
        assert np.array_equal(first.samples, second.samples)
        counted = engine.status().phoneme_cache
        assert counted is not None
        assert (counted.hits, counted.misses) == (3, 3)
        assert second.timings.phonemise_s < first.timings.phonemise_s


def test_the_primer_cache_answers_the_first_segment_only() -> None:
    with Engine.load(EngineConfig(model="tiny", primer_cache=4)) as engine:
        first = list(engine.stream(TEXT))
        made = engine.status().calls.segments
        stream = engine.stream(TEXT)
        second = list(stream)
        assert all(np.array_equal(a.samples, b.samples) for a, b in zip(first, second, strict=True))
        assert engine.status().calls.segments - made == made - 1
        other = list(engine.stream(TEXT, speed=1.5))
        assert len(other) < len(first)
        counted = engine.status().primer_cache
        assert counted is not None
        assert (counted.hits, counted.misses) == (1, 2)


def test_prewarming_fills_the_audio_cache() -> None:
    with Engine.load(EngineConfig(model="tiny", audio_cache_mb=10)) as engine:
        assert engine.prewarm(["Hello.", "Goodbye.", "Hello."]) == 2
        assert engine.synthesize("Goodbye.").cached
    with Engine.load(EngineConfig(model="tiny")) as engine:
        assert engine.prewarm(["Hello."]) == 0


def test_what_is_kept_on_disk_comes_back_exactly(tmp_path: Path) -> None:
    folder = RenderedFolder(tmp_path, 10**6, "context")
    kept = rendered()
    assert folder.put(key("a"), kept)
    back = RenderedFolder(tmp_path, 10**6, "context").get(key("a"))
    assert back is not None
    assert back.segments == kept.segments
    assert np.array_equal(back.inferences[0].audio, kept.inferences[0].audio)
    assert np.array_equal(back.inferences[0].durations, kept.inferences[0].durations)  # type: ignore[arg-type]
    assert folder.get(key("b")) is None
    assert RenderedFolder(tmp_path, 10**6, "another model").get(key("a")) is None


def test_a_damaged_file_is_removed_and_not_played(tmp_path: Path) -> None:
    folder = RenderedFolder(tmp_path, 10**6, "context")
    folder.put(key("a"), rendered())
    (path,) = tmp_path.glob("*.speech")
    data = bytearray(path.read_bytes())
    for damage in (bytes(data[:-100]), bytes([*data[:500], data[500] ^ 1, *data[501:]]), b""):
        path.write_bytes(damage)
        assert folder.get(key("a")) is None
        assert not path.exists()
    assert folder.status().damaged == 3


def test_the_folder_stays_within_its_limit(tmp_path: Path) -> None:
    size = RenderedFolder(tmp_path / "size", 10**6, "context")
    size.put(key("a"), rendered())
    limit = 3 * size.status().bytes + 100
    folder = RenderedFolder(tmp_path / "kept", limit, "context")
    for name in "abc":
        folder.put(key(name), rendered())
    assert folder.get(key("a")) is not None
    folder.put(key("d"), rendered())
    assert folder.get(key("b")) is None
    assert folder.get(key("a")) is not None
    assert folder.status().bytes <= limit
    assert folder.status().evictions == 1
    assert sum(path.stat().st_size for path in (tmp_path / "kept").iterdir()) == folder.status().bytes
    assert not folder.put(key("e"), rendered(10**6))


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match="choose another cache_dir"):
        RenderedFolder(tmp_path / "file" / "folder", 100, "context")


def test_a_process_killed_while_it_writes_leaves_only_whole_files(tmp_path: Path) -> None:
    code = (
        "import sys, itertools; from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from test_audio_cache import RenderedFolder, key, rendered\n"
        "folder = RenderedFolder(Path(sys.argv[1]), 10**12, 'context')\n"
        "for number in itertools.count():\n"
        "    folder.put(key(str(number)), rendered(100_000))\n"
        "    print(number, flush=True)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        written = int(next(line for line in child.stdout if int(line) >= 10))
        os.kill(child.pid, signal.SIGKILL)
    folder = RenderedFolder(tmp_path, 10**12, "context")
    expected = rendered(100_000).inferences[0].audio
    for number in range(written + 1):
        back = folder.get(key(str(number)))
        assert back is not None
        assert np.array_equal(back.inferences[0].audio, expected)
    assert folder.status().damaged == 0
    assert not list(tmp_path.glob(".*"))


def test_speech_outlives_the_engine(tmp_path: Path) -> None:
    config = EngineConfig(model="tiny", audio_cache_mb=10, cache_dir=tmp_path)
    with Engine.load(config) as engine:
        fresh = engine.synthesize(TEXT)
    with Engine.load(config) as engine:
        cached = engine.synthesize(TEXT)
        status = engine.status()
    assert cached.cached
    assert np.array_equal(fresh.samples, cached.samples)
    assert status.audio_folder is not None
    assert (status.audio_folder.hits, status.audio_folder.files) == (1, 1)
    with Engine.load(EngineConfig(model="tiny", audio_cache_mb=10, cache_dir=tmp_path, graph_level="basic")) as engine:
        assert not engine.synthesize(TEXT).cached
