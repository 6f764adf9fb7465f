"""What quantising changed in an OpenVINO graph, and the same change in another.

NNCF quantises one graph, of one size, while an `Estimator` translates one for every
size that photos have. Behind their first layer norms all of them consist of the same
operators in the same order, so they are numbered, the difference between the plain and
the quantised graph is kept by number, and is made again in whichever graph is needed:

    MatMul.3/1/0/constant     int8: a kernel, rounded; or float32: a bias, corrected
    MatMul.3/1/1/multiply     what it is multiplied by, a channel's scale
    MatMul.3/0/0/multiply     of activations: SmoothQuant's factors
    MatMul.3/0/1/quantize-256 their range, in as many steps: low, high; as come out

The first number is an operator's among those of its kind, the second an input's of it,
the third counts what stands before that input, in the order in which values pass.

What no layer norm stands before is numbered apart and stays as it is: a hybrid encoder
sees large pictures twice, so there these operators depend on the size.
"""

import collections
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

# What names of operators begin with that no layer norm stands before.
EARLY = "early-"
# One of them: what it is called here, its array.
_Link = tuple[str, np.ndarray]


def number_operators(graph: ov.Model) -> dict[str, Any]:
    """Name every operator of a translated graph by kind and number; return them.

    Those that no layer norm stands before are `EARLY`, if there are any norms.
    """
    counts: collections.Counter[str] = collections.Counter()
    operators = {}
    nodes = graph.get_ordered_ops()
    plain = all(node.get_type_name() != "MVN" for node in nodes)
    for node in nodes:  # in the order in which they compute
        kind = node.get_type_name()
        if kind not in ("Constant", "Parameter", "Result"):
            sources = (place.get_node() for place in node.input_values())
            late = plain or kind == "MVN" or any(map(_is_late, sources))
            label = kind if late else EARLY + kind
            name = f"{label}.{counts[label]}"
            counts[label] += 1
            node.set_friendly_name(name)
            operators[name] = node
    return operators


def changes_of(plain: ov.Model, quantized: ov.Model) -> dict[str, np.ndarray]:
    """Return the difference of two graphs as arrays by the keys above.

    Args:
        plain: a graph whose operators are numbered.
        quantized: what NNCF made of it.

    Raises:
        NotImplementedError: a change of a kind that is not known.
    """
    before = {node.get_friendly_name(): node for node in plain.get_ordered_ops()}
    changes: dict[str, np.ndarray] = {}
    for node in quantized.get_ordered_ops():
        name = node.get_friendly_name()
        if name not in before or node.get_type_name() == "Constant":
            continue
        if name.startswith(EARLY):  # SmoothQuant has no ear for `ignored_scope`
            continue
        for place in node.inputs():
            port = place.get_index()
            links = list(_links(place.get_source_output().get_node(), before))
            if len(links) == 1 and links[0][0] == "constant":
                old = before[name].input_value(port).get_node()
                if _is_constant(old) and np.array_equal(old.get_data(), links[0][1]):
                    continue
            for number, (what, array) in enumerate(reversed(links)):
                changes[f"{name}/{port}/{number}/{what}"] = array
    return changes


def _links(node: Any, before: Mapping[str, Any]) -> Iterator[_Link]:
    """Yield what stands before an input, upwards to an operator of the plain graph."""
    while True:
        kind = node.get_type_name()
        if kind == "Constant":
            yield "constant", np.array(node.get_data())
            return
        if node.get_friendly_name() in before:
            return
        if kind == "Multiply":
            yield "multiply", _data(node, 1)
        elif kind == "FakeQuantize":
            bounds = [_data(node, port) for port in (1, 2, 3, 4)]
            steps = node.get_attributes()["levels"]
            yield f"quantize-{steps}", np.stack(np.broadcast_arrays(*bounds))
        elif kind != "Convert":  # of an int8 constant, which is converted anyway
            raise NotImplementedError(
                f"NNCF has put an operator {kind!r} into the graph"
            )
        node = node.input_value(0).get_node()


def apply_changes(graph: ov.Model, changes: Mapping[str, np.ndarray]) -> None:
    """Quantise a translated graph of any size as `changes_of` found it, in place.

    Raises:
        ValueError: the changes are of another model.
    """
    operators = number_operators(graph)
    chains: dict[tuple[str, int], list[tuple[int, str, np.ndarray]]] = {}
    for key, array in changes.items():
        name, port, number, what = key.split("/")
        chains.setdefault((name, int(port)), []).append((int(number), what, array))
    made: dict[Any, Any] = {}
    for (name, port), chain in chains.items():
        if name not in operators or port >= operators[name].get_input_size():
            raise ValueError(f"the model has no operator {name} with an input {port}")
        place = operators[name].input(port)
        links = [(what, array) for _, what, array in sorted(chain, key=_first)]
        place.replace_source_output(_linked(place.get_source_output(), links, made))


def _first(link: tuple[int, str, np.ndarray]) -> int:
    return link[0]


def _linked(output: Any, links: Sequence[_Link], made: dict[Any, Any]) -> Any:
    """Return an output with links behind it; the same ones behind one are made once."""
    for what, array in links:
        if what == "constant":
            # Of an input's own, so nothing stands before it.
            output = _converted(array).output(0)
            continue
        key = (
            output.get_node().get_friendly_name(),
            output.get_index(),
            what,
            array.tobytes(),
        )
        if key not in made:
            made[key] = _link(output, what, array)
        output = made[key].output(0)
    return output


def _link(output: Any, what: str, array: np.ndarray) -> Any:
    if what == "multiply":
        return ops.multiply(output, ops.constant(array))
    bounds = [ops.constant(np.array(bound)) for bound in array]
    return ops.fake_quantize(output, *bounds, levels=int(what.split("-")[1]))


def _converted(array: np.ndarray) -> Any:
    node = ops.constant(array)
    return ops.convert(node, "f32") if array.dtype == np.int8 else node


def _data(node: Any, port: int) -> np.ndarray:
    source = node.input_value(port).get_node()
    if not _is_constant(source):
        raise NotImplementedError("NNCF has put a computed factor into the graph")
    return np.array(source.get_data())


def _is_late(node: Any) -> bool:
    name, kind = node.get_friendly_name(), node.get_type_name()
    inputs = ("Constant", "Parameter")
    return kind not in inputs and not name.startswith(EARLY)


def _is_constant(node: Any) -> bool:
    return node.get_type_name() == "Constant"
