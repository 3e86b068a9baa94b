"""Timelines as Perfetto traces, to open in ui.perfetto.dev."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lydite.engine import Timeline
from lydite.errors import MissingExtra
from lydite.files import write_atomic
from lydite.records import dataclass
from lydite.report.levels import Levels


@dataclass(frozen=True, slots=True)
class Slice:
    """A slice of a trace: track, name, start and duration in seconds, details."""

    track: str
    name: str
    start_s: float
    seconds: float
    details: dict[str, str]


def slices_of(timeline: Timeline, tracks: Sequence[str], categories: Sequence[str]) -> list[Slice]:
    """One slice for every task that took time.

    Args:
        timeline: Timeline from the engine.
        tracks: Names of its servers; tasks without a server go to the track "joins".
        categories: Names of its categories.
    """
    tasks, chosen = timeline.tasks, timeline.span_ps.nonzero()[0]
    columns = (chosen, tasks.resource[chosen], tasks.category[chosen])
    times = (1e-12 * ps[chosen] for ps in (timeline.start_ps, timeline.span_ps))
    made: Any = zip(*(column.tolist() for column in (*columns, *times)), strict=True)
    rows: Iterable[tuple[int, int, int, float, float]] = made
    return [
        Slice(
            tracks[server] if server >= 0 else "joins",
            tasks.names[task],
            start,
            seconds,
            {"kind": categories[category]},
        )
        for task, server, category, start, seconds in rows
    ]


def levels_of(slices: Sequence[Slice]) -> Levels:
    """Slices for the dashboard's viewer; a slice's category is its detail "kind"."""
    kinds = [slice_.details.get("kind", "") for slice_ in slices]
    tracks, categories, names = (
        {word: number for number, word in enumerate(dict.fromkeys(words))}
        for words in ([s.track for s in slices], kinds, [s.name for s in slices])
    )
    starts = np.array([round(s.start_s * 1e12) for s in slices], np.int64)
    lengths = np.array([round(s.seconds * 1e12) for s in slices], np.int64)
    return Levels(
        np.array([tracks[s.track] for s in slices], np.int64),
        np.array([categories[kind] for kind in kinds], np.int64),
        starts,
        starts + lengths,
        rows=list(tracks),
        categories=list(categories),
        name=np.array([names[s.name] for s in slices], np.int64),
        names=list(names),
    )


def write_trace(path: Path, slices: Sequence[Slice], *, process: str) -> Path:
    """Write slices as Perfetto's TrackEvent protobuf, one track per name.

    A path that ends in .npz gets the slices as `lydite ui --timelines` shows them instead.

    Raises:
        MissingExtra: the package `perfetto` is not installed.
    """
    if path.suffix == ".npz":
        return levels_of(slices).save(path)
    try:
        from perfetto.trace_builder.proto_builder import TraceProtoBuilder
    except ImportError:
        raise MissingExtra("perfetto", "report") from None
    builder = TraceProtoBuilder()
    tracks = {
        name: number + 2 for number, name in enumerate(dict.fromkeys(s.track for s in slices))
    }
    _describe(builder, 1, process, None)
    for name, uuid in tracks.items():
        _describe(builder, uuid, name, 1)
    for slice_ in sorted(slices, key=lambda s: s.start_s):
        start = round(slice_.start_s * 1e9)
        _event(builder, tracks[slice_.track], start, slice_)
        _event(builder, tracks[slice_.track], start + max(1, round(slice_.seconds * 1e9)), None)
    return write_atomic(path, builder.serialize())


def _describe(builder: object, uuid: int, name: str, parent: int | None) -> None:
    packet = builder.add_packet()  # type: ignore[attr-defined]
    packet.track_descriptor.uuid = uuid
    packet.track_descriptor.name = name
    if parent is not None:
        packet.track_descriptor.parent_uuid = parent


def _event(builder: object, uuid: int, at_ns: int, begin: Slice | None) -> None:
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TrackEvent

    packet = builder.add_packet()  # type: ignore[attr-defined]
    packet.timestamp = at_ns
    packet.trusted_packet_sequence_id = 1
    packet.track_event.track_uuid = uuid
    if begin is None:
        packet.track_event.type = TrackEvent.TYPE_SLICE_END
        return
    packet.track_event.type = TrackEvent.TYPE_SLICE_BEGIN
    packet.track_event.name = begin.name
    for name, value in begin.details.items():
        note = packet.track_event.debug_annotations.add()
        note.name, note.string_value = name, value
