"""Rows of a model's inputs in a file, and the answers that their author had for them: `.npz`, `.csv` or `.jsonl`.

An `.npz` holds an array of rows for each input, by its name; a `.jsonl` an object for each row. A `.csv` has a column
`name` for an input of one number, and `name[0]`, `name[1]` and so on for one of several; where a model has one input
and no column is named after it, the columns are its numbers in order. Answers stand under the outputs' names, likewise.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitway.errors import SetupError, in_one_line, printable
from splitway.splitter.graph import Wire, shown_shape

FORMATS = (".npz", ".csv", ".jsonl")
MOST_ROWS = 256
"""Further rows of a file are not read."""
_ELEMENT = re.compile(r"(?P<name>.+)\[(?P<at>[0-9]{1,9})\]")
_NUMBER = re.compile(r"[+-]?[0-9.]+(e[+-]?[0-9]+)?", re.IGNORECASE)
CSV_COLUMNS = "name for an input of one number, name[0],name[1],... for one of several"
"""How the columns of a `.csv` are called."""
Rows = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Samples:
    """Rows that a model is known to work on.

    Args:
        inputs: for each input its rows, of the model's own types; empty where there are none.
        answers: for some or all outputs what the model's author got for these rows.
        path: where they are from.
    """

    inputs: Mapping[str, NDArray[Any]]
    answers: Mapping[str, NDArray[Any]]
    path: Path | None = None


NO_SAMPLES = Samples({}, {})


class _Names:
    """The tensors that a file may hold, by all their names."""

    def __init__(self, takes: Mapping[str, Wire], gives: Mapping[str, Wire], also: Mapping[str, str]) -> None:
        self.takes = takes
        self.wires = {**gives, **takes}
        self.called = {**{name: name for name in self.wires}, **also}
        """What the model calls a tensor, by each of its names."""
        self.listed = f"the model takes {', '.join(map(repr, takes))} and gives {', '.join(map(repr, gives))}"

    def known(self, name: str, where: str) -> str:
        """What the model calls this tensor. Raises SetupError if it has none of this name."""
        if name not in self.called:
            raise SetupError(f"{where}: {printable(name[:80])!r} is not an input or output; {self.listed}")
        return self.called[name]

    def each_once(self, values: Mapping[str, Any], where: str) -> dict[str, Any]:
        """The values by what the model calls them. Raises SetupError as `known` does, and for one with two."""
        found: dict[str, Any] = {}
        for name, value in values.items():
            tensor = self.known(name, where)
            if tensor in found:
                raise SetupError(f"{where}: there are two values for {tensor!r}, by two of its names")
            found[tensor] = value
        return found


def read_samples(
    path: Path, takes: Mapping[str, Wire], gives: Mapping[str, Wire], also: Mapping[str, str] | None = None
) -> Samples:
    """Read the rows of a file, for the model's inputs and outputs, which may have further names in it.

    Raises SetupError if it cannot be read, or is not what the model takes, and says where.
    """
    names = _Names(takes, gives, also or {})
    found = _read(path, names)
    missing = [name for name in takes if name not in found]
    if found and missing:
        raise SetupError(f"{path} has nothing for the input {missing[0]!r}; {names.listed}")
    counts = {name: len(rows) for name, rows in found.items()}
    if not any(counts.values()):
        raise SetupError(f"{path} has no rows")
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{count} of {name!r}" for name, count in counts.items())
        raise SetupError(f"{path} has different numbers of rows: {said}")
    answers = {name: rows[:MOST_ROWS] for name, rows in found.items() if name not in takes}
    return Samples({name: found[name][:MOST_ROWS] for name in takes}, answers, path)


def _read(path: Path, names: _Names) -> Rows:
    ending = path.suffix.lower()
    lines_of = {".csv": _of_csv, ".jsonl": _of_jsonl}.get(ending)
    try:
        if lines_of is not None:
            return _of_lines(path, lines_of(path, names), names)
        if ending == ".npz":
            return _of_npz(path, names)
    except OSError as error:
        raise SetupError(f"cannot read the samples {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SetupError(f"{path} is not text in UTF-8: {error}") from error
    raise SetupError(f"{path} is not a file of samples: it must be one of {', '.join(FORMATS)}")


def _of_npz(path: Path, names: _Names) -> Rows:
    try:
        with path.open("rb") as opened:
            file = np.load(opened, allow_pickle=False)
            arrays = dict(file) if isinstance(file, np.lib.npyio.NpzFile) else None
    except OSError:
        raise
    except Exception as error:  # what zipfile, zlib and numpy stumble over
        said = in_one_line(error)
        if "pickled" in said:  # what numpy takes everything for that it does not know, and it advises to run it
            said = "it is not an .npz file: save it with numpy.savez, as input=array"
        raise SetupError(f"{path} cannot be read: {said}") from error
    if arrays is None:
        raise SetupError(f"{path} holds one array without a name: save it with numpy.savez, as input=array")
    named = names.each_once(arrays, str(path))
    return {name: _rows(array, names.wires[name], f"{path}: {name!r}", names_row=True) for name, array in named.items()}


def _rows(array: NDArray[Any], wire: Wire, where: str, *, names_row: bool) -> NDArray[Any]:
    """Rows as the model takes them; single numbers may lack the dimension of their one column."""
    shape = tuple(wire.shape)
    if array.ndim == 0:
        raise SetupError(f"{where} is a single number: rows come first")
    if array.ndim == 1 and set(shape) == {1}:
        array = array.reshape(-1, *shape)
    if array.shape[1:] != shape:
        raise SetupError(f"{where} has rows of {shown_shape(array.shape[1:])}; the model's have {shown_shape(shape)}")
    if array.dtype.kind not in "biuf":
        raise SetupError(f"{where} is not made of numbers")
    wanted = np.dtype(wire.travels_as)
    with np.errstate(all="ignore"):
        made = array.astype(wanted)
        odd = ~np.isfinite(made) if wanted.kind == "f" else made.astype(np.float64) != array.astype(np.float64)
    if odd.any():
        place = tuple(int(at) for at in np.argwhere(odd)[0])
        row = f", row {place[0]}" if names_row else ""
        raise SetupError(f"{where}{row}: {array[place]} cannot be {wanted.name}, which the model takes there")
    return made


def _of_lines(path: Path, lines: Iterable[tuple[int, dict[str, Any]]], names: _Names) -> Rows:
    """The rows of a file with a row a line, whose numbers and values by tensor are given."""
    found: dict[str, list[NDArray[Any]]] = {}
    for number, row in islice(lines, MOST_ROWS):
        if found and row.keys() != found.keys():
            odd = min(row.keys() ^ found.keys())
            raise SetupError(f"{path}, line {number}: {odd!r} is in some rows and not in others")
        for name, value in row.items():
            where = f"{path}, line {number}: {name!r}"
            try:
                array = np.asarray(value)
            except ValueError as error:
                raise SetupError(f"{where} is ragged: its lists are not all of one length") from error
            found.setdefault(name, []).append(_rows(array[None], names.wires[name], where, names_row=False))
    return {name: np.concatenate(rows) for name, rows in found.items()}


def _of_jsonl(path: Path, names: _Names) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                where = f"{path}, line {number}"
                yield number, names.each_once(_object(line, where), where)


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SetupError(f"{where} is not JSON: {in_one_line(error)}") from error
    if not isinstance(row, dict) or not row:
        raise SetupError(f"{where} is not an object of inputs by name")
    return row


def _of_csv(path: Path, names: _Names) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = _csv_lines(path, file)
        first, header = next(lines, (1, []))
        header = [name.strip() for name in header]
        places = _columns(header, names, f"{path}, line {first}")
        for number, line in lines:
            row = _csv_row(line, header, f"{path}, line {number}")
            shapes = {name: [n or 0 for n in names.wires[name].shape] for name in places}
            yield number, {name: np.array([row[at] for at in places[name]]).reshape(shapes[name]) for name in places}


def _csv_lines(path: Path, file: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """The lines that are not empty, each with its number."""
    reader = csv.reader(file)
    try:
        for line in reader:
            if any(field.strip() for field in line):
                yield reader.line_num, line
    except csv.Error as error:
        raise SetupError(f"{path}, line {reader.line_num} cannot be read: {error}") from error


def _csv_row(line: list[str], header: list[str], where: str) -> list[float | int]:
    if len(line) != len(header):
        raise SetupError(f"{where} has {len(line)} fields; the first line names {len(header)} columns")
    return [_number(text.strip(), f"{where}, column {name!r}") for text, name in zip(line, header, strict=True)]


def _number(text: str, where: str) -> float | int:
    truth = {"true": 1, "false": 0}.get(text.lower())
    if truth is not None:
        return truth
    try:
        return int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text) else float(text)
    except ValueError:
        raise SetupError(f"{where}: {printable(text[:40])!r} is not a number") from None


def _columns(header: list[str], names: _Names, where: str) -> dict[str, list[int]]:
    """For each tensor that a file has, the columns of its numbers in order."""
    found: dict[str, dict[int, int]] = {}
    nameless = []
    for column, name in enumerate(header):
        tensor, at = _element(name, names)
        if tensor is None:
            nameless.append(column)
        elif at in found.setdefault(tensor, {}):
            raise SetupError(f"{where}: there are two columns {printable(name)!r}")
        else:
            found[tensor][at] = column
    if nameless and header != [str(at) for at in range(len(header))] and all(map(_NUMBER.fullmatch, header)):
        raise SetupError(f"{where} has numbers: the first line names the columns, as input[0],input[1],...")
    if nameless and len(names.takes) == 1 and not names.takes.keys() & found.keys():
        found[next(iter(names.takes))] = dict(enumerate(nameless))
    elif nameless:
        names.known(header[nameless[0]], f"{where} (columns are {CSV_COLUMNS})")
    for name, columns in found.items():
        count = math.prod(n or 0 for n in names.wires[name].shape)
        if sorted(columns) != list(range(count)):
            raise SetupError(
                f"{where}: {name!r} has {count} numbers a row, and {len(columns)} columns here: {CSV_COLUMNS}"
            )
    return {name: [columns[at] for at in range(len(columns))] for name, columns in found.items()}


def _element(column: str, names: _Names) -> tuple[str | None, int]:
    """The tensor that a column is named after, and which of its numbers it holds."""
    if (name := names.called.get(column)) is not None:
        return name, 0
    named = _ELEMENT.fullmatch(column)
    name = None if named is None else names.called.get(named["name"])
    return (None, 0) if named is None or name is None else (name, int(named["at"]))
