"""`place`: which operators run on which of several unlike devices, for one model or for several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from typing_extensions import TypedDict

from lydite.api.keywords import ModelKeywords
from lydite.api.load import Model, ModelLike, resolve
from lydite.api.options import ModelOptions, chosen
from lydite.api.placing import Placeable, Wires, placeable
from lydite.errors import InputError
from lydite.exhibits import Exhibit
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.placement import Exact, Game, Outcome, Placement


class PartDocument(TypedDict):
    """A group of neighbouring operators, and the device that runs it."""

    model: str
    first: str
    operators: int
    device: str
    start_s: float | None
    seconds: float
    seconds_on: dict[str, float | None]


class MethodDocument(TypedDict):
    """A placement by one method, in seconds for one call."""

    method: str
    seconds: float
    simulated_s: float


class JobDocument(TypedDict):
    """A job in a game: seconds alone, at the equilibrium (simulated too), and at the optimum."""

    model: str
    alone_s: float
    seconds: float
    simulated_s: float
    optimum_s: float
    devices: list[str]


class GameDocument(TypedDict):
    """Where best responses led; cycle lists profiles that come back, as devices of each job."""

    jobs: list[JobDocument]
    equilibrium: bool
    moves: int
    cycle: list[list[list[str]]]
    equilibria: int
    social_s: float
    optimum_s: float
    price_of_anarchy: float
    worst_price_of_anarchy: float | None


class PlaceDocument(TypedDict):
    """A placement of one model, or a game of several that share the devices."""

    models: list[str]
    devices: list[str]
    bandwidth_bytes_per_s: float
    latency_s: float
    seconds: float | None
    bound_s: float | None
    gap: float | None
    proven: bool | None
    search_s: float | None
    methods: list[MethodDocument]
    parts: list[PartDocument]
    game: GameDocument | None
    sources: dict[str, dict[str, int]]
    notes: list[str]


@dataclass(frozen=True, eq=False, repr=False)
class PlaceResult(Result):
    """A placement, or a game of jobs.

    Attributes:
        models: Models that were placed.
        jobs: Their groups of operators, with times on each device.
        wires: Bandwidth and latency between devices.
        exact: Exact placement of a single model; None for a game.
        methods: Placements by method, each with its simulated seconds.
        game: Game of several models; None for a placement.
        outcome: Where best responses led.
    """

    verb = "place"
    exhibits = (
        Exhibit(
            "Placements by method",
            "/methods",
            {"method": "method", "seconds": "time of a call", "simulated_s": "simulated"},
            beside="seconds",
        ),
        Exhibit(
            "Models that share the devices",
            "/game/jobs",
            {
                "model": "model",
                "alone_s": "alone",
                "seconds": "at the equilibrium",
                "simulated_s": "simulated",
                "optimum_s": "at the optimum",
            },
            beside="seconds",
        ),
    )

    models: tuple[Model, ...]
    jobs: tuple[Placeable, ...]
    wires: Wires
    exact: Exact | None = None
    methods: tuple[tuple[Placement, float], ...] = ()
    game: Game | None = None
    outcome: Outcome | None = None

    @property
    def seconds(self) -> float | None:
        """Seconds of one call of the placed model; None for a game."""
        return self.exact.placement.makespan_s if self.exact else None

    def document(self) -> PlaceDocument:
        """The placement by parts, all methods, or the game."""
        found = self.exact
        return {
            "models": [model.label for model in self.models],
            "devices": list(self.jobs[0].devices),
            "bandwidth_bytes_per_s": self.wires.bandwidth,
            "latency_s": self.wires.latency_s,
            "seconds": self.seconds,
            "bound_s": found.bound_s if found else None,
            "gap": found.gap if found else None,
            "proven": found.proven if found else None,
            "search_s": found.seconds if found else None,
            "methods": [
                {"method": p.method, "seconds": p.makespan_s, "simulated_s": simulated}
                for p, simulated in self.methods
            ],
            "parts": self._parts(),
            "game": self._game(),
            "sources": {job.name: dict(job.sources) for job in self.jobs},
            "notes": [*dict.fromkeys(note for job in self.jobs for note in job.notes), _WIRES],
        }

    def _parts(self) -> list[PartDocument]:
        rows: list[PartDocument] = []
        for number, job in enumerate(self.jobs):
            if self.exact is not None:
                device, start = self.exact.placement.device, self.exact.placement.start_s
            else:
                assert self.game is not None and self.outcome is not None
                chosen_one = self.outcome.profile[number]
                device, start = self.game.jobs[number].strategies[chosen_one], None
            for unit in job.movable:
                times = job.problem.seconds[unit]
                rows.append(
                    {
                        "model": job.name,
                        "first": job.names[unit],
                        "operators": job.counts[unit],
                        "device": job.devices[int(device[unit])],
                        "start_s": None if start is None else float(start[unit]),
                        "seconds": float(times[int(device[unit])]),
                        "seconds_on": {
                            d: float(t) for d, t in zip(job.devices, times, strict=True)
                        },
                    }
                )
        return rows

    def _game(self) -> GameDocument | None:
        if self.game is None or self.outcome is None:
            return None
        from lydite.placement import optimum, play_jobs, pure_equilibria

        game, outcome = self.game, self.outcome
        best, optimum_s = optimum(game)
        stable = pure_equilibria(game)
        latencies, simulated = game.latencies(outcome.profile), play_jobs(game, outcome.profile)
        there = game.latencies(best)
        social = float(latencies.sum())
        worst = max((float(game.latencies(p).sum()) for p in stable), default=None)
        return {
            "jobs": [
                {
                    "model": job.name,
                    "alone_s": float(job.alone_s.min()),
                    "seconds": float(latencies[number]),
                    "simulated_s": float(simulated[number]),
                    "optimum_s": float(there[number]),
                    "devices": self._devices(number, outcome.profile[number]),
                }
                for number, job in enumerate(game.jobs)
            ],
            "equilibrium": outcome.equilibrium,
            "moves": len(outcome.path) - 1,
            "cycle": [
                [self._devices(number, s) for number, s in enumerate(profile)]
                for profile in outcome.cycle
            ],
            "equilibria": len(stable),
            "social_s": social,
            "optimum_s": optimum_s,
            "price_of_anarchy": social / optimum_s,
            "worst_price_of_anarchy": None if worst is None else worst / optimum_s,
        }

    def _devices(self, number: int, strategy: int) -> list[str]:
        """Device of each group that can be moved."""
        assert self.game is not None
        job, spots = self.jobs[number], self.game.jobs[number].strategies[strategy]
        return [job.devices[int(spots[unit])] for unit in job.movable]

    def summary(self) -> str:
        """The placement or the game as text."""
        from lydite.report.text.place import place_text

        return place_text(self.document())

    def headline(self) -> str:
        """Time and whether it is proven, or the equilibrium."""
        from lydite.report.text.place import place_headline

        return place_headline(self.document())

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per part."""
        return self._parts()


_WIRES = "weights are taken to lie on their devices already; only activations move"


def place(
    session: Session,
    model: ModelLike | Sequence[ModelLike],
    *,
    on: str = "cpu",
    game: bool = False,
    bandwidth: str | float = "25 GB/s",
    latency: str | float = "10 us",
    time_limit: float = 5.0,
    groups: int = 24,
    backend: str = "onnxruntime",
    threads: int = 1,
    options: ModelOptions | None = None,
    **given: Unpack[ModelKeywords],
) -> PlaceResult:
    """Place a model's operators on unlike devices, or let several models share them.

    One model: the placement of least time of a call, as a mixed-integer program with a bound, and
    heuristics beside it; inputs and outputs are on the first device. Several, with `game`: each
    model runs again and again on shared devices and moves to where it is fastest, until none gains.

    Args:
        session: Session whose database holds measurements.
        model: Model, or several for a game; see `load`.
        on: Names or .yaml files of the devices, separated by commas; the first is the host.
        game: Whether several models share the devices.
        bandwidth: Bandwidth between any two devices, such as "25 GB/s".
        latency: Latency of a transfer, such as "10 us".
        time_limit: Seconds that the exact search may take.
        groups: Largest number of groups of neighbouring operators that are placed as one.
        backend: Backend whose measurements count on this machine's processor.
        threads: Number of threads per operator on a processor.
        options: Options of the models.
        given: Fields of `ModelOptions`.

    Raises:
        InputError: a model or device is unknown, fewer than two devices, or an operator that no
            device can run.
    """
    from lydite.placement import Game, Job, best_responses, exact, heft, play
    from lydite.placement.exact import heuristics
    from lydite.placement.game import MOST_PROFILES
    from lydite.units import parse_quantity

    models = list(model) if isinstance(model, list | tuple) else [model]
    devices = [name.strip() for name in on.split(",") if name.strip()]
    if len(devices) < 2:
        raise InputError(f"'{on}'", where="--on", allowed="two devices or more: cpu,h100")
    if game != (len(models) > 1):
        hint = "add --game, and they share the devices" if not game else "name two models or more"
        raise InputError(f"{len(models)} model{'s' * (len(models) > 1)}", hint=hint)
    if groups < 1 or time_limit <= 0:
        raise InputError("out of range", where="--groups, --time-limit", allowed="above 0")
    wires = Wires(
        parse_quantity(bandwidth, "B/s", where="--bandwidth"),
        parse_quantity(latency, "s", where="--latency"),
    )
    if wires.bandwidth <= 0:
        raise InputError("no bandwidth", where="--bandwidth", allowed="above 0")
    wanted = chosen(ModelOptions, options, given)
    made = tuple(resolve(one, wanted, None) for one in models)
    most = groups
    if game:
        most = 1
        while most < min(groups, 8):
            if len(devices) ** ((most + 1) * len(made)) > MOST_PROFILES:
                break
            most += 1
    jobs = tuple(placeable(session, one, devices, wires, most, backend, threads) for one in made)
    if game:
        played = Game(
            tuple(
                Job.of(job.name, job.allowed_seconds, job.problem.transfer_s, job.problem.edges)
                for job in jobs
            )
        )
        return PlaceResult(made, jobs, wires, game=played, outcome=best_responses(played))
    problem = jobs[0].problem
    best = exact(problem, time_limit)
    found = [best.placement, heft(problem), *heuristics(problem)]
    methods = tuple((p, play(problem, p).makespan_ps * 1e-12) for p in found)
    return PlaceResult(made, jobs, wires, best, methods)
