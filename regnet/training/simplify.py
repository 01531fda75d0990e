"""A recorded computation with fewer and cheaper calls, and bitwise the same results.

`make_fx` records graphs of aten operations. What autograd leaves in them costs a small network more than its
arithmetic: views of views, constants that are made anew, new memory for each intermediate result, a slow way to call
an operation. Here an operation is left out, done beforehand or done in place, and only where no value changes by it:
sums keep their order.
"""

import operator
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from types import BuiltinFunctionType, MethodDescriptorType
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.fx import Graph, GraphModule, Interpreter, Node

aten = torch.ops.aten

OF_SHAPE = {  # what they make does not depend on the values of their argument
    getattr(aten, name).default
    for name in ("ones_like", "zeros_like", "full_like", "new_zeros", "new_ones", "new_full")
}
UNDECLARED_VIEWS = {aten._unsafe_view.default, aten._reshape_alias.default}
INTO = {aten.threshold_backward.default: aten.threshold_backward.grad_input}  # elementwise, written where one is told
COMMUTATIVE = {aten.add.Tensor, aten.mul.Tensor}
KEPT = 2**16  # bytes of a result that is computed beforehand, at most

Computation = Callable[..., Sequence[Tensor]]


def simplified(recorded: GraphModule, arguments: Sequence[Tensor], settings: Collection[int]) -> tuple[Any, Any]:
    """Functions (prepare, compute) with ``compute(*prepare(*settings), *arguments) == recorded(*arguments)``.

    Args:
        arguments: such as those that it is called with; it is computed with them once, and may write into them.
        settings: the positions of those that seldom change. What follows from them alone is in `prepare`.
    """
    _Noted(recorded).run(*arguments)
    graph = recorded.graph
    _leave_out_views(graph)
    _leave_out_unused(graph)
    prepare = _take_out_prepared(recorded, settings)
    _leave_out_unused(graph)
    _write_in_place(graph)
    graph.lint()
    return _compiled(prepare, recorded), _compiled(graph, recorded)


class _Noted(Interpreter):
    """Notes at each node what its tensor looks like, and its value where that depends on no value."""

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            n.meta["looks"] = value.shape, value.stride(), value.dtype, value.device, value.storage_offset()
            n.meta["bytes"] = value.untyped_storage().nbytes()
            if n.target in OF_SHAPE and n.meta["bytes"] <= KEPT:
                n.meta["value"] = value.clone()
        return value


class _Memory:
    """Which nodes are the same memory: `root` is the node that has allocated it, or an argument."""

    def __init__(self, graph: Graph) -> None:
        self.root: dict[Node, Node] = {}
        self.members: dict[Node, list[Node]] = {}
        self.written: set[Node] = set()
        for node in graph.nodes:
            self.add(node, self.root[of] if (of := _memory_of(node)) else node)
            for argument in _written_by(node):
                self.written.add(self.root[argument])
        (output,) = (node for node in graph.nodes if node.op == "output")
        self.returned = {self.root[node] for node in output.all_input_nodes}

    def add(self, node: Node, root: Node) -> None:
        self.root[node] = root
        self.members.setdefault(root, []).append(node)

    def is_fresh(self, node: Node) -> bool:
        """Whether the graph has allocated it, and may write into it."""
        root = self.root[node]
        return root.op == "call_function" and "looks" in root.meta

    def last_use(self, node: Node, place: dict[Node, int]) -> int:
        return max(place[user] for member in self.members[self.root[node]] for user in member.users)


def _leave_out_views(graph: Graph) -> None:
    """A view that looks like what it is a view of, at any distance, is that."""
    for node in graph.nodes:
        of = _memory_of(node) if "looks" in node.meta and not _written_by(node) else None
        while of is not None and "looks" in of.meta:
            if of.meta["looks"] == node.meta["looks"]:
                node.replace_all_uses_with(of)
                break
            of = None if _written_by(of) else _memory_of(of)


def _leave_out_unused(graph: Graph) -> None:
    for node in reversed(graph.nodes):
        if node.op not in ("placeholder", "output") and not node.users and _is_pure(node):
            graph.erase_node(node)


def _take_out_prepared(recorded: GraphModule, settings: Collection[int]) -> Graph:
    """Moves what follows from constants and settings into a graph of its own, whose results are further arguments."""
    graph, memory = recorded.graph, _Memory(recorded.graph)
    places = [node for node in graph.nodes if node.op == "placeholder"]
    known = {places[i] for i in settings}
    prepare = Graph()
    copied: dict[Node, Node] = {}
    for i in settings:
        copied[places[i]] = prepare.placeholder(places[i].name)
    moved = []
    for node in graph.nodes:
        free = memory.root[node] not in memory.written | memory.returned
        if "value" in node.meta and free:
            setattr(recorded, node.name, node.meta["value"])
            copied[node] = prepare.get_attr(node.name)
        elif _is_computed(node) and _is_pure(node) and free and known.issuperset(node.all_input_nodes):
            if node.meta.get("bytes", 0) > KEPT:
                continue
            copied[node] = prepare.node_copy(node, copied.__getitem__)
        else:
            continue
        known.add(node)
        moved.append(node)
    taken = [node for node in moved if "looks" in node.meta and not known.issuperset(node.users)]
    prepare.output(tuple(copied[node] for node in taken))
    with graph.inserting_before(next(iter(graph.nodes))):
        for node in taken:
            argument = graph.placeholder(node.name)
            argument.meta = node.meta
            node.replace_all_uses_with(argument)
    for node in reversed(moved):
        if not node.users:
            graph.erase_node(node)
    return prepare


def _write_in_place(graph: Graph) -> None:
    """An elementwise result goes where an argument lay that nothing reads afterwards."""
    memory = _Memory(graph)
    place = {node: i for i, node in enumerate(graph.nodes)}

    def is_free(argument: Any, node: Node, looks: Any) -> bool:
        """Whether `argument` may be written over when `node` is computed."""
        if not isinstance(argument, Node) or not memory.is_fresh(argument) or argument.meta["looks"] != looks:
            return False
        once = sum(memory.root[other] is memory.root[argument] for other in node.all_input_nodes) == 1
        return once and memory.last_use(argument, place) == place[node]

    for node in list(graph.nodes):
        if not isinstance(node.target, OpOverload) or not node.args:
            continue
        first, looks, target = _first(node), node.meta.get("looks"), _in_place(node.target)
        if node.target in COMMUTATIVE and not is_free(first, node, looks) and is_free(node.args[1], node, looks):
            first, second = node.args[1], first
            node.args = first, second
        if node.target in INTO and is_free(first, node, looks):
            node.target, node.kwargs = INTO[node.target], {INTO[node.target]._schema.arguments[-1].name: first}
            memory.add(node, memory.root[first])
        elif target and torch.Tag.pointwise in node.target.tags and is_free(first, node, looks):
            node.target = target
            memory.add(node, memory.root[first])
        elif target and node.target._opname.startswith("_foreach"):
            results = {user.args[1]: user for user in node.users}
            if all(i in results and is_free(one, node, results[i].meta["looks"]) for i, one in enumerate(first)):
                node.target = target
                for i, result in results.items():
                    result.replace_all_uses_with(first[i])
                    graph.erase_node(result)


def _in_place(op: OpOverload) -> OpOverload | None:
    packet = getattr(aten, f"{op._opname}_", None) if op.namespace == "aten" else None
    return getattr(packet, op._overloadname, None)


def _compiled(graph: Graph, recorded: GraphModule) -> Computation:
    """As a Python function that calls torch's own functions, which takes half the time of calls of overloads."""
    code = graph.python_code("self")
    names = dict(code.globals)

    def called(found: re.Match) -> str:
        name = "_".join(found.groups())
        names[name] = _fast(*found.groups())
        return f"{name}("

    source = re.sub(r"torch\.ops\.(\w+)\.(\w+)\.(\w+)\(", called, code.src)
    exec(compile(source, "<recorded>", "exec"), names)
    return names["forward"].__get__(recorded)


def _fast(namespace: str, name: str, overload: str) -> Callable:
    function = getattr(torch, name, None) or getattr(Tensor, name, None) if namespace == "aten" else None
    if isinstance(function, BuiltinFunctionType | MethodDescriptorType):
        return function
    return getattr(getattr(getattr(torch.ops, namespace), name), overload)


def _is_computed(node: Node) -> bool:
    return node.op == "call_function"


def _is_pure(node: Node) -> bool:
    if node.op != "call_function":
        return node.op == "get_attr"
    if not isinstance(node.target, OpOverload):
        return node.target is operator.getitem
    return not node.target._schema.is_mutable and torch.Tag.nondeterministic_seeded not in node.target.tags


def _written_by(node: Node) -> list[Node]:
    """The arguments into which it writes."""
    written = [value for argument, value in _arguments(node) if argument.alias_info and argument.alias_info.is_write]
    each = (one for value in written for one in (value if isinstance(value, list | tuple) else [value]))
    return [one for one in each if isinstance(one, Node)]


def _memory_of(node: Node) -> Node | None:
    """The argument whose memory a node's result is."""
    if node.target is operator.getitem:
        return _memory_of(_first(node))
    if node.target in UNDECLARED_VIEWS:
        return _first(node)
    returns = node.target._schema.returns if isinstance(node.target, OpOverload) else []
    shared = {name for result in returns if result.alias_info for name in result.alias_info.before_set}
    for argument, value in _arguments(node):
        if argument.alias_info and argument.alias_info.before_set & shared:
            return value if isinstance(value, Node) else None
    return None


def _first(node: Node) -> Any:
    return node.args[0]


def _arguments(node: Node) -> Iterator[tuple[Any, Any]]:
    """What the schema says of each argument that is given, and the argument."""
    declared = node.target._schema.arguments if isinstance(node.target, OpOverload) else []
    yield from zip(declared, node.args, strict=False)
    yield from ((argument, node.kwargs[argument.name]) for argument in declared if argument.name in node.kwargs)
