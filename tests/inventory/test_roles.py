import pytest

from mbom.inventory.roles import ROLES, is_safetensors, role

# Names from the repositories of gpt-oss, Llama, DeepSeek, Qwen, Mistral, Gemma, Kimi, GLM and older ones.
NAMES = {
    "weights": (
        "model.safetensors model-00000-of-00002.safetensors consolidated.safetensors original/consolidated.00.pth "
        "metal/model.bin pytorch_model.bin pytorch_model-00001-of-00002.bin tf_model.h5 flax_model.msgpack "
        "rust_model.ot model.onnx onnx/model.onnx_data onnx/model.onnx.data gguf/model-Q4_K_M.gguf "
        "openvino/openvino_model.bin model.ckpt-1000.data-00000-of-00001 model.ckpt-1000.index"
        "training_args.bin optimizer.pt Model.SafeTensors"
    ),
    "index": "model.safetensors.index.json pytorch_model.bin.index.json consolidated.safetensors.index.json",
    "config": (
        "config.json generation_config.json preprocessor_config.json params.json original/config.json "
        "adapter_config.json quantization_config.json configuration.json hf_quant_config.json"
    ),
    "tokenizer": (
        "tokenizer.json tokenizer_config.json special_tokens_map.json added_tokens.json vocab.json vocab.txt "
        "merges.txt tokenizer.model tokenizer.model.v3 tekken.json tiktoken.model spiece.model qwen.tiktoken "
        "original/tokenizer.model"
    ),
    "chat-template": "chat_template.jinja chat_template.json additional_chat_templates/tools.jinja",
    "code": "modeling_deepseek.py inference/kernel.py setup.sh notebook.ipynb lib/libx.so",
    "licence": (
        "LICENSE LICENSE.txt LICENSE.md LICENCE COPYING NOTICE Notice.txt LICENSE-MODEL LICENSE-CODE MODEL_LICENSE "
        "licenses/LICENSE gemma_license.txt LICENSE.v2 LICENSE.pdf"
    ),
    "policy": "USAGE_POLICY USE_POLICY.md ACCEPTABLE_USE.md Prohibited_Use_Policy.md policy.txt",
    "card": "README.md",
    "other": ".gitattributes original/README.md figures/a.png openvino_model.xml video.json data.zip x.licensed",
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in NAMES.items() for name in names.split()])
def test_the_role_of_a_file_follows_from_its_name(kind: str, name: str) -> None:
    assert role(name) == kind


def test_every_role_has_an_example() -> None:
    assert NAMES.keys() == set(ROLES)


def test_weights_in_unusual_letter_case_are_weights_but_no_loader_reads_them() -> None:
    assert role("MODEL.SAFETENSORS") == "weights"
    assert not is_safetensors("MODEL.SAFETENSORS")
    assert is_safetensors("model.safetensors")
