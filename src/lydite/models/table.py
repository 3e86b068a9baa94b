"""The table of models, gathered from the rows of each field."""

from __future__ import annotations

from lydite.models import rows_decoders, rows_recurrent, rows_text, rows_vision

_FIELDS = (rows_vision, rows_text, rows_decoders, rows_recurrent)

MODELS = {row.name: row for field in _FIELDS for row in field.ROWS}

ELSEWHERE = {
    "minerva": "lydite.compat.smaug.model_rows:MINERVA",
    "lenet5": "lydite.compat.smaug.model_rows:LENET5",
    "cifar10-cnn": "lydite.compat.smaug.model_rows:CIFAR10_CNN",
    "cifar10-vgg": "lydite.compat.smaug.model_rows:CIFAR10_VGG",
    "cifar100-elu": "lydite.compat.smaug.model_rows:CIFAR100_ELU",
    "large-elu": "lydite.compat.smaug.model_rows:LARGE_ELU",
    "imagenet-resnet": "lydite.compat.smaug.model_rows:IMAGENET_RESNET",
    "smaug-lstm": "lydite.compat.smaug.model_rows:SMAUG_LSTM",
    "smaug-bilstm": "lydite.compat.smaug.model_rows:SMAUG_BILSTM",
}
"""Models that come with other systems: "module:attribute" of each one's row."""

ALIASES = {
    "bert": "bert-base",
    "clip": "clip-image",
    "deepspeech": "deepspeech2",
    "inception3": "inceptionv3",
    "llama3": "llama3-8b",
    "nasnet": "nasnet-large",
    "nasnetalarge": "nasnet-large",
    "resnet": "resnet50",
    "sd15": "sd15-unet",
    "stable-diffusion": "sd15-unet",
    "stable-diffusion-v1-5": "sd15-unet",
    "stablediffusionv1-5": "sd15-unet",
    "vit-b-16": "vit",
}
"""Other systems' names (AISim's, the scorecard's, OpBench's) of models of the set. Of a model in
several parts the name means the part that most of the time goes to: CLIP's image encoder, a step of
Stable Diffusion's U-Net."""
