"""The modules of transformers and diffusers: equal parameters, FLOPs and outputs."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest

from lydite.graph import Graph, Initializer, model_to_proto
from lydite.models import diffusion
from lydite.models.bert import bert
from lydite.models.counts import multiply_adds
from lydite.models.dimensions_encoders import Encoder
from lydite.models.huggingface import TYPES, graph_from_config, read_config

torch = pytest.importorskip("torch")
hf = pytest.importorskip("transformers")
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

NETS = {
    "gpt2": ("GPT2Config", "GPT2LMHeadModel"),
    "opt": ("OPTConfig", "OPTForCausalLM"),
    "llama": ("LlamaConfig", "LlamaForCausalLM"),
    "mistral": ("MistralConfig", "MistralForCausalLM"),
    "mixtral": ("MixtralConfig", "MixtralForCausalLM"),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM"),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM"),
    "olmo2": ("Olmo2Config", "Olmo2ForCausalLM"),
    "starcoder2": ("Starcoder2Config", "Starcoder2ForCausalLM"),
    "phi": ("PhiConfig", "PhiForCausalLM"),
    "stablelm": ("StableLmConfig", "StableLmForCausalLM"),
    "smollm3": ("SmolLM3Config", "SmolLM3ForCausalLM"),
    "bert": ("BertConfig", "BertModel"),
    "vit": ("ViTConfig", "ViTForImageClassification"),
    "clip_text_model": ("CLIPTextConfig", "CLIPTextModelWithProjection"),
    "clip_vision_model": ("CLIPVisionConfig", "CLIPVisionModelWithProjection"),
}
"""Config and module by model_type."""

VISION = ("vit", "clip_vision_model")
OTHERS = ("bert", *VISION, "clip_text_model")

_LAYERS = {
    "hidden_size": 32,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
_SMALL = {**_LAYERS, "vocab_size": 99, "bos_token_id": 1, "eos_token_id": 98}
_ENCODER = {
    "layers": 2,
    "hidden": 32,
    "heads": 4,
    "feed_forward": 80,
    "vocabulary": 99,
    "positions": 512,
}
TINY = {
    "gpt2": {
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "vocab_size": 99,
        "bos_token_id": 1,
        "eos_token_id": 98,
    },
    "opt": {**_SMALL, "ffn_dim": 80, "word_embed_proj_dim": 32},
    "llama": {**_SMALL, "num_key_value_heads": 2, "head_dim": 8, "attention_bias": True},
    "mistral": {**_SMALL, "num_key_value_heads": 2, "head_dim": 16},
    "mixtral": {**_SMALL, "num_key_value_heads": 2},
    "qwen2": {**_SMALL, "num_key_value_heads": 1, "tie_word_embeddings": True},
    "qwen3": {**_SMALL, "num_key_value_heads": 2, "head_dim": 16},
    "olmo2": {**_SMALL, "num_key_value_heads": 2},
    "starcoder2": {**_SMALL, "num_key_value_heads": 2},
    "phi": _SMALL,
    "stablelm": {**_SMALL, "num_key_value_heads": 2, "use_qkv_bias": True},
    "smollm3": {**_SMALL, "num_key_value_heads": 2, "pad_token_id": 0},
    "bert": _SMALL,
    "vit": {**_LAYERS, "image_size": 32, "patch_size": 8, "num_labels": 5},
    "clip_text_model": {**_SMALL, "projection_dim": 24},
    "clip_vision_model": {**_LAYERS, "image_size": 32, "patch_size": 8, "projection_dim": 24},
}
TINY["opt"].pop("intermediate_size")


def made(model_type: str, **fields):
    """Config and module, without weights on the meta device and with drawn ones elsewhere."""
    config, module = (getattr(hf, name) for name in NETS[model_type])
    config = config(**fields)
    return config, module(config).eval()


def inputs_of(graph: Graph) -> dict[str, np.ndarray]:
    """Numbers by input name; token ids end with the highest, no mask hides anything."""
    rng = np.random.default_rng(0)
    found: dict[str, np.ndarray] = {}
    for name in graph.inputs:
        type_ = graph.type_of(name)
        if name == "input_ids":
            found[name] = rng.integers(2, 98, type_.shape)
            found[name][:, -1] = 98
        elif type_.dtype == "int64":
            found[name] = np.full(type_.shape, name == "attention_mask", np.int64)
        else:
            found[name] = rng.standard_normal(type_.shape).astype(np.float32)
    return found


def called_parameters(net, *args, **kwargs):
    """Parameters in the order in which a forward pass uses them, and what the pass gives."""
    seen: dict[int, tuple[np.ndarray, bool]] = {}

    def record(module, *_):
        for parameter in module.parameters(recurse=False):
            linear = isinstance(module, torch.nn.Linear)
            seen.setdefault(id(parameter), (parameter.detach().numpy(), linear))

    hooks = [module.register_forward_hook(record) for module in net.modules()]
    with torch.no_grad():
        result = net(*args, **kwargs)
    for hook in hooks:
        hook.remove()
    return list(seen.values()), result


def with_weights(graph: Graph, theirs: list[tuple[np.ndarray, bool]]) -> Graph:
    """The graph with their weights: each of ours takes the next of theirs that fits it."""
    given = dict(graph.initializers)
    left = list(theirs)
    for name in graph.parameters:
        shape, reader = graph.type_of(name).shape, graph.consumers[name][0].op_type
        for index, (array, linear) in enumerate(left):
            turned = array.T if linear and reader == "MatMul" and array.ndim == 2 else array
            if np.squeeze(turned).shape == tuple(dim for dim in shape if dim != 1):
                given[name] = Initializer(graph.type_of(name), value=turned.reshape(shape).copy())
                del left[index]
                break
        else:
            raise AssertionError(f"nothing fits {name} {shape}")
    assert not left
    return replace(graph, initializers=given)


def interleaved(graph: Graph) -> Graph:
    """Rows of gate and up in turn, as ONNX Runtime's MoE reads them, not one after the other."""
    given = dict(graph.initializers)
    for name, init in given.items():
        if name.startswith("experts.gate_up"):
            experts, rows, hidden = init.type.shape
            halves = init.value.reshape(experts, 2, rows // 2, hidden)
            value = halves.swapaxes(1, 2).reshape(init.value.shape).copy()
            given[name] = Initializer(init.type, value=value)
    return replace(graph, initializers=given)


def run(graph: Graph, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    model = model_to_proto(graph).SerializeToString()
    return ort.InferenceSession(model, options, ["CPUExecutionProvider"]).run(None, inputs)


def lively(net):
    """Random parameters large enough that every one of them matters."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            shift = 1 if "norm" in name.lower() and name.endswith("weight") else 0
            fan_in = parameter[0].numel()
            scale = (2 / fan_in) ** 0.5 if parameter.ndim > 1 else 0.2
            parameter.normal_(shift, scale, generator=generator)
    return net


def their_outputs(model_type: str, result) -> list:
    if model_type == "bert":
        return [result.last_hidden_state, result.pooler_output]
    if model_type == "clip_text_model":
        return [result.text_embeds]
    return [result.image_embeds if model_type == "clip_vision_model" else result.logits]


@pytest.mark.parametrize("model_type", NETS)
def test_equal_weights_give_equal_outputs(model_type, tmp_path):
    config, net = made(model_type, **TINY[model_type])
    config.save_pretrained(tmp_path)
    options = {} if model_type in VISION else {"sequence": 9}
    options |= {} if model_type in OTHERS else {"phase": "forward"}
    graph = graph_from_config(tmp_path, batch=2, **options)
    inputs = inputs_of(graph)
    names = {"image": "pixel_values"}
    theirs = {names.get(name, name): torch.tensor(array) for name, array in inputs.items()}
    parameters, result = called_parameters(lively(net), **theirs)
    graph = interleaved(with_weights(graph, parameters))
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())
    for ours, expected in zip(run(graph, inputs), their_outputs(model_type, result), strict=True):
        assert_equal(ours, expected)


SCORED = {
    "BigBirdForMaskedLM": {"block_size": 1, "num_random_blocks": 1},
    "DiffLlamaForCausalLM": {"num_key_value_heads": 2},
    "ElectraForMaskedLM": {"embedding_size": 24},
    "MegatronBertForMaskedLM": {},
    "RemBertForMaskedLM": {"input_embedding_size": 24, "output_embedding_size": 16},
    "RoCBertForMaskedLM": {"pronunciation_embed_dim": 24, "shape_embed_dim": 40},
    "RoFormerForMaskedLM": {"embedding_size": 24},
    "XLMWithLMHeadModel": {"emb_dim": 32, "n_layers": 2, "n_heads": 4, "n_langs": 3},
    "XmodForMaskedLM": {"languages": ["en"], "default_language": "en", "pad_token_id": 1},
}


@pytest.mark.parametrize("name", SCORED)
def test_equal_weights_give_equal_scores(name, tmp_path):
    stem = re.sub("(For|With|LMHead)[A-Z].*", "", name)
    config = getattr(hf, f"{stem}Config")(**{**_SMALL, "pad_token_id": 0, **SCORED[name]})
    config._attn_implementation = "eager"
    net = getattr(hf, name)(config).eval()
    path = tmp_path / "config.json"
    document = json.loads(config.to_json_string(use_diff=False))
    path.write_text(json.dumps({**document, "architectures": [name]}))
    options = {"phase": "forward"} if name.endswith("CausalLM") else {}
    graph = graph_from_config(path, batch=2, sequence=9, **options)
    inputs = inputs_of(graph)
    theirs = {name: torch.tensor(array) for name, array in inputs.items()}
    parameters, result = called_parameters(lively(net), **theirs)
    assert_equal(run(with_weights(graph, parameters), inputs)[0], result.logits)


def test_attention_by_distance_and_segment_is_that_of_xlnet(tmp_path):
    fields = {"d_model": 32, "n_layer": 1, "n_head": 4, "d_inner": 80, "vocab_size": 99}
    net = lively(hf.XLNetLMHeadModel(hf.XLNetConfig(**fields)).eval())
    path = tmp_path / "config.json"
    path.write_text(net.config.to_json_string(use_diff=False))
    document = {**json.loads(path.read_text()), "architectures": ["XLNetLMHeadModel"]}
    path.write_text(json.dumps(document))
    graph = graph_from_config(path, batch=2, sequence=9)
    inputs = inputs_of(graph)
    inputs["token_type_ids"][:, 4:] = 1
    theirs = {name: torch.tensor(array) for name, array in inputs.items()}
    arrays = {name: p.detach().numpy() for name, p in net.named_parameters()}
    part = {name.rpartition(".")[2]: a for name, a in arrays.items() if "rel_attn" in name}
    matrices = [part[name].reshape(32, 32) for name in "qkvr"]
    attention = [
        *matrices,
        part["r_w_bias"],
        part["r_r_bias"],
        part["seg_embed"].transpose(1, 2, 0),
        part["r_s_bias"],
        part["o"].reshape(32, 32).T,
    ]
    layer = "transformer.layer.0"
    rest = ["rel_attn.layer_norm", "ff.layer_1", "ff.layer_2", "ff.layer_norm"]
    given = [arrays["transformer.word_embedding.weight"], arrays["transformer.mask_emb"].ravel()]
    given += attention
    for name in rest:
        weight, bias = arrays[f"{layer}.{name}.weight"], arrays[f"{layer}.{name}.bias"]
        given += [weight.T if weight.ndim == 2 else weight, bias]
    given.append(arrays["lm_loss.bias"])
    values = {
        name: Initializer(graph.type_of(name), value=array.copy())
        for name, array in zip(graph.parameters, given, strict=True)
    }
    assert all(graph.type_of(name).shape == init.value.shape for name, init in values.items())
    graph = replace(graph, initializers={**graph.initializers, **values})
    with torch.no_grad():
        result = net(**theirs)
    assert_equal(run(graph, inputs)[0], result.logits)


def test_streams_that_guess_ahead_are_those_of_prophetnet(tmp_path):
    """But for scores of distances, which transformers mixes up between tokens, streams and heads.

    (`get_predict_relative_pos_embeddings` puts the axes in one order and reads them in another.)
    They are made equal for all of these here.
    """
    sides = {
        f"num_{side}_{what}": count
        for side in ("encoder", "decoder")
        for what, count in (("layers", 2), ("attention_heads", 4))
    }
    widths = {"hidden_size": 32, "encoder_ffn_dim": 48, "decoder_ffn_dim": 80, "vocab_size": 99}
    config = hf.ProphetNetConfig(**sides, **widths, max_position_embeddings=20, ngram=3)
    net = lively(hf.ProphetNetForConditionalGeneration(config).eval())
    for layer in net.prophetnet.decoder.layers:
        scores = layer.self_attn.relative_pos_embeddings
        scores.weight.data.zero_()
        scores.bias.data = scores.bias.data.view(-1, 4)[:, :1].repeat(1, 4).flatten()
    path = tmp_path / "config.json"
    path.write_text(config.to_json_string(use_diff=False))
    graph = graph_from_config(path, batch=2, sequence=9, phase="forward")
    rng = np.random.default_rng(0)
    inputs = {name: rng.integers(2, 98, (2, 9)) for name in graph.inputs}
    theirs = {name: torch.tensor(array) for name, array in inputs.items()}
    parameters, result = called_parameters(net, **theirs, use_cache=False)
    kinds = net.prophetnet.decoder.ngram_embeddings.weight.detach().numpy()
    streams = (np.roll(kinds, 1, axis=0), False)  # the last row is that of the first stream
    assert_equal(run(with_weights(graph, [streams, *parameters]), inputs)[0], result.logits)


def test_a_prompt_before_the_text_is_that_of_cpm_ant(tmp_path):
    """But for which row is taken of three tables, whose rows are made equal here."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "dim_head": 16}
    prompts = {"prompt_length": 4, "prompt_types": 3, "segment_types": 3}
    config = hf.CpmAntConfig(**sizes, **prompts, dim_ff=80, vocab_size=99)
    net = lively(hf.CpmAntForCausalLM(config).eval())
    model = net.cpmant
    words, segments = model.input_embedding.weight.data, model.segment_embedding.weight.data
    words[99:] = words[99:103].repeat(3, 1)
    for table in (segments, model.position_bias.relative_attention_bias.data):
        table[:] = table[0].clone()
    path = tmp_path / "config.json"
    path.write_text(config.to_json_string(use_diff=False))
    graph = graph_from_config(path, batch=2, sequence=9, phase="forward")
    inputs = inputs_of(graph)
    ids = torch.tensor(inputs["input_ids"])
    parameters, result = called_parameters(net, input_ids=ids, use_cache=False)
    assert_equal(run(with_weights(graph, parameters), inputs)[0], result.logits)


def test_attention_to_a_text_and_an_encoder_at_once_is_that_of_t5gemma2(tmp_path):
    """But for factors of scores and embeddings, which are none here; norms there add one."""
    from transformers.models.t5gemma2 import modeling_t5gemma2 as t5gemma2

    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
    side = {**_LAYERS, **heads, "vocab_size": 99, "query_pre_attn_scalar": 16}
    encoder = {"text_config": side, "vision_config": _LAYERS}
    config = hf.T5Gemma2Config(encoder=encoder, decoder=side)
    config.decoder._attn_implementation = "eager"
    net = lively(t5gemma2.T5Gemma2Decoder(config.decoder).eval())
    words = net.embed_tokens
    words.embed_scale.fill_(1.0)
    words.eoi_embedding.data = words.weight.data[98].clone()
    path = tmp_path / "config.json"
    path.write_text(config.to_json_string(use_diff=False))
    graph = graph_from_config(path, batch=2, sequence=9, phase="forward")
    inputs = inputs_of(graph)
    ids, states = (torch.tensor(inputs[name]) for name in ("input_ids", "cross_states"))
    parameters, result = called_parameters(net, input_ids=ids, encoder_hidden_states=states)
    parameters = [
        (a + (a.ndim == 1 and not np.array_equal(a, words.eoi_embedding.detach())), linear)
        for a, linear in parameters
    ]
    expected = (result.last_hidden_state @ words.weight.T).detach()
    assert_equal(run(with_weights(graph, parameters), inputs)[0], expected)


def test_the_question_answering_head_of_bert():
    net = hf.BertForQuestionAnswering(hf.BertConfig(**_SMALL)).eval()
    graph = bert(Encoder(**_ENCODER, head="answer"), batch=2, sequence=7)
    inputs = inputs_of(graph)
    theirs = {name: torch.tensor(array) for name, array in inputs.items()}
    parameters, result = called_parameters(lively(net), **theirs)
    outputs = run(with_weights(graph, parameters), inputs)
    for ours, expected in zip(outputs, (result.start_logits, result.end_logits), strict=True):
        assert_equal(ours, expected)


def test_ernie_adds_an_embedding_of_the_task():
    fields = {**_SMALL, "use_task_id": True, "task_type_vocab_size": 3, "type_vocab_size": 4}
    net = hf.ErnieModel(hf.ErnieConfig(**fields)).eval()
    graph = bert(Encoder(**_ENCODER, token_types=4, task_types=3), batch=2, sequence=7)
    inputs = inputs_of(graph)
    inputs["task_type_ids"][:] = 2
    inputs["token_type_ids"][1, 3:] = 1
    theirs = {name: torch.tensor(array) for name, array in inputs.items()}
    parameters, result = called_parameters(lively(net), **theirs)
    outputs = run(with_weights(graph, parameters), inputs)
    assert_equal(outputs[0], result.last_hidden_state)
    assert_equal(outputs[1], result.pooler_output)


@pytest.mark.parametrize("model_type", NETS)
def test_the_library_s_own_config_has_its_parameters_and_flops(model_type, tmp_path):
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"):
            config, net = made(model_type)
    finally:
        torch.set_default_dtype(torch.float32)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config.to_dict()))
    options = {} if model_type in VISION else {"sequence": 48}
    options |= {} if model_type in OTHERS else {"phase": "forward"}
    graph = graph_from_config(path, batch=2, **options)
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())
    if model_type == "mixtral":  # FlopCounterMode does not know the usual grouped product
        net.set_experts_implementation("batched_mm")
    image = torch.zeros(2, 3, 224, 224, device="meta", dtype=torch.bfloat16)
    ids = torch.zeros(2, 48, device="meta", dtype=torch.int64)
    given = {"pixel_values": image} if model_type in VISION else {"input_ids": ids}
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(**given)
    assert 2 * multiply_adds(graph) == pytest.approx(counter.get_total_flops(), rel=5e-3)


WITH_UNREAD = {"longcat_flash"}
"""Types whose module has parameters that nothing reads; see `test_models_active`."""
SEEING = {"emu3", "fuyu", "gemma3", "git", "got_ocr2", "moss_transcribe_diarize", "phi4_multimodal"}


def causal_types() -> list[str]:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    known = {*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES} & {*TYPES}
    return sorted(known - WITH_UNREAD - SEEING)


@pytest.mark.parametrize("model_type", causal_types())
def test_parameters_are_those_of_the_module(model_type, tmp_path):
    """Each type's default config, whose module is made on the meta device."""
    try:
        config = hf.AutoConfig.for_model(model_type)
        with torch.device("meta"):
            net = hf.AutoModelForCausalLM.from_config(config)
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        pytest.skip(f"transformers cannot make its own default: {type(error).__name__}")
    path = tmp_path / "config.json"
    document = {**json.loads(config.to_json_string(use_diff=False))}
    path.write_text(json.dumps({**document, "architectures": [type(net).__name__]}))
    options = {} if "phase" not in read_config(path).options else {"phase": "forward"}
    graph = graph_from_config(path, sequence=1, **options)
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())


_MEDIUM = {
    "hidden_size": 256,
    "intermediate_size": 640,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 999,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MEDIUM = {
    "bitnet": {},
    "gemma3n_text": {
        "head_dim": 64,
        "vocab_size_per_layer_input": 999,
        "hidden_size_per_layer_input": 32,
        "num_kv_shared_layers": 2,
        "laurel_rank": 16,
        "layer_types": ["sliding_attention", "full_attention"] * 3,
        "intermediate_size": [640, 640, 512, 512, 640, 640],
        "activation_sparsity_pattern": [0.95, 0.95, 0.0, 0.0, 0.0, 0.0],
    },
    "granite_swa": {},
    "hyperclovax": {"head_dim": 64, "use_post_norm": True},
    "lfm3": {"head_dim": 64, "layer_types": ["conv", "full_attention", "sliding_attention"] * 2},
}


@pytest.mark.parametrize("model_type", MEDIUM)
def test_parts_that_few_families_have_do_the_work_of_the_module(model_type, tmp_path):
    config = hf.AutoConfig.for_model(model_type, **{**_MEDIUM, **MEDIUM[model_type]})
    # FlopCounterMode does not know the fused attention of a CPU
    net = hf.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config.to_dict()))
    graph = graph_from_config(path, batch=2, sequence=8, phase="forward")
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(input_ids=torch.ones(2, 8, dtype=torch.int64), use_cache=False)
    assert 2 * multiply_adds(graph) == pytest.approx(counter.get_total_flops(), rel=5e-3)


ENCODERS = {
    "RobertaConfig": ["RobertaForMaskedLM", "RobertaModel"],
    "BertConfig": [
        "BertForMaskedLM",
        "BertForSequenceClassification",
        "BertForTokenClassification",
    ],
    "DistilBertConfig": ["DistilBertForMaskedLM", "DistilBertModel"],
    "T5Config": ["T5ForConditionalGeneration"],
    "BartConfig": ["BartModel"],
    "WhisperConfig": ["WhisperForConditionalGeneration"],
    "ViTConfig": ["ViTModel", "ViTForImageClassification"],
    "CLIPConfig": ["CLIPModel"],
    "SiglipConfig": ["SiglipModel"],
}


@pytest.mark.parametrize(
    ("config", "module"), [(c, module) for c, modules in ENCODERS.items() for module in modules]
)
def test_parameters_of_encoders_and_heads(config, module, tmp_path):
    made = getattr(hf, config)()
    with torch.device("meta"):
        net = getattr(hf, module)(made)
    path = tmp_path / "config.json"
    document = json.loads(made.to_json_string(use_diff=False))
    path.write_text(json.dumps({**document, "architectures": [module]}))
    assert graph_from_config(path).parameter_count == sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("name", ["Bert", "DistilBert", "Electra", "RoFormer", "BigBird", "XLM"])
def test_scores_of_a_weight_of_their_own(name, tmp_path):
    made = getattr(hf, f"{name}Config")(tie_word_embeddings=False)
    module = "XLMWithLMHeadModel" if name == "XLM" else f"{name}ForMaskedLM"
    with torch.device("meta"):
        net = getattr(hf, module)(made)
    path = tmp_path / "config.json"
    document = json.loads(made.to_json_string(use_diff=False))
    path.write_text(json.dumps({**document, "architectures": [module]}))
    graph = graph_from_config(path, sequence=4)
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())


TOWERS = {
    "Qwen2VLConfig": ("qwen2_vl", "Qwen2VisionTransformerPretrainedModel"),
    "Qwen2_5_VLConfig": ("qwen2_5_vl", "Qwen2_5_VisionTransformerPretrainedModel"),
    "Qwen3VLConfig": ("qwen3_vl", "Qwen3VLVisionModel"),
}


@pytest.mark.parametrize("config", TOWERS)
def test_image_towers_by_part(config, tmp_path):
    from importlib import import_module

    name, module = TOWERS[config]
    made = getattr(hf, config)()
    package = import_module(f"transformers.models.{name}.modeling_{name}")
    with torch.device("meta"):
        net = getattr(package, module)(made.vision_config)
    path = tmp_path / "config.json"
    path.write_text(made.to_json_string(use_diff=False))
    graph = graph_from_config(path, part="vision")
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())
    assert graph_from_config(path, sequence=1, phase="forward").parameter_count > 0


def test_the_u_net_is_that_of_diffusers(monkeypatch):
    nets = pytest.importorskip("diffusers")
    widths = (32, 64, 64, 64)
    monkeypatch.setattr(diffusion, "_WIDTHS", widths)
    net = nets.UNet2DConditionModel(
        sample_size=8, cross_attention_dim=768, attention_head_dim=8, block_out_channels=widths
    ).eval()
    graph = diffusion.unet(2, 64, 5, "float32")
    inputs = {**inputs_of(graph), "timestep": np.array([3, 801], np.float32)}
    theirs = [torch.tensor(inputs[name]) for name in ("latents", "timestep", "text")]
    parameters, result = called_parameters(lively(net), *theirs)
    assert_equal(run(with_weights(graph, parameters), inputs)[0], result.sample)


def test_the_decoder_of_latents_is_that_of_diffusers(monkeypatch):
    nets = pytest.importorskip("diffusers")
    monkeypatch.setattr(diffusion, "_DECODER_WIDTHS", (64, 64, 64, 32))
    net = nets.AutoencoderKL(
        block_out_channels=(32, 64, 64, 64),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
    ).eval()
    net.forward = net.decode
    graph = diffusion.vae_decoder(2, 64, "float32")
    inputs = inputs_of(graph)
    parameters, result = called_parameters(lively(net), torch.tensor(inputs["latents"]))
    outputs = run(with_weights(graph, parameters), inputs)
    assert outputs[0].shape == (2, 3, 64, 64)
    assert_equal(outputs[0], result.sample)


def assert_equal(ours: np.ndarray, theirs) -> None:
    scale = np.abs(theirs.numpy()).max()
    assert theirs.numpy().std() > 0.01 * scale
    np.testing.assert_allclose(ours / scale, theirs.numpy() / scale, atol=1e-4)
