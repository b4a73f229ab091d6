"""How pixels reach a model: its own first layers tell the numbers that it takes, or the user does."""

from __future__ import annotations

from pydantic import ValidationError

from splitway.api.given import PixelOptions, Preset
from splitway.api.source import SourceOptions
from splitway.errors import ModelError, SetupError
from splitway.manifest import Preprocessing, Standardisation
from splitway.splitter.cut import takes_pictures
from splitway.splitter.graph import Graph, Wire
from splitway.splitter.pack import Say
from splitway.splitter.scaling import AS_PIXELS, SIGNED, USUAL, Range, Scaling, read_scaling, shown_range

STANDARDISED: dict[Preset, Standardisation] = {
    "tf": Standardisation(divisor=127.5, mean=(1.0, 1.0, 1.0)),
    "torch": Standardisation(divisor=255.0, mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225)),
    "caffe": Standardisation(channels="BGR", mean=(103.939, 116.779, 123.68)),
}
"""What `preprocess_input` of `keras.applications` does, by the name of its mode."""
_SPANS: dict[Preset, Range] = {"tf": SIGNED}
"""The presets that are a range, too."""
_CHOICES = (
    f"give {', '.join(f'--range={shown_range(each)} ({meaning})' for each, meaning in USUAL.items())}, or --preprocess "
    "tf, torch or caffe, the modes of preprocess_input in keras.applications (tf: MobileNet, Inception, Xception; "
    "torch: DenseNet; caffe: ResNet50, VGG)"
)


def preprocessing_of(graph: Graph, options: PixelOptions, source: SourceOptions) -> Preprocessing | None:
    """How pictures become the model's input; None for a model that takes something else.

    Raises:
        ModelError: pictures cannot be fed to it with these options.
        SetupError: the range is not known, is not that of the model's own layers, or an option has no effect.
    """
    if not takes_pictures(graph):
        idle = ("pixel_range", "preprocess", "force_range", "crop", "resample")
        source.given.refuse(*idle, because="the model does not take one RGB picture")
        return None
    (wire,) = graph.inputs.values()
    scaled = _bytes(options) if wire.dtype == "uint8" else _scaled(read_scaling(graph), options, source.note)
    return _made(wire, options, scaled)


def _made(wire: Wire, options: PixelOptions, scaled: dict[str, object]) -> Preprocessing:
    try:
        return Preprocessing.model_validate(
            {
                "height": wire.shape[0],
                "width": wire.shape[1],
                "crop": options.crop,
                "resample": options.resample,
                "datatype": "UINT8" if wire.dtype == "uint8" else "FP32",
                **scaled,
            }
        )
    except ValidationError as error:
        raise ModelError(f"the model's input {wire.shape} with these options cannot be fed with pictures") from error


def _bytes(options: PixelOptions) -> dict[str, object]:
    if options.preprocess is not None:
        raise SetupError("the model takes uint8 pixels, which are given to it as they are: leave --preprocess out")
    if options.range not in (None, AS_PIXELS):
        raise SetupError("the model takes uint8 pixels: leave --range at 0:255")
    return {"range": AS_PIXELS}


def _scaled(scaling: Scaling, options: PixelOptions, note: Say) -> dict[str, object]:
    """The fields of the manifest that say how pixels are scaled: as asked for, or else as the model itself tells."""
    name = options.preprocess
    asked = options.range if name is None else _SPANS.get(name)
    if name is None and asked is None:
        note(f"pictures are given to the model as {shown_range(_known(scaling))}: {scaling.found}")
        return {"range": scaling.range}
    if scaling.range not in (None, asked):
        fault = f"{_as_asked(options)} is not what the model takes: {scaling.found}"
        if not options.force_range:
            raise SetupError(
                f"{fault}, so pictures would be scaled twice; leave {_as_asked(options)} out, or add --force-range if "
                "the model was trained so"
            )
        note(f"{fault}; it is given all the same, as --force-range says")
    return {"range": asked} if name is None else {"standardise": STANDARDISED[name]}


def _known(scaling: Scaling) -> Range:
    if scaling.range is None:
        raise SetupError(
            f"which numbers the model takes for pixels is not known, for {_why_unknown(scaling)}; {_CHOICES}"
        )
    return scaling.range


def _why_unknown(scaling: Scaling) -> str:
    return f"{scaling.found}, {'which fits no usual range' if scaling.made else 'which does not scale them'}"


def _as_asked(options: PixelOptions) -> str:
    if options.preprocess is not None:
        return f"--preprocess {options.preprocess}"
    return "" if options.range is None else f"--range={shown_range(options.range)}"


def pixels_told(graph: Graph) -> Scaling | None:
    """What a model tells of its pixels; None where it takes no pictures, or whole numbers that need no range."""
    wires = list(graph.inputs.values())
    return read_scaling(graph) if takes_pictures(graph) and wires[0].dtype != "uint8" else None


def told_in_words(scaling: Scaling) -> str:
    """The same in a sentence, for `splitway inspect`."""
    if scaling.range is None:
        needs = "split needs --range or --preprocess, for the model does not say which numbers it takes"
        return f"{needs}: {_why_unknown(scaling)}"
    return f"given to the model as {shown_range(scaling.range)}: {scaling.found}"
