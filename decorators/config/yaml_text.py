"""YAML as plain lists and dicts whose scalars are not decided yet. Imported only where YAML is read."""

from __future__ import annotations

from typing import Any

import yaml

from .literals import Scalar

# An alias counts each time it is used: nine levels of nine aliases would be 400 million values out of 1 kB of text.
MAX_VALUES = 100_000
MAX_DEPTH = 100
_CORE = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset(
    _CORE + name for name in ("str", "int", "float", "bool", "null", "seq", "map", "timestamp", "value")
)
_MERGE_TAG = f"{_CORE}merge"


class YamlProblem(Exception):
    """What is wrong with a YAML text, and in which line."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


def parse_yaml(text: str, *, with_lines: bool = True) -> Any:
    """The one document in `text`: dicts and lists of `Scalar`, {} for an empty one; raises YamlProblem."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return {} if node is None else _Builder(with_lines).build(node, 0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = (error.problem or error.context or "not YAML").strip()
        raise YamlProblem(f"it is not YAML: {reason}", None if mark is None else mark.line + 1) from None
    except yaml.YAMLError as error:  # characters that YAML does not allow
        raise YamlProblem(f"it is not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise YamlProblem(f"it is nested deeper than {MAX_DEPTH} levels") from None


class _Builder:
    """Turns PyYAML's nodes into values. Its own constructors are not used: they would read 1e-3 as text, `no` as
    False and 1:30 as 90, and let the last of two equal keys win."""

    def __init__(self, with_lines: bool) -> None:
        self._with_lines = with_lines
        self._count = 0
        self._open: set[int] = set()
        self._resolver = yaml.SafeLoader("")

    def build(self, node: yaml.Node, depth: int) -> Any:
        self._check(node, depth)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            raise YamlProblem("an alias contains itself", self._line(node))
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, depth)
            return [self.build(item, depth + 1) for item in node.value]
        finally:
            self._open.discard(id(node))

    def _check(self, node: yaml.Node, depth: int) -> None:
        self._count += 1
        if self._count > MAX_VALUES:
            raise YamlProblem(f"it holds more than {MAX_VALUES:,} values, aliases counted each time", self._line(node))
        if depth > MAX_DEPTH:
            raise YamlProblem(f"it is nested deeper than {MAX_DEPTH} levels", self._line(node))
        if node.tag not in _PLAIN_TAGS and node.tag != _MERGE_TAG:
            tag = node.tag.replace(_CORE, "!!")
            raise YamlProblem(f"the tag {tag} is refused: a config holds plain values only", self._line(node))

    def _scalar(self, node: yaml.ScalarNode) -> Scalar:
        # Text by its quotes, by being a block, or by a !!str in front of what would be something else.
        untagged = self._resolver.resolve(yaml.ScalarNode, node.value, (True, False))  # type: ignore[no-untyped-call]
        quoted = node.tag == f"{_CORE}str" and (node.style is not None or untagged != node.tag)
        return Scalar(node.value, quoted, self._line(node) if self._with_lines else None)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[Scalar, Any]:
        merged: dict[Scalar, Any] = {}
        own: dict[Scalar, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE_TAG:
                for base in self._merge_bases(value_node, depth):
                    merged = {**base, **merged}  # the first of several bases wins, as the merge key's page says
                continue
            key = self._key(key_node)
            if key in own:
                raise YamlProblem(f"the key {key.text!r} stands twice", self._line(key_node))
            own[key] = self.build(value_node, depth + 1)
        return {**merged, **own}

    def _key(self, node: yaml.Node) -> Scalar:
        if not isinstance(node, yaml.ScalarNode):
            raise YamlProblem("a list or a mapping cannot be a key", self._line(node))
        self._check(node, 0)
        return self._scalar(node)

    def _merge_bases(self, node: yaml.Node, depth: int) -> list[dict[Scalar, Any]]:
        built = self.build(node, depth + 1)
        bases = built if isinstance(built, list) else [built]
        if not all(isinstance(base, dict) for base in bases):
            raise YamlProblem("<< takes a mapping or a list of mappings", self._line(node))
        return bases

    @staticmethod
    def _line(node: yaml.Node) -> int | None:
        return None if node.start_mark is None else int(node.start_mark.line) + 1
