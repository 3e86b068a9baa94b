"""All verbs under their public names, for type checkers."""

from lydite.api.bench import bench
from lydite.api.calibrate import calibrate
from lydite.api.chip import chip
from lydite.api.collective import collective
from lydite.api.corun import corun
from lydite.api.coverage import coverage
from lydite.api.db import export as db_export
from lydite.api.db import import_ as db_import
from lydite.api.db import merge as db_merge
from lydite.api.db import query as db_query
from lydite.api.db import stats as db_stats
from lydite.api.demo import demo
from lydite.api.doctor import doctor
from lydite.api.farm import farm_drain, farm_status, farm_worker
from lydite.api.farm_profile import farm_profile
from lydite.api.inspect import inspect
from lydite.api.learn import learn_evaluate, learn_fit
from lydite.api.load import load
from lydite.api.mlperf.audit import audit as mlperf_audit
from lydite.api.mlperf.build import build as mlperf_build
from lydite.api.mlperf.calibrate import calibrate as mlperf_calibrate
from lydite.api.mlperf.check import check as mlperf_check
from lydite.api.mlperf.explain import explain as mlperf_explain
from lydite.api.mlperf.peak import peak as mlperf_peak
from lydite.api.mlperf.preprocess import preprocess as mlperf_preprocess
from lydite.api.mlperf.run import run as mlperf_run
from lydite.api.mlperf.submission import submission as mlperf_submission
from lydite.api.mlperf.tune import tune as mlperf_tune
from lydite.api.models import models
from lydite.api.monitor import monitor
from lydite.api.ops import ops
from lydite.api.place import place
from lydite.api.predict import predict
from lydite.api.profile import profile
from lydite.api.profile_plan import profile_plan, profile_planned
from lydite.api.record import record
from lydite.api.runs import run, runs
from lydite.api.score.board import score_board
from lydite.api.score.compare import score_compare
from lydite.api.score.run import score
from lydite.api.score.verify import score_verify
from lydite.api.search import search
from lydite.api.serve import serve
from lydite.api.simulate import simulate
from lydite.api.sweep import sweep
from lydite.api.tune.compare import tune_compare
from lydite.api.tune.expect import tune_expect
from lydite.api.tune.logs import tune_export, tune_import
from lydite.api.tune.model import tune
from lydite.api.tune.op import tune_op
from lydite.api.turning_point import turning_point
from lydite.api.validate import validate
from lydite.api.validate_steps import validate_steps
from lydite.compat.aisim.verb import aisim
from lydite.compat.scalesim.verb import scalesim
from lydite.compat.smaug.command.verb import smaug

__all__ = [
    "aisim",
    "bench",
    "calibrate",
    "chip",
    "collective",
    "corun",
    "coverage",
    "db_export",
    "db_import",
    "db_merge",
    "db_query",
    "db_stats",
    "demo",
    "doctor",
    "farm_drain",
    "farm_profile",
    "farm_status",
    "farm_worker",
    "inspect",
    "learn_evaluate",
    "learn_fit",
    "load",
    "mlperf_audit",
    "mlperf_build",
    "mlperf_calibrate",
    "mlperf_check",
    "mlperf_explain",
    "mlperf_peak",
    "mlperf_preprocess",
    "mlperf_run",
    "mlperf_submission",
    "mlperf_tune",
    "models",
    "monitor",
    "ops",
    "place",
    "predict",
    "profile",
    "profile_plan",
    "profile_planned",
    "record",
    "run",
    "runs",
    "scalesim",
    "score",
    "score_board",
    "score_compare",
    "score_verify",
    "search",
    "serve",
    "simulate",
    "smaug",
    "sweep",
    "tune",
    "tune_compare",
    "tune_expect",
    "tune_export",
    "tune_import",
    "tune_op",
    "turning_point",
    "validate",
    "validate_steps",
]
