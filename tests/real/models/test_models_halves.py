"""Encoders, decoders that attend to one, and both together, against transformers' modules."""

from __future__ import annotations

import json
import re

import pytest

from lydite.models.counts import multiply_adds
from lydite.models.huggingface import graph_from_config

torch = pytest.importorskip("torch")
hf = pytest.importorskip("transformers")
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

BATCH = 2

_SIDES = {
    "d_model": 64,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_ffn_dim": 96,
    "decoder_ffn_dim": 80,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "vocab_size": 99,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": 2,
    "max_position_embeddings": 64,
}
_DECODERS = {
    "bert": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "vocab_size": 99,
        "is_decoder": True,
        "add_cross_attention": True,
    }
}
"""Fields of decoders that are called otherwise."""
SEQUENCES = [
    *(
        f"{name}For{head}"
        for name in (
            "Bart",
            "BigBirdPegasus",
            "Blenderbot",
            "BlenderbotSmall",
            "MBart",
            "Mvp",
            "Pegasus",
            "PLBart",
        )
        for head in ("ConditionalGeneration", "CausalLM")
    ),
    "M2M100ForConditionalGeneration",
    "MarianMTModel",
    "MarianForCausalLM",
    "TrOCRForCausalLM",
]


@pytest.mark.parametrize("name", SEQUENCES)
def test_both_halves_and_decoders_alone_do_the_work_of_the_module(name, tmp_path):
    stem = name.partition("For")[0].removesuffix("MTModel")
    config = getattr(hf, f"{stem}Config")(**_SIDES)
    config._attn_implementation = "eager"
    net = getattr(hf, name)(config).eval()
    path = tmp_path / "config.json"
    document = json.loads(config.to_json_string(use_diff=False))
    path.write_text(json.dumps({**document, "architectures": [name]}))
    graph = graph_from_config(path, batch=BATCH, sequence=12, phase="forward")
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())
    ids = torch.ones(BATCH, 12, dtype=torch.int64)
    width = getattr(config, "cross_attention_hidden_size", None) or 64
    states = {"encoder_hidden_states": torch.zeros(BATCH, 12, width)}
    half = name.endswith("CausalLM")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(input_ids=ids, use_cache=False, **(states if half else {"decoder_input_ids": ids}))
    assert 2 * multiply_adds(graph) == counter.get_total_flops()
    assert ("encoder_states" in graph.inputs) == half


@pytest.mark.parametrize(("tokens", "bias"), [(28, False), (29, True), (32, False)])
def test_blocks_of_the_encoder_attend_to_some_others_in_long_texts_alone(tokens, bias, tmp_path):
    blocks = {"block_size": 4, "num_random_blocks": 1, "use_bias": bias}
    config = hf.BigBirdPegasusConfig(**{**_SIDES, **blocks})
    config._attn_implementation = "eager"
    net = hf.BigBirdPegasusForConditionalGeneration(config).eval()
    path = tmp_path / "config.json"
    path.write_text(config.to_json_string(use_diff=False))
    graph = graph_from_config(path, batch=BATCH, sequence=tokens, phase="forward")
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())
    ids = torch.ones(BATCH, tokens, dtype=torch.int64)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(input_ids=ids, decoder_input_ids=ids, use_cache=False)
    assert 2 * multiply_adds(graph) == counter.get_total_flops()
    for phase, options in (("prefill", {}), ("decode", {"context": tokens})):
        assert graph_from_config(path, phase=phase, sequence=tokens, **options).ops


@pytest.mark.parametrize("name", ["bert", "pp_formulanet"])
def test_decoders_of_pictures_do_the_work_of_the_module(name, tmp_path):
    ids, states = torch.ones(BATCH, 12, dtype=torch.int64), torch.zeros(BATCH, 12, 64)
    if name == "bert":
        text = hf.BertConfig(**_DECODERS[name])
        config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(hf.ViTConfig(), text)
        text._attn_implementation = "eager"
        net = hf.BertLMHeadModel(text).eval()
        head = []
    else:
        from transformers.models.pp_formulanet import modeling_pp_formulanet as formula

        config = hf.AutoConfig.for_model(name, text_config=_SIDES)
        config.text_config._attn_implementation = "eager"
        net = formula.PPFormulaNetTextModel(config.text_config).eval()
        head = [torch.nn.Linear(64, config.text_config.vocab_size, bias=False)]
    path = tmp_path / "config.json"
    path.write_text(config.to_json_string(use_diff=False))
    graph = graph_from_config(path, batch=BATCH, sequence=12, phase="forward")
    theirs = sum(p.numel() for part in (net, *head) for p in part.parameters())
    assert graph.parameter_count == theirs
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        result = net(input_ids=ids, encoder_hidden_states=states, use_cache=False)
        for product in head:
            product(result.last_hidden_state)
    assert 2 * multiply_adds(graph) == counter.get_total_flops()
    assert graph_from_config(path, phase="decode", context=4).ops


@pytest.mark.parametrize("name", ["blip", "pix2struct"])
def test_decoders_of_captions_do_the_work_of_the_module(name, tmp_path):
    from transformers.models.blip import modeling_blip_text as blip
    from transformers.models.pix2struct import modeling_pix2struct as pix2struct

    fields = {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_layers": 2,
        "num_attention_heads": 4,
        "num_heads": 4,
        "d_kv": 16,
        "d_ff": 96,
        "intermediate_size": 96,
        "encoder_hidden_size": 48 if name == "blip" else 64,
        "vocab_size": 99,
    }
    tower = {"hidden_size": fields["encoder_hidden_size"], "num_attention_heads": 4}
    config = hf.AutoConfig.for_model(name, text_config=fields, vision_config=tower)
    text = config.text_config
    text._attn_implementation = "eager"
    made_of = {"blip": blip.BlipTextLMHeadModel, "pix2struct": pix2struct.Pix2StructTextModel}
    net = made_of[name](text).eval()
    path = tmp_path / "config.json"
    path.write_text(config.to_json_string(use_diff=False))
    graph = graph_from_config(path, batch=BATCH, sequence=12, phase="forward")
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())
    states = torch.zeros(BATCH, 12, fields["encoder_hidden_size"])
    ids = torch.ones(BATCH, 12, dtype=torch.int64)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(input_ids=ids, encoder_hidden_states=states, use_cache=False)
    assert 2 * multiply_adds(graph) == counter.get_total_flops()
    graph_from_config(path, phase="decode", context=4)


@pytest.mark.parametrize("decoder", ["bert", "trocr", "mbart"])
def test_a_decoder_of_pictures_is_the_text_part_of_both(decoder, tmp_path):
    """As in files of TrOCR and Donut, whose decoders attend to an encoder of pictures."""
    encoder = hf.ViTConfig(
        hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96
    )
    fields = {**_DECODERS.get(decoder, _SIDES), "is_decoder": True, "add_cross_attention": True}
    wide = {"cross_attention_hidden_size": 48} if decoder == "trocr" else {}
    half = hf.AutoConfig.for_model(decoder, **fields, **wide)
    config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, half)
    net = hf.VisionEncoderDecoderModel(config)
    path = tmp_path / "config.json"
    path.write_text(config.to_json_string(use_diff=False))
    graph = graph_from_config(path, sequence=4, phase="forward")
    assert graph.parameter_count == sum(p.numel() for p in net.decoder.parameters())
    image = graph_from_config(path, part="vision")
    classifier = image.type_of(image.outputs[0]).shape[-1] * 49
    assert image.parameter_count - classifier == sum(
        p.numel() for n, p in net.encoder.named_parameters() if "pooler" not in n
    )


_TEXT = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "vocab_size": 99,
    "embedding_size": 32,
    "input_embedding_size": 24,
    "output_embedding_size": 48,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "max_position_embeddings": 66,
}
ENCODERS = [
    "ElectraForMaskedLM",
    "ElectraForPreTraining",
    "ElectraForSequenceClassification",
    "ElectraModel",
    "RemBertForMaskedLM",
    "RemBertModel",
    "MegatronBertForMaskedLM",
    "MegatronBertModel",
    "RobertaPreLayerNormForMaskedLM",
    "XLMRobertaXLForMaskedLM",
    "Data2VecTextForMaskedLM",
    "RoFormerForMaskedLM",
    "BertGenerationEncoder",
    "BertGenerationDecoder",
    "BigBirdForCausalLM",
    "BigBirdForTokenClassification",
    "BigBirdModel",
    "RoCBertForMaskedLM",
    "RoCBertModel",
    "XLMModel",
    "XLMWithLMHeadModel",
    "XLNetLMHeadModel",
    "XmodForMaskedLM",
]
_OF = {
    "XLMWithLMHeadModel": {"n_langs": 3},
    "XLNetLMHeadModel": {
        **dict.fromkeys(("hidden_size", "num_attention_heads", "max_position_embeddings")),
        "d_model": 64,
        "n_head": 4,
        "d_inner": 96,
    },
    "XmodForMaskedLM": {"languages": ["a", "b", "c"], "default_language": "b"},
}
"""What is to be said of a few of them besides, or not to be said."""


def assert_encoder(net, config, path, tokens):
    """The graph of a config has the parameters of the module and does its work."""
    document = json.loads(config.to_json_string(use_diff=False))
    path.write_text(json.dumps({**document, "architectures": [type(net).__name__]}))
    graph = graph_from_config(path, batch=BATCH, sequence=tokens)
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())
    values = {"input_ids": 5, "attention_mask": 1}
    given = {name: torch.full((BATCH, tokens), values.get(name, 0)) for name in graph.inputs}
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(**given)
    assert 2 * multiply_adds(graph) == counter.get_total_flops()
    return graph


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_do_the_work_of_the_module(name, tmp_path):
    stem = re.sub("(For|With|LMHead)[A-Z].*", "", name)
    for ending in ("Model", "Encoder", "Decoder"):
        stem = stem.removesuffix(ending)
    fields = {k: v for k, v in (_TEXT | _OF.get(name, {})).items() if v is not None}
    config = getattr(hf, f"{stem}Config")(**fields)
    config._attn_implementation = "eager"
    net = getattr(hf, name)(config).eval()
    assert_encoder(net, config, tmp_path / "config.json", 12)


@pytest.mark.parametrize("tokens", [36, 37, 48])
@pytest.mark.parametrize("kind", ["block_sparse", "original_full"])
def test_blocks_of_tokens_attend_to_some_others_in_long_texts_alone(kind, tokens, tmp_path):
    """Of up to (5 + 2 random) blocks all attend to all; a longer text is filled up to blocks."""
    fields = {**_TEXT, "block_size": 4, "num_random_blocks": 2, "use_bias": False}
    config = hf.BigBirdConfig(**fields, attention_type=kind)
    net = hf.BigBirdForMaskedLM(config).eval()
    graph = assert_encoder(net, config, tmp_path / "config.json", tokens)
    gathers = any(op.op_type == "Pad" for op in graph.ops)
    assert gathers == (kind == "block_sparse" and tokens == 37)


def test_a_text_goes_through_the_products_of_one_language(tmp_path):
    fields = {**_TEXT, "languages": ["a", "b", "c"], "default_language": "b", "pre_norm": True}
    layouts = (
        {"adapter_layer_norm": True, "ln_before_adapter": False},
        {},
        {"adapter_reuse_layer_norm": False},
    )
    for layout in layouts:
        config = hf.XmodConfig(**fields, **layout)
        config._attn_implementation = "eager"
        net = hf.XmodForMaskedLM(config).eval()
        graph = assert_encoder(net, config, tmp_path / "config.json", 12)
        one = sum(p.numel() for name, p in net.named_parameters() if ".adapter_modules.b." in name)
        assert graph.parameter_count - graph.active_parameter_count == 2 * one
