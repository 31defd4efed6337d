"""Environments: made from a recipe, complete or not there, removed without a trace, and the worker runs inside."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kokoro_lab.commands.environments import app
from kokoro_lab.errors import BusyError, InputError, KokoroLabError
from kokoro_lab.measure.peers import environment_recipes, environments
from kokoro_lab.measure.peers.environment_recipes import read_recipe
from kokoro_lab.measure.peers.environments import MARKER, add, environment, inside, remove
from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.measure.sampling.launch import launch

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def shop(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of recipes, and the only place where pip may look for packages."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    monkeypatch.setattr(environment_recipes, "recipes_folder", lambda: folder)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return folder


def write(
    shop: Path, name: str, pins: tuple[str, ...] = (), imports: tuple[str, ...] = (), python: str = PYTHON
) -> None:
    values = {"about": "For a test.", "python": python, "pins": list(pins), "imports": list(imports)}
    (shop / f"{name}.yaml").write_text(json.dumps(values))


def wheel(folder: Path, name: str, source: str) -> None:
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", source)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def folders(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "environments").iterdir() if path.is_dir())


def test_an_environment_is_made_listed_and_removed(shop: Path, home: Path, tmp_path: Path) -> None:
    wheel(tmp_path, "parrot", "WORD = 'squawk'")
    write(shop, "cage", ("parrot==1.0",), ("parrot",))
    assert environment("cage").status == "not installed"
    heard: list[str] = []
    made = add("cage", notice=heard.append)
    assert made.status == "installed"
    assert any("parrot" in line for line in heard)
    assert made.recipe_sha256 == read_recipe(shop / "cage.yaml").sha256
    asked = "import parrot, sys; print(parrot.WORD, sys.version_info[:2] == tuple(map(int, sys.argv[1].split('.'))))"
    told = subprocess.run([made.python, "-c", asked, PYTHON], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["squawk", "True"]
    assert [entry.status for entry in environments.environments()] == ["installed"]
    assert remove("cage") == made.folder
    assert list((home / "environments").iterdir()) == []


def test_a_second_add_leaves_it_alone_until_the_recipe_changes(shop: Path, tmp_path: Path) -> None:
    write(shop, "bare")
    first = add("bare")
    (first.folder / "touched").touch()
    assert (add("bare").folder / "touched").exists()
    wheel(tmp_path, "parrot", "")
    write(shop, "bare", ("parrot==1.0",))
    assert environment("bare").status == "outdated"
    again = add("bare")
    assert again.status == "installed"
    assert again.recipe_sha256 != first.recipe_sha256
    assert not (again.folder / "touched").exists()


def test_what_cannot_be_had_is_said_in_one_sentence_and_leaves_nothing(shop: Path, home: Path) -> None:
    write(shop, "dodo", ("no-such-package-anywhere==9.9",))
    with pytest.raises(KokoroLabError, match=r"dodo failed.*no-such-package-anywhere==9\.9") as caught:
        add("dodo")
    assert "\n" not in caught.value.message
    assert folders(home) == []
    assert environment("dodo").status == "not installed"


def test_what_installs_but_does_not_import_is_not_kept(shop: Path, home: Path, tmp_path: Path) -> None:
    wheel(tmp_path, "parrot", "raise RuntimeError('this parrot is no more')")
    write(shop, "cage", ("parrot==1.0",), ("parrot",))
    with pytest.raises(KokoroLabError, match="this parrot is no more"):
        add("cage")
    assert folders(home) == []


def test_an_interrupted_installation_leaves_nothing(shop: Path, home: Path, tmp_path: Path) -> None:
    wheel(tmp_path, "parrot", "")
    write(shop, "cage", ("parrot==1.0",))

    def interrupt(line: str) -> None:
        if line.startswith("Installing collected"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add("cage", notice=interrupt)
    assert folders(home) == []


def test_what_a_killed_installation_left_is_incomplete_and_replaced(shop: Path, home: Path) -> None:
    write(shop, "bare")
    left = home / "environments" / "bare"
    left.mkdir(parents=True)
    (left / f"{MARKER}.part").write_text("{")
    assert environment("bare").status == "incomplete"
    with pytest.raises(KokoroLabError, match="is incomplete; install it with"):
        inside("bare", ["python"], home)
    assert add("bare").status == "installed"
    assert not (left / f"{MARKER}.part").exists()


def test_an_environment_that_lost_its_recipe_can_still_be_removed(shop: Path) -> None:
    write(shop, "bare")
    add("bare")
    (shop / "bare.yaml").unlink()
    assert [(entry.name, entry.status) for entry in environments.environments()] == [("bare", "outdated")]
    remove("bare")
    assert environments.environments() == []


@pytest.mark.parametrize("name", ["nobody", "../home", "", "."])
def test_only_an_environment_can_be_removed(shop: Path, home: Path, name: str) -> None:
    (home / "environments").mkdir(parents=True)
    with pytest.raises(InputError):
        remove(name)
    assert home.is_dir()


def test_two_installations_of_one_environment_do_not_meet(shop: Path) -> None:
    write(shop, "bare")

    def meanwhile(_: str) -> None:
        with pytest.raises(BusyError):
            add("bare")

    assert add("bare", notice=meanwhile).status == "installed"


def test_another_python_is_refused(shop: Path) -> None:
    write(shop, "old", python="2.7")
    with pytest.raises(KokoroLabError, match=r"Python 2\.7"):
        add("old")


def test_every_mistake_of_a_recipe_is_told(shop: Path) -> None:
    (shop / "bad.yaml").write_text(
        "about: x\npython: '3.11'\npins: [loose, 'a>=1']\nimports: ['os; print()']\nextra: 1"
    )
    with pytest.raises(InputError) as caught:
        add("bad")
    for word in ("loose", "a>=1", "os; print()", "extra"):
        assert word in caught.value.message


def test_the_committed_recipes_are_well_formed() -> None:
    names = {entry.name for entry in environment_recipes.recipes()}
    assert {"openvino", "kokoro-onnx", "pykokoro", "sherpa-onnx", "upstream"} <= names
    for entry in environment_recipes.recipes():
        assert entry.pins
        assert entry.imports
        packages = [pin.split("==")[0].lower().replace("_", "-") for pin in entry.pins]
        assert len(set(packages)) == len(packages), entry.name
        assert len([name for name in packages if name.startswith("onnxruntime")]) <= 1, "two builds of one module"


def test_the_sum_of_a_recipe_says_what_is_installed(tmp_path: Path) -> None:
    def made(about: str, pins: tuple[str, ...]) -> str:
        return environment_recipes.EnvironmentRecipe("x", about, PYTHON, pins, ()).sha256

    assert made("a", ("p==1", "q==2")) == made("b", ("q==2", "p==1"))
    assert made("a", ("p==1",)) != made("a", ("p==2",))


def test_the_worker_runs_inside_and_sees_our_package_alone(shop: Path, home: Path, tmp_path: Path) -> None:
    wheel(tmp_path, "parrot", "")
    write(shop, "cage", ("parrot==1.0",), ("parrot",))
    add("cage")
    code = (
        "import json, sys, pathlib, kokoro_lab.measure.records.cell, parrot\n"
        "from importlib.util import find_spec\n"
        "(job,) = json.loads(pathlib.Path(sys.argv[1]).read_text())['cells']\n"
        "seen = [name for name in ('numpy', 'pandas', 'pytest', 'tests', 'notebooks') if find_spec(name)]\n"
        "result = {'status': 'ok', 'error': ' '.join(seen), 'versions': {'prefix': sys.prefix}}\n"
        "pathlib.Path(job['result']).write_text(json.dumps(result))\n"
    )
    work = tmp_path / "work"
    work.mkdir()
    launched = launch(Cell("tiny", "Hi", environment="cage"), work, command=(sys.executable, "-c", code))
    assert launched.result.status == "ok", launched.result.error
    assert launched.result.error == ""
    assert Path(launched.result.versions["prefix"]) == home / "environments" / "cage"


def test_a_cell_of_a_missing_environment_is_unavailable(shop: Path, tmp_path: Path) -> None:
    write(shop, "cage")
    launched = launch(Cell("tiny", "Hi", environment="cage"), tmp_path)
    assert launched.result.status == "unavailable"
    assert "kokoro-lab environments add cage" in launched.result.error
    assert launched.audio is None


def test_the_environment_is_part_of_a_cells_identity() -> None:
    assert Cell("tiny", "Hi").id != Cell("tiny", "Hi", environment="cage").id
    cell = Cell("tiny", "Hi", environment="cage")
    assert Cell.from_dict(json.loads(json.dumps(cell.as_dict()))) == cell


def test_the_commands_list_add_and_remove(shop: Path) -> None:
    write(shop, "bare")

    def ask(*arguments: str) -> dict[str, list[dict[str, object]]]:
        done = CliRunner().invoke(app, [*arguments, "--json"])
        assert done.exit_code == 0, done.output
        document: dict[str, list[dict[str, object]]] = json.loads(done.stdout)
        return document

    (before,) = ask("list")["environments"]
    assert (before["name"], before["status"], before["packages"]) == ("bare", "not installed", 0)
    (added,) = ask("add", "bare")["environments"]
    assert added["status"] == "installed"
    assert added["installed_from_sha256"] == added["recipe_sha256"]
    (removed,) = ask("remove", "bare")["removed"]
    assert not Path(str(removed["folder"])).exists()


def test_the_commands_errors_are_ours(shop: Path) -> None:
    for command in ("add", "remove"):
        assert isinstance(CliRunner().invoke(app, [command, "nobody"]).exception, InputError)
