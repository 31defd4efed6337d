"""What a block of a cell would measure now, by its bytes; and whether it is what the run's other blocks measured.

The process that starts the workers asks before it continues a run, and compares each finished block.
"""

from __future__ import annotations

from kokoro_lab.errors import KokoroLabError
from kokoro_lab.measure.block.measured_bytes import engine_files, measured_identity
from kokoro_lab.measure.peers.peer_files import is_peer, peer_reads, peer_sums, prepare
from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.runtime.session_files.files_read import FilesRead

__all__ = ["cell_files", "expected_parts"]


def cell_files(cell: Cell) -> FilesRead:
    """The files that the process of a cell reads, our own engine's or a peer's.

    Raises KokoroLabError for a cell that cannot run, such as one of an unknown model.
    """
    return peer_reads(prepare(cell)[0]) if is_peer(cell) else engine_files(cell)


def expected_parts(cell: Cell) -> dict[str, str]:
    """Part of the identity -> sum; without the parts that only the cell's process can tell.

    Nothing is expected of a cell that cannot run.
    """
    try:
        if is_peer(cell):
            return peer_sums(cell, prepare(cell)[0])
        parts = measured_identity(cell).as_dict()
    except KokoroLabError:
        return {}
    if cell.environment:
        del parts["packages"]
    return parts
