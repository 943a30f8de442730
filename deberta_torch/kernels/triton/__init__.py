"""Disentangled attention as Triton kernels: `attention` is what others call, and imports Triton when it is called."""
