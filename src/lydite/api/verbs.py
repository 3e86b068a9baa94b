"""The registries of verbs and of commands.

A verb is a function whose first argument is a `Session` and which returns a
`lydite.results.Result`. It becomes a method of `Session` and a function of the package `lydite`.
Packages add verbs through the entry-point group "lydite.verbs", and commands through
"lydite.commands".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lydite.records import dataclass
from lydite.registry import Registry

if TYPE_CHECKING:
    from lydite.results import Result

Verb = Callable[..., Any]
"""A function of a session."""

OWN_VERBS = {
    "load": "lydite.api.load:load",
    "inspect": "lydite.api.inspect:inspect",
    "predict": "lydite.api.predict:predict",
    "profile": "lydite.api.profile:profile",
    "profile_plan": "lydite.api.profile_plan:profile_plan",
    "profile_planned": "lydite.api.profile_plan:profile_planned",
    "farm_drain": "lydite.api.farm:farm_drain",
    "farm_profile": "lydite.api.farm_profile:farm_profile",
    "farm_status": "lydite.api.farm:farm_status",
    "farm_worker": "lydite.api.farm:farm_worker",
    "learn_fit": "lydite.api.learn:learn_fit",
    "learn_evaluate": "lydite.api.learn:learn_evaluate",
    "bench": "lydite.api.bench:bench",
    "validate": "lydite.api.validate:validate",
    "validate_steps": "lydite.api.validate_steps:validate_steps",
    "coverage": "lydite.api.coverage:coverage",
    "simulate": "lydite.api.simulate:simulate",
    "collective": "lydite.api.collective:collective",
    "search": "lydite.api.search:search",
    "chip": "lydite.api.chip:chip",
    "sweep": "lydite.api.sweep:sweep",
    "scalesim": "lydite.compat.scalesim.verb:scalesim",
    "smaug": "lydite.compat.smaug.command.verb:smaug",
    "calibrate": "lydite.api.calibrate:calibrate",
    "aisim": "lydite.compat.aisim.verb:aisim",
    "doctor": "lydite.api.doctor:doctor",
    "models": "lydite.api.models:models",
    "monitor": "lydite.api.monitor:monitor",
    "demo": "lydite.api.demo:demo",
    "mlperf_audit": "lydite.api.mlperf.audit:audit",
    "mlperf_build": "lydite.api.mlperf.build:build",
    "mlperf_calibrate": "lydite.api.mlperf.calibrate:calibrate",
    "mlperf_check": "lydite.api.mlperf.check:check",
    "mlperf_explain": "lydite.api.mlperf.explain:explain",
    "mlperf_peak": "lydite.api.mlperf.peak:peak",
    "mlperf_preprocess": "lydite.api.mlperf.preprocess:preprocess",
    "mlperf_run": "lydite.api.mlperf.run:run",
    "mlperf_submission": "lydite.api.mlperf.submission:submission",
    "score": "lydite.api.score.run:score",
    "score_board": "lydite.api.score.board:score_board",
    "score_compare": "lydite.api.score.compare:score_compare",
    "score_verify": "lydite.api.score.verify:score_verify",
    "mlperf_tune": "lydite.api.mlperf.tune:tune",
    "ops": "lydite.api.ops:ops",
    "serve": "lydite.api.serve:serve",
    "tune": "lydite.api.tune.model:tune",
    "tune_compare": "lydite.api.tune.compare:tune_compare",
    "tune_expect": "lydite.api.tune.expect:tune_expect",
    "tune_export": "lydite.api.tune.logs:tune_export",
    "tune_import": "lydite.api.tune.logs:tune_import",
    "tune_op": "lydite.api.tune.op:tune_op",
    "turning_point": "lydite.api.turning_point:turning_point",
    "corun": "lydite.api.corun:corun",
    "place": "lydite.api.place:place",
    "runs": "lydite.api.runs:runs",
    "record": "lydite.api.record:record",
    "run": "lydite.api.runs:run",
    "db_query": "lydite.api.db:query",
    "db_stats": "lydite.api.db:stats",
    "db_import": "lydite.api.db:import_",
    "db_export": "lydite.api.db:export",
    "db_merge": "lydite.api.db:merge",
}
"""Location of each verb."""

VERBS: Registry[Verb] = Registry("lydite.verbs", "verb", OWN_VERBS)


@dataclass(frozen=True)
class Command:
    """A command declared as a function of a session; `lydite NAME ...` calls it.

    The command line turns each parameter after the session (annotated for typer, or a group of
    `Options`) into an argument or option, adds --out, --json and --quiet, and prints the result.

    Attributes:
        run: Function of the command; its docstring is the help text. If a verb needs no other words
            on the command line than in Python, it is the verb itself.
        takes_rest: Whether the first word ends the command's own options, so that everything after
            it belongs to another program's command line.
    """

    run: Callable[..., Result]
    takes_rest: bool = False


COMMANDS: Registry[Command] = Registry(
    "lydite.commands",
    "command",
    {
        "aisim": "lydite.compat.aisim.command:AISIM",
        "smaug": "lydite.compat.smaug.command:SMAUG",
    },
)
"""Commands that are declared outside the command line."""
