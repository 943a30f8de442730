"""Names of transformers where models, configurations and tokenizers are loaded and saved."""

from __future__ import annotations

from deberta_core.names.rows import Accepted, Refused, Renamed, Rows

_ANY_FORMAT = Accepted("weights are read in every format there is")
_QUANTIZED = Refused("Load the model, then call deberta_torch.optimize(model, dtype='int8').")
_BY_ITSELF = Accepted("a download that was cut off goes on by itself")
_NO_OFFLOAD = Refused("Nothing is moved to a disk; device_map with devices is taken.")

# Arguments of `from_pretrained`.
LOADING: Rows = {
    "pretrained_model_name_or_path": Renamed("path"),
    "torch_dtype": Renamed("dtype"),
    "use_auth_token": Renamed("token"),
    "use_return_dict": Renamed("return_dict"),
    "from_tf": _ANY_FORMAT,
    "from_pt": _ANY_FORMAT,
    "from_flax": Refused("Files of Flax are not read: save the model as safetensors there."),
    "use_safetensors": _ANY_FORMAT,
    "weights_only": Accepted("code in a .bin file is never run"),
    "low_cpu_mem_usage": Accepted("weights are read to where they stay"),
    "trust_remote_code": Accepted("code of a repository is never run"),
    "code_revision": Accepted("code of a repository is never run"),
    "resume_download": _BY_ITSELF,
    "proxies": Refused("Set HTTPS_PROXY in the environment."),
    "mirror": Refused("Set HF_ENDPOINT in the environment."),
    "variant": Refused("Give the weight file itself as the path."),
    "gguf_file": Refused("Files of GGUF are not read."),
    "key_mapping": Refused("Rename the weights and give them as state_dict."),
    "max_memory": Refused("Give device_map as a dict of devices by names of modules."),
    "offload_folder": _NO_OFFLOAD,
    "offload_state_dict": _NO_OFFLOAD,
    "offload_buffers": _NO_OFFLOAD,
    "tp_plan": Refused("Tensors are not divided over devices; device_map divides layers."),
    "quantization_config": _QUANTIZED,
    "load_in_8bit": _QUANTIZED,
    "load_in_4bit": _QUANTIZED,
    "adapter_kwargs": Refused("Load adapters with peft."),
}
# Arguments of `save_pretrained`.
SAVING: Rows = {
    "save_directory": Renamed("folder"),
    "safe_serialization": Renamed("format", {True: "safetensors", False: "bin"}),
    "saved_model": Refused("Call model.export(folder)."),
    "push_to_hub": Refused("Save the model and upload the folder with huggingface_hub."),
    "save_function": Refused("Files are written as one, by safetensors' format or torch's."),
    "variant": Refused("Save to a folder of its own."),
    "token": Accepted("nothing is uploaded"),
    "save_peft_format": Accepted("adapters are saved by peft"),
}
# Entries of what `from_pretrained(..., output_loading_info=True)` also returns.
LOAD_REPORT: Rows = {
    "missing_keys": Renamed("missing"),
    "unexpected_keys": Renamed("unexpected"),
    "mismatched_keys": Renamed("mismatched"),
    "error_msgs": Accepted("what cannot be read is an error", reads_as=()),
}
