"""The PyTorch flavour: programs that need none of the code they were written in, TorchScript and `torch.export`.

A module (`nn.Module`) is code; it is made a program first. MLflow's own flavour `pytorch` keeps pickled modules and
is read through `python_function`.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import torch

from penstock.base.errors import Invalid
from penstock.records.signature import Column, Datatype
from penstock.serving.loaders.fed import Answer
from penstock.serving.loaders.flavour import Flavour, Saving, inside

_export: Any = torch.export  # parts of both have types and parts have none
_jit: Any = torch.jit
SCRIPT_DATA, EXPORTED_DATA = "model.pt", "model.pt2"
_DATATYPES: dict[torch.dtype, str] = {
    torch.bool: "BOOL",
    torch.float16: "FP16",
    torch.float32: "FP32",
    torch.float64: "FP64",
    torch.uint8: "UINT8",
    torch.int8: "INT8",
    torch.int16: "INT16",
    torch.int32: "INT32",
    torch.int64: "INT64",
}
_callables: weakref.WeakKeyDictionary[Any, Callable[..., Any]] = weakref.WeakKeyDictionary()


class TorchFlavour(Flavour):
    """A program's inputs are given by name where it knows the names; what it returns by name are its outputs."""

    name = "penstock_torch"
    suffixes = (".pt", ".pt2")

    def takes(self, model: Any) -> bool:
        """Whether it is a program, or a module of which one can be made."""
        return isinstance(model, torch.nn.Module | torch.export.ExportedProgram)

    def save(self, model: Any, folder: Path, saving: Saving) -> dict[str, Any]:
        """Write the program.

        Raises:
            Invalid: it is a module still.
        """
        if isinstance(model, torch.export.ExportedProgram):
            data = EXPORTED_DATA
            _export.save(model, folder / data)
        elif isinstance(model, torch.jit.ScriptModule):
            data = SCRIPT_DATA
            with _quiet():
                _jit.save(model, str(folder / data))
        else:
            raise Invalid(
                f"{type(model).__qualname__} is a module of PyTorch, which cannot be read without its code",
                code="registry.torch_module",
                hint="save torch.export.export(model, (rows,), dynamic_shapes=…) or torch.jit.script(model)",
            )
        return {"data": data, "torch_version": str(torch.__version__), "code": None}

    def runs_code(self, options: Mapping[str, Any]) -> bool:
        """PyTorch advises to treat programs as code: https://github.com/pytorch/pytorch/security/policy."""
        return True

    def read(self, folder: Path, options: Mapping[str, Any], trusted: Sequence[str] | None = None) -> Any:
        """Read the program to the processor's memory."""
        path = inside(folder, options.get("data", SCRIPT_DATA))
        if path.suffix == ".pt2":
            return _export.load(path)
        with _quiet():
            return _jit.load(str(path), map_location="cpu").eval()

    def inputs_of(self, model: Any) -> tuple[Column, ...]:
        """Return what an exported program was made for; TorchScript says nothing of shapes."""
        if not isinstance(model, torch.export.ExportedProgram):
            return ()
        wanted = set(model.graph_signature.user_inputs)
        nodes = [one for one in model.graph.nodes if one.op == "placeholder" and one.name in wanted]
        return tuple(_column(node.name, node.meta["val"]) for node in nodes)

    def takes_matrix(self, model: Any) -> bool:
        """Whether all columns go into one input of the program."""
        return len(_names_of(model)) == 1

    def answer(self, model: Any, rows: Any, wanted: frozenset[str] | None) -> Answer:
        """Run the program."""
        names = _names_of(model)
        if isinstance(rows, Mapping):
            given = {name: _tensor(model, values) for name, values in rows.items()}
        else:
            table = rows if isinstance(rows, np.ndarray) else np.asarray(rows)
            given = {names[0]: _tensor(model, table)}
        run = _callable(model)
        with torch.inference_mode():
            if len(given) == 1 or set(given) != set(names):
                found = run(*given.values())
            else:
                found = run(*(given[name] for name in names))
        return _named(found)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out that TorchScript is deprecated: who trains may choose, who serves what was trained cannot."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _names_of(model: Any) -> list[str]:
    if isinstance(model, torch.export.ExportedProgram):
        return [str(name) for name in model.graph_signature.user_inputs]
    return [
        argument.name for argument in model.forward.schema.arguments[1:] if not argument.has_default_value()
    ]


def _callable(model: Any) -> Callable[..., Any]:
    if not isinstance(model, torch.export.ExportedProgram):
        return cast("Callable[..., Any]", model)
    found = _callables.get(model)
    if found is None:
        found = _callables[model] = model.module()
    return found


def _tensor(model: Any, values: Any) -> Any:
    """Return values as the program takes them: floats in the type of its own."""
    array = np.ascontiguousarray(values)
    if not array.flags.writeable:
        array = array.copy()  # PyTorch warns of memory that it could write to and must not
    made = torch.from_numpy(array)
    if made.is_floating_point():
        weights = model.state_dict if isinstance(model, torch.export.ExportedProgram) else model.state_dict()
        kind = next((one.dtype for one in weights.values() if one.is_floating_point()), made.dtype)
        made = made.to(kind)
    return made


def _named(found: Any) -> Answer:
    """Return what a program returned by output: a mapping's entries, a sequence's by number, or `prediction`."""
    if isinstance(found, Mapping):
        return {str(name): _plain(values) for name, values in found.items()}
    if isinstance(found, list | tuple) and len(found) > 1:
        return {f"output-{number}": _plain(values) for number, values in enumerate(found)}
    return {"prediction": _plain(found[0] if isinstance(found, list | tuple) else found)}


def _plain(values: Any) -> Any:
    values = values.detach()
    if values.dtype == torch.bfloat16:
        values = values.float()  # neither numpy nor the protocol's JSON has it
    return values.numpy()


def _column(name: str, value: Any) -> Column:
    found = _DATATYPES.get(value.dtype)
    shape = tuple(size if isinstance(size, int) else -1 for size in value.shape)
    for datatype in get_args(Datatype):
        if datatype == found:
            return Column(name, datatype, shape=shape or (1,))
    raise Invalid(
        f"the program's input {name!r} is of {value.dtype}, which has no counterpart on the wire",
        code="registry.bad_signature",
    )


FLAVOUR = TorchFlavour()
