"""What a plot shows: bars, lines and dots on two axes, without how it is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lydite.records import dataclass

Numbers = Sequence[float] | np.ndarray


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis.

    Attributes:
        title: What it shows, with its unit.
        is_log: Whether its scale is logarithmic.
    """

    title: str = ""
    is_log: bool = False


@dataclass(frozen=True, slots=True)
class Bars:
    """Horizontal bars of one colour.

    Attributes:
        name, colour: Entry of the key.
        row: Row of each bar, from 0 at the top.
        start, span: Begin and length of each bar on the x axis.
        hover: Text of each bar, shown under the pointer.
    """

    name: str
    colour: str
    row: Numbers
    start: Numbers
    span: Numbers
    hover: Sequence[str]


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points in ascending order of x.

    Attributes:
        name, colour: Entry of the key.
        x, y: Coordinates of its points.
        is_stepped: Whether y stays until the next point.
        is_dashed: Whether the line is dashed.
    """

    name: str
    colour: str
    x: Numbers
    y: Numbers
    is_stepped: bool = False
    is_dashed: bool = False


@dataclass(frozen=True, slots=True)
class Dots:
    """Dots of one colour.

    Attributes:
        name, colour: Entry of the key.
        x, y: Coordinates of each dot.
        hover: Text of each dot, shown under the pointer.
        low, high: Ends of each dot's interval on the y axis; empty without intervals.
        labels: Text beside each dot; empty without.
    """

    name: str
    colour: str
    x: Numbers
    y: Numbers
    hover: Sequence[str]
    low: Numbers = ()
    high: Numbers = ()
    labels: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot.

    Attributes:
        title: What it shows.
        x, y: Axes; of a plot with rows, y has no ticks.
        series: Bars, lines and dots, in the order of the key.
        rows: Names of the rows that bars stand in, from top to bottom.
        height_px: Height of the area of a plot without rows.
        can_zoom: Whether the reader can stretch the x axis.
    """

    title: str
    x: Axis
    y: Axis = Axis()
    series: Sequence[Bars | Line | Dots] = ()
    rows: Sequence[str] = ()
    height_px: int = 380
    can_zoom: bool = False


def stacked(
    spans: Sequence[tuple[str, str, Numbers]], hover: Sequence[str], unit: str
) -> list[Bars]:
    """Series of bars that follow each other in every row.

    Args:
        spans: Name, colour and length in each row of each series.
        hover: Name of each row.
        unit: Unit of the lengths.
    """
    ends = np.zeros(len(hover))
    series: list[Bars] = []
    for name, colour, lengths in spans:
        span = np.asarray(lengths, float)
        pairs = zip(hover, span, strict=True)
        texts = [f"{row}: {name}, {length:,.4g} {unit}" for row, length in pairs]
        series.append(Bars(name, colour, np.arange(len(hover)), ends.copy(), span, texts))
        ends += span
    return series
