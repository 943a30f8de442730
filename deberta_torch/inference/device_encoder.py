"""The encoder for inference on accelerators: half precision cast once, no padding, CUDA graphs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from deberta_torch.attention import DisentangledSelfAttention
from deberta_torch.embeddings import Embeddings
from deberta_torch.encoder import Convolution, Encoder, EncoderOutputs, Layer
from deberta_torch.inference.device_attention import FEW, choose_attention
from deberta_torch.inference.device_layer import DeviceLayer, Layout
from deberta_torch.inference.encoder import RefuseGradients, Watch, check_modules
from deberta_torch.inference.graphs import Graphs
from deberta_torch.inference.plans import Bucket, Plan, bucket_of, make_plan
from deberta_torch.inference.weight_lock import WeightLock
from deberta_torch.kernels.eager import is_traced
from deberta_torch.masks import Masks

# Larger batches keep the device busy for longer than Python takes to call it, and a graph would only take memory.
_GRAPH_TOKENS = 1 << 16
