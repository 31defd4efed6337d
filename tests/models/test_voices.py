"""Voice packs in each of their formats, and the stand-ins for all 54."""

from __future__ import annotations

import io
import os
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from torch_archive import save_tensor

from kokoro_lab.errors import VoiceError
from kokoro_lab.models.voices import STYLE_ROWS, VOICE_NAMES, load_voice, voice_names

REAL = Path(__file__).parents[3] / "shared" / "voices"


@pytest.fixture
def styles() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((510, 1, 256), dtype=np.float32)


@pytest.fixture
def voices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path))
    folder = tmp_path / "voices"
    folder.mkdir()
    return folder


def test_there_are_54_names_and_each_has_a_stand_in(voices: Path) -> None:
    assert len(VOICE_NAMES) == len(set(VOICE_NAMES)) == 54
    packs = [load_voice(name) for name in VOICE_NAMES]
    assert {pack.weights for pack in packs} == {"stand-in"}
    assert len({pack.sha256 for pack in packs}) == 54


def test_a_stand_in_has_the_norms_of_real_packs(voices: Path) -> None:
    for name in VOICE_NAMES:
        halves = load_voice(name).styles.reshape(510, 2, 128)
        assert 1.3 < np.linalg.norm(halves, axis=2).mean() < 2.3


@pytest.mark.parametrize(("tokens", "row"), [(1, 0), (2, 1), (510, 509), (0, 0), (900, 509)])
def test_the_row_for_n_tokens_is_n_minus_1(voices: Path, tokens: int, row: int) -> None:
    voice = load_voice("am_adam")
    assert voice.style(tokens).shape == (1, 256)
    np.testing.assert_array_equal(voice.style(tokens)[0], voice.styles[row])


def test_raw_torch_and_archive_packs_read_the_same(voices: Path, styles: np.ndarray, tmp_path: Path) -> None:
    styles.astype("<f4").tofile(voices / "xx_raw.bin")
    save_tensor(voices / "xx_torch.pt", styles)
    np.savez(tmp_path / "pack.npz", af_heart=styles, xx_packed=styles)
    (tmp_path / "pack.npz").rename(voices / "voices-v1.0.bin")
    for name in ("xx_raw", "xx_torch", "xx_packed", f"{voices}/voices-v1.0.bin#af_heart", f"{voices}/xx_raw.bin"):
        voice = load_voice(name)
        np.testing.assert_array_equal(voice.styles, styles[:, 0])
        assert voice.weights == "imported"
    assert {"xx_raw", "xx_torch"} <= set(voice_names())
    assert load_voice("af_heart").path is not None


def test_an_unknown_voice_is_refused_with_names_to_try(voices: Path) -> None:
    with pytest.raises(VoiceError, match="af_heart"):
        load_voice("af_nobody")


@pytest.mark.parametrize("damage", ["empty", "short", "noise", "nan", "missing"])
def test_a_damaged_pack_is_refused(voices: Path, styles: np.ndarray, damage: str) -> None:
    path = voices / "xx_bad.bin"
    if damage == "nan":
        styles[3] = np.nan
    data = styles.tobytes()
    contents = {"empty": b"", "short": data[:1000], "noise": b"PK\x03\x04" + data[:500], "nan": data}
    if damage in contents:
        path.write_bytes(contents[damage])
    with pytest.raises(VoiceError, match="xx_bad"):
        load_voice(str(path))


@pytest.mark.skipif(not REAL.is_dir(), reason="the real voice packs are not here")
def test_the_real_packs_are_recognised_by_their_sum() -> None:
    heart = load_voice(str(REAL / "af_heart.bin"))
    assert heart.weights == "published"
    assert heart.styles.shape == (STYLE_ROWS, 256)
    assert load_voice(str(REAL / "bf_emma.bin")).weights == "imported"


def test_a_pack_that_unpacks_to_more_than_a_voice_is_not_read(voices: Path) -> None:
    np.savez_compressed(voices / "bomb.npz", af_bomb=np.zeros((2000, 1000), np.float32))
    assert (voices / "bomb.npz").stat().st_size < 20_000
    with pytest.raises(VoiceError, match="larger than any voice pack"):
        load_voice(f"{voices / 'bomb.npz'}#af_bomb")


@pytest.mark.parametrize(
    "name", ["/dev/zero", "pipe.npz", "folder.bin", "sparse.bin", "sparse.pt", "loop.npz", "\0.bin"]
)
def test_what_is_no_file_of_a_voices_size_is_refused_at_once(voices: Path, name: str) -> None:
    path = voices / name
    if name.startswith("pipe"):
        os.mkfifo(path)
    elif name.startswith("folder"):
        path.mkdir()
    elif name.startswith("loop"):
        path.symlink_to(path)
    elif name.startswith("sparse"):
        with path.open("wb") as stream:
            stream.truncate(1 << 42)
    began = time.process_time()
    for spelling in (str(path), f"{path}#af_heart"):
        with pytest.raises(VoiceError, match="; "):
            load_voice(spelling)
    assert time.process_time() - began < 0.5


def test_a_header_that_claims_terabytes_is_refused_before_anything_is_allocated(voices: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, np.zeros(4, "f8"))
    claim = stream.getvalue().replace(b"(4,), }   ", b"(5000000000000,), }")[:160]
    (voices / "claim.npy").write_bytes(claim)
    with zipfile.ZipFile(voices / "claim.npz", "w") as archive:
        archive.writestr("af_heart.npy", claim)
    for name in ("claim.npy", "claim.npz"):
        with pytest.raises(VoiceError, match=r"shorter or longer than its header|not an array|not a NumPy array"):
            load_voice(str(voices / name))


def test_names_in_an_archive_do_not_reach_the_terminal(voices: Path, styles: np.ndarray) -> None:
    np.savez(voices / "odd.npz", **{"\x1b[2Jx": styles, "good": styles, "other": styles})
    with pytest.raises(VoiceError, match=r"name a voice, as in odd\.npz#good") as caught:
        load_voice(str(voices / "odd.npz"))
    assert "\x1b" not in caught.value.message


def test_a_changed_file_has_another_sum(voices: Path, styles: np.ndarray) -> None:
    path = voices / "mine.bin"
    sums = set()
    for change in range(3):
        (styles + change).tofile(path)
        os.utime(path, (change, change))
        sums.add(load_voice(str(path)).sha256)
    assert len(sums) == 3


def test_a_pack_may_be_an_npy_of_any_float_and_order(voices: Path, styles: np.ndarray) -> None:
    for kind in ("<f4", ">f4", "<f8", "<f2"):
        np.save(voices / "mine.npy", np.asfortranarray(styles.astype(kind)))
        np.testing.assert_allclose(load_voice(str(voices / "mine.npy")).styles, styles[:, 0], atol=2e-3)
