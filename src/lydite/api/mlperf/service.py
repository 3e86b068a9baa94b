"""Service times of a run in virtual time: estimated, stated, or recorded."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lydite.api.mlperf.benchmark import Target
from lydite.errors import InputError
from lydite.mlperf import tokens
from lydite.mlperf.child import ISSUED, SERVICE
from lydite.mlperf.engine import sizes_up_to
from lydite.mlperf.served import ServedTokens, lengths_of
from lydite.mlperf.service import Service, drawn, of_sizes
from lydite.mlperf.settings import Settings
from lydite.mlperf.tokens import TokenService
from lydite.units import parse_quantity

if TYPE_CHECKING:
    from lydite.api.session import Session

_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
_BATCHES = ("batch_size", "batch_delay_us", "workers")
_STATED = re.compile(r"^(?:(\d+):)?([^+±]+?)(?:\+-|±)?(\d+(?:\.\d+)?%)?$")


def service_of(
    session: Session,
    target: Target,
    settings: Settings,
    *,
    on: str,
    stated: str | None,
    replay: Path | None,
) -> Service | TokenService | ServedTokens:
    """Service times of all batch sizes that the run may form.

    Args:
        session: Session.
        target: What is run.
        settings: Its settings.
        on: Device to estimate for.
        stated: Times as text, such as "1.2ms", "1:1ms,8:4ms" or "1.2ms±5%"; of tokens
            "ttft=300ms,tpot=20ms,tokens=250", or a CSV file with a row for each sample.
        replay: Folder of a run under LoadGen whose batches are to be replayed.

    Raises:
        InputError: times that cannot be read, no model, or an operator without an estimate.
    """
    largest = settings.largest_batch
    if settings["tokens"]:
        if stated is None and replay is None and target.model:
            return _served(session, target, settings, on)
        return token_service(target, stated, replay)
    if replay is not None:
        return recorded(replay, largest)
    if stated is not None:
        return _stated(stated, largest, session.seed)
    return _estimated(session, target, settings, on)


def _served(session: Session, target: Target, settings: Settings, on: str) -> ServedTokens:
    """The benchmark's model, served by vLLM's rules on the fewest devices that hold it.

    Raises:
        InputError: the lengths of its samples are not known, or the model fits nowhere.
    """
    from lydite.api.serving.whole import replicas_of, usual_deployment

    prompt, output, told = lengths_of(target.name, settings["samples"] or 1024, session.seed)
    given = [name for name in _BATCHES if settings.values[name].origin == "command line"]
    if given:
        words = ", ".join("--" + name.replace("_", "-") for name in given)
        raise InputError(
            f"{words} has no effect: the runtime's scheduler forms the batches of tokens",
            hint="--service ttft=300ms,tpot=20ms,tokens=250 states times instead",
        )
    precision = settings["precision"]
    dtype = None if precision == "fp32" else _DTYPES.get(precision, precision)
    deployer, part = usual_deployment(session, target.model, on, prompt, output, dtype)
    source = (
        f"simulated: {deployer.runtime.says} on {part.devices} x {deployer.device.name} in "
        f"{deployer.dtype}; {told}"
    )
    return ServedTokens(replicas_of(deployer, part), prompt, output, source)


def token_service(target: Target, stated: str | None, replay: Path | None) -> TokenService:
    """Times of tokens: recorded, or stated as text or as a CSV file.

    Raises:
        InputError: there are none, or they cannot be read.
    """
    if replay is not None:
        return tokens.recorded(replay)
    example = "--service ttft=300ms,tpot=20ms,tokens=250, and --workers for the samples at once"
    if stated is None:
        raise InputError(
            f"{target.name} counts tokens, whose times have to be stated", hint=example
        )
    if Path(stated).is_file():
        return tokens.from_csv(Path(stated))
    pairs = [part.strip().partition("=") for part in stated.split(",")]
    given = {name: value for name, _, value in pairs}
    if set(given) != {"ttft", "tpot", "tokens"} or not given["tokens"].isdigit():
        raise InputError(f"'{stated}' states no times of tokens", hint=example)
    first, further = (round(parse_quantity(given[n], "s") * 1e9) for n in ("ttft", "tpot"))
    return tokens.stated(first, further, int(given["tokens"]))


def recorded(folder: Path, largest: int) -> Service:
    """Times of the batches of a run under LoadGen, in their order, with what workers were late.

    Raises:
        InputError: the folder holds none.
    """
    path = folder / SERVICE
    if not path.is_file():
        raise InputError(
            f"holds no {SERVICE}", where=str(folder), hint="the folder of a run by lydite mlperf"
        )
    try:
        batches = np.load(path, allow_pickle=False)
        sizes, times = batches[:, 0].astype(np.int64), batches[:, 1:].sum(axis=1, dtype=np.int64)
    except (ValueError, IndexError, OSError) as error:
        raise InputError(f"is no record of batches: {error}", where=str(path)) from None
    by_size = {int(size): times[sizes == size] for size in np.unique(sizes)}
    made = of_sizes(by_size, largest, "recorded")
    return replace(made, issued_ns=_issued(folder))


def _issued(folder: Path) -> np.ndarray | None:
    try:
        issued = np.load(folder / ISSUED, allow_pickle=False).astype(np.int64).ravel()
    except (OSError, ValueError):
        return None
    return issued if len(issued) else None


def _stated(text: str, largest: int, seed: int) -> Service:
    medians: dict[int, float] = {}
    spread = 0.0
    for part in text.split(","):
        match = _STATED.match(part.strip())
        if match is None:
            raise InputError(
                f"'{part}' is no service time", allowed="1.2ms, 1:1ms,8:4ms or 1.2ms±5%"
            )
        medians[int(match[1] or 1)] = parse_quantity(match[2].strip(), "s")
        if match[3]:
            spread = float(match[3].rstrip("%")) / 100
    if set(medians) == {1} and largest > 1:
        medians[largest] = medians[1] * largest  # a batch is as many samples one after the other
    return drawn(medians, spread, largest, seed)


def _estimated(session: Session, target: Target, settings: Settings, on: str) -> Service:
    if not target.model:
        raise InputError(
            f"no model of the set is {target.name}",
            hint="give a model or a file, or state times with --service",
        )
    dtype = _DTYPES.get(settings["precision"], settings["precision"])
    seconds: dict[int, list[int]] = {}
    for size in sizes_up_to(settings.largest_batch):
        found = session.predict(
            target.model,
            on=on,
            backend=settings["backend"],
            threads=settings["threads"],
            batch=size,
            dtype=dtype,
            dim=target.dims,
        )
        if not found.complete:
            raise InputError(
                f"not every operator of {target.model} has an estimate on {on}",
                hint=f"lydite predict {target.model} --on {on}",
            )
        seconds[size] = [round(found.seconds * 1e9)]
    return of_sizes(seconds, settings.largest_batch, "estimated")
