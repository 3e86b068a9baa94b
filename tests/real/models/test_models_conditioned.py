"""Models that read more than the text before a token, against transformers' modules.

Each is compared in both its passes: over a text, and of one more token with what is cached.
"""

from __future__ import annotations

import pytest

import lydite as ly
from lydite.models.counts import multiply_adds
from lydite.models.huggingface import graph_from_config

torch = pytest.importorskip("torch")
hf = pytest.importorskip("transformers")
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

BATCH, TOKENS = 2, 12
IDS = torch.ones(BATCH, TOKENS, dtype=torch.int64)


def counted(net, **given):
    """FLOPs of a call, and what it gives."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        result = net(**given)
    return counter.get_total_flops(), result


def flops(path, phase: str, **options) -> int:
    return 2 * multiply_adds(graph_from_config(path, batch=BATCH, phase=phase, **options))


def written(config, folder):
    path = folder / "config.json"
    path.write_text(config.to_json_string(use_diff=False))
    return path


def test_a_prompt_is_read_before_the_text_and_cached_with_it(tmp_path):
    config = hf.CpmAntConfig(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        dim_head=16,
        dim_ff=96,
        vocab_size=99,
        prompt_length=4,
        prompt_types=3,
        segment_types=5,
        position_bias_num_buckets=16,
    )
    net, path = hf.CpmAntForCausalLM(config).eval(), written(config, tmp_path)
    graph = graph_from_config(path, batch=BATCH, sequence=TOKENS, phase="prefill")
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())
    kept = graph.type_of("present_key_0").shape
    assert kept == (BATCH, 4, TOKENS + 4, 16)
    whole, _ = counted(net, input_ids=IDS, use_cache=False)
    assert flops(path, "forward", sequence=TOKENS) == whole
    _, before = counted(net, input_ids=IDS[:, :-1], use_cache=True)
    step, _ = counted(net, input_ids=IDS, past_key_values=before.past_key_values, use_cache=True)
    assert flops(path, "decode", context=TOKENS - 1) == step


@pytest.mark.parametrize("resampled", [False, True])
def test_every_few_layers_attend_to_a_picture(resampled, tmp_path):
    tower = {"embed_dim": 48, "image_size": 28, "patch_size": 14, "num_hidden_layers": 1}
    fields = {
        "use_resampler": True,
        "qk_layer_norms": True,
        "cross_layer_interval": 2,
        "additional_vocab_size": 5,
    }
    config = hf.IdeficsConfig(
        hidden_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=96,
        vocab_size=99,
        vision_config={**tower, "num_attention_heads": 4, "intermediate_size": 64},
        perceiver_config={"resampler_n_latents": 7, "resampler_depth": 1},
        **(fields if resampled else {}),
    )
    config._attn_implementation = "eager"
    net, path = hf.IdeficsForVisionText2Text(config).eval(), written(config, tmp_path)
    graph = graph_from_config(path, batch=BATCH, sequence=TOKENS, phase="forward")
    seeing = ("vision_model", "perceiver_resampler")
    text = [p for name, p in net.named_parameters() if not any(part in name for part in seeing)]
    assert graph.parameter_count == sum(p.numel() for p in text)
    name, count = ("perceiver_embeddings", 7) if resampled else ("image_encoder_embeddings", 5)
    picture = {name: torch.zeros(BATCH, 1, count, 48)}
    seen = torch.ones(BATCH, TOKENS, 1, dtype=torch.int64)
    whole, before = counted(
        net, input_ids=IDS, use_cache=True, image_attention_mask=seen, **picture
    )
    assert 2 * multiply_adds(graph) == whole
    step, _ = counted(
        net,
        input_ids=IDS[:, :1],
        past_key_values=before.past_key_values,
        image_attention_mask=seen[:, :1],
        **picture,
    )
    assert flops(path, "decode", context=TOKENS) == step


def test_streams_guess_several_tokens_at_once(tmp_path):
    config = hf.ProphetNetConfig(
        hidden_size=64,
        num_encoder_layers=2,
        num_decoder_layers=2,
        encoder_ffn_dim=96,
        decoder_ffn_dim=80,
        num_encoder_attention_heads=4,
        num_decoder_attention_heads=4,
        vocab_size=99,
        max_position_embeddings=64,
        ngram=3,
    )
    net, path = hf.ProphetNetForConditionalGeneration(config).eval(), written(config, tmp_path)
    graph = graph_from_config(path, batch=BATCH, sequence=TOKENS, phase="forward")
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())
    whole, before = counted(net, input_ids=IDS, decoder_input_ids=IDS, use_cache=True)
    assert 2 * multiply_adds(graph) == whole
    with torch.no_grad():
        states = net.get_encoder()(IDS)
    step, _ = counted(
        net,
        encoder_outputs=states,
        decoder_input_ids=IDS[:, :1],
        past_key_values=before.past_key_values,
    )
    assert flops(path, "decode", context=TOKENS) == step
    assert graph_from_config(path, phase="prefill", sequence=TOKENS).parameter_count


def test_words_are_read_where_they_stand_on_a_page(tmp_path):
    config = hf.UdopConfig(
        d_model=64,
        d_kv=16,
        d_ff=96,
        num_layers=2,
        num_decoder_layers=3,
        num_heads=4,
        vocab_size=99,
        image_size=32,
        patch_size=8,
        max_2d_position_embeddings=50,
    )
    config._attn_implementation = "eager"
    net, path = hf.UdopForConditionalGeneration(config).eval(), written(config, tmp_path)
    graph = graph_from_config(path, batch=BATCH, sequence=TOKENS, phase="forward")
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())
    page = {
        "bbox": torch.full((BATCH, TOKENS, 4), 0.4),
        "pixel_values": torch.zeros(BATCH, 3, 32, 32),
    }
    whole, _ = counted(net, input_ids=IDS, decoder_input_ids=IDS, use_cache=False, **page)
    assert 2 * multiply_adds(graph) == whole
    with torch.no_grad():
        states = net.encoder(input_ids=IDS, **page)
        before = net(encoder_outputs=states, decoder_input_ids=IDS, use_cache=True)
    step, _ = counted(
        net,
        encoder_outputs=states,
        decoder_input_ids=IDS[:, :1],
        past_key_values=before.past_key_values,
    )
    assert flops(path, "decode", context=TOKENS) == step
    read = graph_from_config(path, sequence=TOKENS, phase="prefill", dtype="bfloat16")
    assert set(page) < set(read.inputs)


def test_a_text_and_an_encoder_s_states_are_attended_to_at_once(tmp_path):
    from transformers.models.t5gemma2 import modeling_t5gemma2 as t5gemma2

    side = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 7,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": 99,
        "sliding_window": 64,
    }
    tower = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    encoder = {"text_config": side, "vision_config": tower}
    config = hf.T5Gemma2Config(encoder=encoder, decoder=side)
    config.decoder._attn_implementation = "eager"
    net, path = t5gemma2.T5Gemma2Decoder(config.decoder).eval(), written(config, tmp_path)
    graph = graph_from_config(path, batch=BATCH, sequence=TOKENS, phase="forward")
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())
    states, head = torch.zeros(BATCH, TOKENS, 64), 2 * BATCH * 64 * 99
    whole, before = counted(net, input_ids=IDS, encoder_hidden_states=states, use_cache=True)
    assert 2 * multiply_adds(graph) == whole + TOKENS * head
    step, _ = counted(
        net,
        input_ids=IDS[:, :1],
        encoder_hidden_states=states,
        past_key_values=before.past_key_values,
        use_cache=True,
    )
    assert flops(path, "decode", context=TOKENS) == step + head
    read = graph_from_config(path, batch=BATCH, sequence=TOKENS, phase="prefill")
    assert read.type_of("present_encoder_key_0").shape == (BATCH, 2, TOKENS, 16)


DECODING = (
    "jetmoe",
    "cpmant",
    "idefics",
    "t5gemma2",
    "prophetnet",
    "bigbird_pegasus",
    "udop",
    "vision-encoder-decoder",
    "pp_formulanet",
)


@pytest.mark.parametrize("name", DECODING)
def test_both_phases_of_a_default_config_are_predicted(name, tmp_path):
    path = str(written(hf.AutoConfig.for_model(name), tmp_path))
    prompt = ly.predict(path, on="h100", phase="prefill", sequence=256)
    step = ly.predict(path, on="h100", phase="decode", context=512)
    assert 0 < step.seconds < prompt.seconds


@pytest.mark.parametrize("name", ["big_bird", "roc_bert", "xlm", "xlnet", "xmod"])
def test_a_default_encoder_is_predicted(name, tmp_path):
    path = str(written(hf.AutoConfig.for_model(name), tmp_path))
    short, long = (ly.predict(path, on="h100", sequence=count).seconds for count in (64, 500))
    assert 0 < short < long
