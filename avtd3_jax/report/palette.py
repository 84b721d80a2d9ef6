"""Colours that the colour-blind tell apart, and never a colour alone: Okabe and Ito 2008, with dashes and markers."""

from dataclasses import dataclass

BLACK, ORANGE, SKY_BLUE, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"


@dataclass(frozen=True)
class Style:
    """How a line is drawn: its colour, Plotly's name of its dash, and of the marker at its end."""

    colour: str
    dash: str
    marker: str


OUTCOMES = {
    "route_done": Style(GREEN, "solid", "circle"),
    "collision": Style(VERMILLION, "dash", "x"),
    "off_route": Style(BLUE, "dot", "triangle-up"),
    "time_limit": Style(ORANGE, "dashdot", "square"),
    "blocked": Style(PURPLE, "longdash", "diamond"),
}
OTHER_OUTCOME = Style(BLACK, "longdashdot", "star")  # a reason that this page does not know
_RUNS = (
    Style(BLUE, "solid", "circle"),
    Style(VERMILLION, "dash", "square"),
    Style(GREEN, "dot", "diamond"),
    Style(PURPLE, "dashdot", "x"),
    Style(ORANGE, "longdash", "triangle-up"),
    Style(SKY_BLUE, "longdashdot", "star"),
)


def run_style(number: int) -> Style:
    """Of the run with this number. After six the colours come again with other dashes, and after 36 all begin anew."""
    again, place = divmod(number, len(_RUNS))
    other = _RUNS[(place + again) % len(_RUNS)]
    return Style(_RUNS[place].colour, other.dash, other.marker)
