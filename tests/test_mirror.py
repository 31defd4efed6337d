"""Every module has a test of its name at its place in tests/, or a test named here that imports or runs it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "kokoro_lab"

COVERED: dict[str, str] = {
    "__init__.py": "test_cli.py",
    "__main__.py": "process/test_signals.py",
    "_version.py": "test_cli.py",
    "audio/dither.py": "audio/test_wav.py",
    "audio/loudness.py": "audio/test_finish.py",
    "benchmarks/self_test_parts.py": "benchmarks/test_self_test.py",
    "benchmarks/altered_worker.py": "measure/test_worker.py",
    "commands/environments.py": "measure/peers/test_environments.py",
    "commands/machine.py": "test_cli.py",
    "commands/models.py": "variants/test_model_commands.py",
    "commands/report.py": "test_cli.py",
    "commands/model_choice/tuning.py": "variants/test_fastest_variant.py",
    "reports/page/report_data.py": "reports/page/test_report_verification.py",
    "sweeps/current_verdicts.py": "store/integrity/test_verdict_states.py",
    "engine/assembly.py": "engine/test_engine.py",
    "engine/channel.py": "engine/test_stream.py",
    "engine/environment_variables.py": "engine/test_config.py",
    "engine/loading.py": "engine/test_faults.py",
    "engine/pipeline.py": "engine/test_stream.py",
    "engine/request.py": "engine/test_engine.py",
    "errors.py": "engine/test_engine.py",
    "kernels/__init__.py": "kernels/test_library.py",
    "kernels/__main__.py": "kernels/test_build.py",
    "measure/block/cache_counts.py": "measure/block/test_block_runner.py",
    "measure/block/calls.py": "measure/block/test_block_runner.py",
    "measure/ceiling/operation_count.py": "reports/findings/test_bound.py",
    "measure/machine/content_bytes.py": "measure/machine/test_program_bytes.py",
    "measure/machine/pagecache.py": "measure/machine/test_fingerprint.py",
    "measure/peers/adapters/__init__.py": "measure/peers/test_peer_files.py",
    "measure/peers/adapters/kokoro_onnx.py": "measure/peers/test_peer_files.py",
    "measure/peers/adapters/own_engine.py": "measure/peers/test_peer_files.py",
    "measure/peers/adapters/pykokoro.py": "measure/peers/test_peers_installed.py",
    "measure/peers/adapters/sherpa_onnx.py": "measure/peers/test_peers_installed.py",
    "measure/peers/adapters/upstream.py": "measure/peers/test_peers_installed.py",
    "measure/peers/environment_recipes.py": "measure/peers/test_environments.py",
    "measure/records/readings.py": "measure/records/test_cell.py",
    "measure/sampling/launch.py": "measure/test_worker.py",
    "measure/sampling/rounds.py": "measure/sampling/test_sampler.py",
    "measure/statistics/between_runs.py": "store/test_cross_run_comparison.py",
    "measure/statistics/drift.py": "measure/block/test_load_generator.py",
    "models/files/published.py": "models/test_listing.py",
    "models/graph/architecture.py": "models/graph/test_model_graph.py",
    "models/graph/seeded_noise.py": "models/graph/test_model_graph.py",
    "models/graph/stages.py": "models/graph/test_model_graph.py",
    "models/graph/state_dict.py": "models/graph/test_model_graph.py",
    "models/graph/weights.py": "models/graph/test_model_graph.py",
    "models/rewrite/adain_sites.py": "models/rewrite/test_folding.py",
    "models/rewrite/kernel_rewrite.py": "kernels/test_kernel_rewrite.py",
    "models/rewrite/quantize_dynamic.py": "models/rewrite/test_quantize_static.py",
    "process/cancellation.py": "process/test_lifetime.py",
    "reports/claims/claim_reading.py": "reports/claims/test_resolution.py",
    "reports/claims/comparison_claims.py": "reports/claims/test_resolution.py",
    "reports/claims/facts.py": "reports/claims/test_resolution.py",
    "reports/claims/level_claims.py": "reports/claims/test_resolution.py",
    "reports/figures/cache_replay.py": "reports/figures/test_notebook_charts.py",
    "reports/drawing/plots.py": "reports/figures/test_cell_charts.py",
    "reports/figures/caching_charts.py": "reports/figures/test_notebook_charts.py",
    "reports/figures/endurance_charts.py": "reports/figures/test_notebook_charts.py",
    "reports/findings/change_history.py": "reports/findings/test_history.py",
    "reports/figures/history_charts.py": "reports/figures/test_notebook_charts.py",
    "reports/figures/peer_charts.py": "reports/figures/test_notebook_charts.py",
    "reports/figures/provider_charts.py": "reports/figures/test_notebook_charts.py",
    "reports/figures/session_charts.py": "reports/figures/test_notebook_charts.py",
    "reports/figures/speech_charts.py": "reports/figures/test_speaking_panel.py",
    "reports/figures/streaming_charts.py": "reports/figures/test_notebook_charts.py",
    "reports/figures/unit_charts.py": "reports/figures/test_notebook_charts.py",
    "reports/figures/warmup_charts.py": "reports/figures/test_notebook_charts.py",
    "reports/findings/listen.py": "reports/page/test_render.py",
    "reports/findings/noise_floor.py": "reports/rows/test_evidence.py",
    "reports/page/notebook_export.py": "reports/page/test_render.py",
    "reports/page/report.py": "reports/page/test_render.py",
    "reports/page/source_tables.py": "reports/page/test_render.py",
    "reports/rows/frame_statistics.py": "reports/rows/test_evidence.py",
    "runtime/opening.py": "runtime/test_session.py",
    "runtime/preoptimized.py": "variants/test_make_preoptimized.py",
    "runtime/session_files/__init__.py": "runtime/session_files/test_files_read.py",
    "runtime/session_files/native_libraries.py": "runtime/session_files/test_files_read.py",
    "runtime/settings.py": "runtime/test_session.py",
    "runtime/trial/__init__.py": "runtime/trial/test_first_opening.py",
    "runtime/trial/limited_process.py": "runtime/trial/test_first_opening.py",
    "runtime/trial/verdict.py": "runtime/trial/test_first_opening.py",
    "runtime/trial/trial_process.py": "runtime/trial/test_first_opening.py",
    "runtime/tuning_record.py": "engine/test_model_selection.py",
    "store/__init__.py": "store/test_store.py",
    "store/blocks.py": "store/test_store.py",
    "store/budgets.py": "store/test_budget_gate.py",
    "store/cell_selectors.py": "store/test_run_comparison.py",
    "store/gauges.py": "store/test_budget_gate.py",
    "store/migrations.py": "store/test_store.py",
    "store/rows.py": "store/test_store.py",
    "store/schema.py": "store/test_store.py",
    "store/sides.py": "store/test_cross_run_comparison.py",
    "store/table.py": "store/test_store.py",
    "sweeps/job.py": "sweeps/test_plan.py",
    "sweeps/machine_ceiling.py": "reports/findings/test_bound.py",
    "sweeps/notebooks.py": "commands/test_sweep.py",
    "sweeps/preset_texts.py": "sweeps/test_plan.py",
    "sweeps/progress.py": "sweeps/notebook/test_notebook_bar.py",
    "text/abbreviations.py": "text/test_expand.py",
    "text/addresses.py": "text/test_expand.py",
    "text/cjk.py": "text/test_phonemize.py",
    "text/dates.py": "text/test_expand.py",
    "text/english.py": "text/test_phonemize.py",
    "text/espeak.py": "text/test_phonemize.py",
    "text/languages.py": "text/test_phonemize.py",
    "text/links.py": "text/test_sentences.py",
    "text/normalize.py": "text/test_expand.py",
    "text/rules.py": "text/test_expand.py",
    "text/sanitize.py": "text/test_sentences.py",
    "text/vocabulary.py": "text/test_phonemize.py",
    "text/words.py": "text/test_segment.py",
    "units.py": "audio/test_wav.py",
    "variants/calibrate.py": "variants/test_make.py",
    "variants/coreml.py": "variants/test_portability.py",
    "variants/import_proof.py": "variants/test_make.py",
    "variants/operator_profile.py": "variants/test_timing.py",
    "variants/probes.py": "variants/test_timing.py",
    "variants/provider_process.py": "variants/test_portability.py",
    "variants/quantization_search.py": "variants/test_make.py",
}
"""Module without a test of its own name -> the test file that exercises it."""

COMMANDS = {
    "commands/machine.py": "providers",
    "commands/models.py": "models",
    "commands/report.py": "report",
    "commands/model_choice/tuning.py": "tune",
    "sweeps/notebooks.py": "sweep",
}
"""Module of the command line -> a command that runs it, as tests give it to the command line."""


@cache
def modules() -> tuple[str, ...]:
    """Every module but those that only make a folder a package."""
    found = (path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "__init__.py" or statements(path))
    return tuple(path.relative_to(PACKAGE).as_posix() for path in found)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def statements(path: Path) -> list[ast.stmt]:
    """What a package's own file does beside its docstring."""
    return [
        node for node in tree(path).body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]


def dotted(module: str) -> str:
    return (
        f"kokoro_lab/{module}".removesuffix(".py").removesuffix("/__init__").removesuffix("/__main__").replace("/", ".")
    )


@cache
def imported(path: Path) -> frozenset[str]:
    """Dotted names that a file imports, inside functions too: modules, and what is taken from them."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


@cache
def strings(path: Path) -> str:
    """The text constants of a file, one a line: scripts for other processes, and words of a command line."""
    constants = (node.value for node in ast.walk(tree(path)) if isinstance(node, ast.Constant))
    return "\n".join(value for value in constants if isinstance(value, str))


def own_modules(path: Path) -> list[Path]:
    """Files of the package that a file imports."""
    return [PACKAGE / module for module in modules() if dotted(module) in imported(path)]


def reaches(test: Path, module: str) -> bool:
    """Whether a test imports the module, names it to another process, runs its command, or imports what does so."""
    name = dotted(module)
    if name in imported(test) or name in strings(test):
        return True
    if module in COMMANDS:
        return COMMANDS[module] in strings(test).splitlines()
    return any(name in imported(path) or name in strings(path) for path in own_modules(test))


def mirrored(module: str) -> Path:
    place = Path(module)
    return TESTS / place.parent / f"test_{place.stem}.py"


@pytest.mark.parametrize("module", modules())
def test_a_module_is_found_by_its_name_or_covered_by_a_named_neighbour(module: str) -> None:
    if mirrored(module).is_file():
        return
    test = COVERED.get(module)
    assert test is not None, f"write {mirrored(module)}, or name the test that covers {module} in COVERED"
    assert reaches(TESTS / test, module), f"{test} neither imports nor runs {module}"


def test_no_entry_is_stale() -> None:
    for key, test in COVERED.items():
        assert (PACKAGE / key).is_file(), f"{key} is not a module of the package"
        assert (TESTS / test).is_file(), f"{test} is not a test file"
        assert not mirrored(key).is_file(), f"{key} has a test of its own name"
    assert set(COMMANDS) <= set(modules())


def test_a_test_that_imports_nothing_of_a_module_does_not_cover_it(tmp_path: Path) -> None:
    test = tmp_path / "test_other.py"
    test.write_text("from kokoro_lab.audio.wav import write_wav\nWORDS = 'kokoro_lab.text.segment'\n")
    assert reaches(test, "audio/wav.py")
    assert reaches(test, "text/segment.py"), "a script for another process names it"
    assert not reaches(test, "audio/join.py")
    assert not reaches(test, "commands/doctor.py")
