"""Which ways through its kernels the library takes on this processor, and so which were timed."""

from __future__ import annotations


def routes() -> dict[str, bool]:
    """The ways by name, and whether each is taken."""
    import torch

    from deberta_torch.kernels import attention_blocks, onednn

    return {
        "oneDNN for large float32 products": onednn.beats_mkl() and onednn.available(),
        "one head at a time in the attention of long texts": attention_blocks.BLOCK_SIZES["cpu"].heads == 1,
        "packed float32 weights": onednn.available(),
        "packed bfloat16 weights": onednn.available(torch.bfloat16),
        "bfloat16 instructions": onednn.has_bfloat16(),
        "8-bit weights": onednn.available(torch.int8),
        "8-bit dot products": onednn.has_int8_dot_products(),
        "oneDNN in PyTorch": torch.backends.mkldnn.is_available(),
        "MKL in PyTorch": torch.backends.mkl.is_available(),
        "AMX tiles": bool(torch.cpu._is_amx_tile_supported()),
        "GELU within float32 products": onednn.fuses("gelu", torch.float32),
    }
