"""The Triton kernels become programs of a GPU, compiled where there is none: what the interpreter does not show."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton")

SCRIPT = """
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from deberta_torch.kernels.triton import forward_kernel, norm_kernels, score_gradients, token_gradients

TYPES = {"MASK": "u8", "SEEN": "u8", "STARTS": "i32", "SEED": "i64", "LSE": "fp32", "DELTA": "fp32",
         "FAR_SUMS": "fp32", "TOTAL": "fp32", "MEAN": "fp32", "SHARE": "fp32", "PARTS": "fp32", "scale": "fp32",
         "epsilon": "fp32", "rescale": "fp32", "log_scale": "fp32", "threshold": "i64"}
CONSTANTS = {"C2P": True, "P2C": True, "POSITIONS": True, "FAR": True, "DROPOUT": True, "ROUNDED": tl.bfloat16,
             "SIGN": -1, "SPLIT": 2, "M": 32, "D": 64}

def compile(kernel, **own):
    def kind(name):
        if name in CONSTANTS or name in own:
            return "constexpr"
        if name.isupper():
            return "*" + ("fp32" if name == "OUT" and "ATOMIC" in own else TYPES.get(name, "bf16"))
        return TYPES.get(name, "i32")

    signature = {name: kind(name) for name in kernel.arg_names}
    constants = {name: {**CONSTANTS, **own}[name] for name, kind in signature.items() if kind == "constexpr"}
    source = ASTSource(kernel, signature, constants)
    made = triton.compile(source, target=GPUTarget("cuda", ARCHITECTURE, 32), options={"num_warps": 2, "num_stages": 2})
    assert made.asm["cubin"]
    return made.asm["ptx"]

for packed, kind in ((False, 1), (False, 2), (True, 0)):
    compile(forward_kernel.attend, PACKED=packed, KIND=kind)
    compile(score_gradients.score_gradients, PACKED=packed, KIND=kind)
for packed in (False, True):
    compile(token_gradients.token_gradients, PACKED=packed, MASKED=not packed)
    for atomic in (False, True):
        ptx = compile(token_gradients.relative_gradients, PACKED=packed, MASKED=not packed, ATOMIC=atomic)
        assert ("red.global.gpu.relaxed.add" in ptx or "atom.global.gpu.relaxed.add" in ptx
                or "red.relaxed.gpu.global.add" in ptx or "atom.relaxed.gpu.global.add" in ptx) == atomic
compile(score_gradients.row_products)
for low in (False, True):
    compile(norm_kernels.normalize, R=1, C=1024, STEP=1, LOW_TOO=low, KEEPS=low)
    compile(norm_kernels.gradients, R=1, C=1024, STEP=1, APART=low, BOTH=low)
print("compiled")
"""


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [80, 90])
def test_every_kernel(architecture):
    """In a process of its own, that does not interpret."""
    script = SCRIPT.replace("ARCHITECTURE", str(architecture))
    environment = {**os.environ, "TRITON_INTERPRET": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.stdout.strip() == "compiled", done.stderr[-2000:]
