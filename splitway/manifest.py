"""The manifest of a bundle: `stage.json`."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from splitway.names import NAME, SPACE, VERSION, Role
from splitway.plan import ends
from splitway.security.untrusted_files import stays_inside
from splitway.stored import FORMAT, Format, StoredPart
from splitway.wire.tensor import NUMPY_DTYPES, TensorSpec

SAVED_MODEL = "saved_model"
"""The folder in a bundle that the TensorFlow engine reads."""
ENDPOINT = "serve"
"""The one signature of every engine file."""
EngineName = Literal["litert", "tensorflow"]
FeatureSpace = Annotated[str, Field(pattern=SPACE)]
MAX_FILE_BYTES = 4 * 1024**3
MAX_ROW_ELEMENTS = 2**28
"""Of one tensor; manifests beyond it are refused."""


def _inside(path: str) -> str:
    if not stays_inside(path):
        raise ValueError("the path is absolute, written oddly, or leads outside the bundle")
    return path


def _known(datatype: str) -> str:
    if datatype not in NUMPY_DTYPES:
        raise ValueError(f"no such type of tensor; there are {', '.join(NUMPY_DTYPES)}")
    return datatype


def _modest(shape: tuple[int, ...]) -> tuple[int, ...]:
    if shape[0] != -1 or min(shape[1:], default=0) < 0:
        raise ValueError("a shape begins with -1, for any number of rows, and has no other such place")
    if math.prod(n or 1 for n in shape[1:]) > MAX_ROW_ELEMENTS:  # a zero hides nothing
        raise ValueError(f"a row has more than {MAX_ROW_ELEMENTS} elements")
    return shape


PathInside = Annotated[str, AfterValidator(_inside)]
Shape = Annotated[tuple[int, ...], Field(min_length=1, max_length=32), AfterValidator(_modest)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(ge=1e-6, le=1e6)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Appended = Literal["softmax", "sigmoid", "two_classes"]
"""An operation behind a model's own last layer; `two_classes` makes 1-p and p of one probability p."""


class TensorEntry(StoredPart):
    """A tensor that a stage takes or gives; -1 stands for any number of rows."""

    name: Annotated[str, Field(min_length=1, max_length=1024)]
    datatype: Annotated[str, AfterValidator(_known)]
    shape: Shape
    range: tuple[int, int] | None = None
    """The lowest and the highest number that the model knows, where its layers say so, as of words in a vocabulary."""

    @property
    def spec(self) -> TensorSpec:
        return TensorSpec(self.name, self.datatype, self.shape)

    @property
    def row_bytes(self) -> int:
        """Size of one row on the wire, in bytes."""
        return math.prod(self.shape[1:]) * NUMPY_DTYPES[self.datatype].itemsize


class EngineFile(StoredPart):
    """One file that an engine reads. The path is relative to the bundle and stays inside it."""

    engine: EngineName
    path: PathInside
    sha256: Sha256
    size: int = Field(ge=0, le=MAX_FILE_BYTES)


class Standardisation(StoredPart):
    """Pixels as `preprocess_input` of Keras makes them: (pixel / divisor - mean) / deviation, float32 at each step."""

    channels: Literal["RGB", "BGR"] = "RGB"
    """The order in which the model takes them, and in which the numbers below are."""
    divisor: Positive = 1.0
    mean: tuple[Finite, Finite, Finite] = (0.0, 0.0, 0.0)
    deviation: tuple[Positive, Positive, Positive] = (1.0, 1.0, 1.0)


class Preprocessing(StoredPart):
    """How a picture becomes the backbone's pixels: a centred crop of the short side, then one resize."""

    height: int = Field(gt=0, le=4096)
    width: int = Field(gt=0, le=4096)
    crop: float = Field(gt=0, le=1)
    """Share of the largest centred window of the target's aspect ratio that is kept."""
    resample: Literal["bilinear", "bicubic", "box"]
    range: tuple[Finite, Finite] | None = None
    """What pixel values 0 and 255 become before the model sees them; None where `standardise` says it."""
    datatype: Literal["UINT8", "FP32"]
    """The model's own input type."""
    standardise: Standardisation | None = None
    """What is done to pixels in place of `range`. Versions that don't know it refuse a bundle without `range`."""

    @model_validator(mode="after")
    def _scales_in_one_way(self) -> Preprocessing:
        if (self.range is None) == (self.standardise is None):
            raise ValueError("it has either range or standardise")
        if self.datatype == "UINT8" and self.standardise is not None:
            raise ValueError("a model that takes UINT8 pixels has range, not standardise")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_used(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Feature spaces are hashes of this: a field that a bundle does not use must not change them."""
        return {name: value for name, value in dump(self).items() if value is not None}


class SourceModel(StoredPart):
    """The uncut model, and where a copy of it lies (relative to the models folder)."""

    name: str
    sha256: str
    path: str


class Cut(StoredPart):
    """Place of the split, and the tensors that cross it."""

    layer: str
    bytes_per_row: int
    tensors: tuple[str, ...] = ()
    """The layers whose outputs cross, in the order of the tensors; empty where it is the layer's alone."""


class Rows(StoredPart):
    """What one row takes on the wire, in bytes, and how many a request has room for."""

    input_bytes: int
    """Of all inputs; of pictures as pixels."""
    output_bytes: int
    per_request: int | None
    """With the limits that the model was split under; None for any number."""


class Difference(StoredPart):
    """The largest differences between two sets of answers."""

    max_abs: Finite
    max_ulp: int
    top1_equal: bool | None = None
    """Whether the same class was first each time; None for outputs that are no probabilities."""
    ulp_histogram: dict[str, int] = {}
    """How many numbers differ by how many units in the last place: `0`, `1`, `2-3`, `4-7`, ..."""


class Accuracy(StoredPart):
    """How often labelled pictures get their own label first: served, and from the uncut model fed as in Keras."""

    samples: str
    """The name of the folder that they were in."""
    pictures: int = Field(ge=1)
    classes: int = Field(ge=1)
    """How many classes the pictures are of."""
    served_right: int = Field(ge=0)
    """By the pipeline as it is served: decoded, and through the parts, their engine and the wire format."""
    uncut_right: int = Field(ge=0)
    """By the uncut model, which was given the whole picture resized as `image_dataset_from_directory` does it."""
    served_classes: int = Field(ge=1)
    """How many different classes came first as it is served."""


class Proof(StoredPart):
    """head(backbone(x)) against the uncut model, through the serving engine and the bytes that travel."""

    engine: str
    inputs: int
    """How many different inputs were tried."""
    batch_sizes: tuple[int, ...]
    tolerance: Finite
    """The largest difference from the uncut model that was allowed."""
    against_uncut: Difference
    """Against the uncut Keras model in TensorFlow: the cut and the engine together."""
    against_same_engine: Difference | None
    """Against the uncut model in the serving engine: the cut alone."""
    accuracy: Accuracy | None = None
    """On labelled pictures, where some were given: whether they reach the model as in training, no proof says."""


class Manifest(StoredPart):
    """`stage.json`."""

    format: Format = FORMAT
    name: str = Field(pattern=NAME)
    version: str = Field(pattern=VERSION)
    role: Role
    inputs: tuple[TensorEntry, ...]
    outputs: tuple[TensorEntry, ...]
    engine_files: tuple[EngineFile, ...] = Field(max_length=1000)
    engine: EngineName = "litert"
    """What it was proved in, and is served by unless a stage is told otherwise."""
    feature_space: FeatureSpace
    """What an extractor's features are in; for a body and a head, what they must be in to be taken."""
    gives_space: FeatureSpace | None = None
    """What a body's own features are in."""
    preprocessing: Preprocessing | None = None
    labels: PathInside | None = None
    """The labels' file, one per line."""
    labels_sha256: Sha256 | None = None
    appended: tuple[Appended, ...] = ()
    """What a head computes behind the uncut model's own last layer, in order."""
    threshold: Share | None = None
    """The least probability of a label that a multi-label head gives; None for every other head."""
    unsure_below: Share | None = None
    """A first class of a lower probability is to be shown as not sure; None where no mark was chosen."""
    source_model: SourceModel
    cut: Cut
    rows: Rows | None = None
    proof: Proof | None = None
    created: str
    tools: dict[str, str]

    @model_validator(mode="after")
    def _is_consistent(self) -> Manifest:
        for names in (
            [each.path for each in self.engine_files],
            [each.name for each in self.inputs],
            [each.name for each in self.outputs],
        ):
            if len(set(names)) < len(names):
                raise ValueError("a file or a tensor is named twice")
        if (self.labels is None) != (self.labels_sha256 is None):
            raise ValueError("labels need their labels_sha256")
        if (self.role == "body") != (self.gives_space is not None):
            raise ValueError("gives_space is for a body, and a body needs it")
        if self.role != "head" and (self.appended or self.threshold is not None or self.unsure_below is not None):
            raise ValueError("appended, threshold and unsure_below are for a head")
        return self

    @property
    def takes(self) -> str | None:
        """The feature space of what comes in; None for an extractor, which takes no features."""
        return ends(self.role, self.feature_space, self.gives_space).takes

    @property
    def gives(self) -> str | None:
        """The feature space of what goes out; None for a head, which gives answers."""
        return ends(self.role, self.feature_space, self.gives_space).gives

    @property
    def input_row_bytes(self) -> int:
        """What a row of all inputs takes on the wire; of pictures as pixels, which are one byte a colour."""
        if self.preprocessing is not None:
            return self.preprocessing.height * self.preprocessing.width * 3
        return sum(entry.row_bytes for entry in self.inputs)

    @property
    def output_row_bytes(self) -> int:
        """What a row of all outputs takes on the wire."""
        return sum(entry.row_bytes for entry in self.outputs)

    def to_json(self) -> str:
        return self.model_dump_json(indent=2) + "\n"


def describe(manifest: Manifest) -> dict[str, Any]:
    """What a stage says of its bundle in the model's metadata."""
    return {
        "role": manifest.role,
        "feature_space": manifest.feature_space,
        "gives_space": manifest.gives_space,
        "source_model": manifest.source_model.name,
        "cut": manifest.cut.layer,
    }
