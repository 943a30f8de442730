"""Names of transformers where models, configurations and tokenizers are loaded and saved."""

from __future__ import annotations

from deberta_core.names.rows import Accepted, Refused, Renamed, Rows

# Arguments of `from_pretrained`.
LOADING: Rows = {
    "torch_dtype": Renamed("dtype"),
    "use_auth_token": Renamed("token"),
    "low_cpu_mem_usage": Accepted("weights are read to where they stay"),
    "quantization_config": Refused("Load the model, then call deberta_torch.optimize(model, dtype='int8')."),
}
# Arguments of `save_pretrained`.
SAVING: Rows = {
    "save_directory": Renamed("folder"),
    "safe_serialization": Renamed("format", {True: "safetensors", False: "bin"}),
}
