"""How models are run: one thread a call, so that threads of ours scale, and memory given back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raddle.errors import MissingExtra

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["open_session"]


def open_session(model: Path | bytes) -> Any:
    """Return an `onnxruntime.InferenceSession`; its `run` may be called from several threads at once."""
    try:
        import onnxruntime  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtra("onnxruntime", "classify") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # The arena keeps the most that any shape ever took, for each thread; without it a call costs a few per cent more.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False  # texts differ in length from call to call
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
